"""Where on the sky: a point, or a point with a footprint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from django.db import models
from django.db.models import F, Max
from django.db.models.functions import Cos, Radians, Sin

from products import sky


class PositionQuerySet(models.QuerySet):
    """Queries by position."""

    def near(self, ra: float, dec: float, radius_arcsec: float) -> list[Any]:
        """Rows within the radius, nearest first; each gets `.separation_arcsec`."""
        rows = list(self.filter(sky.cone(ra, dec, radius_arcsec / 3600)))
        for row in rows:
            row.separation_arcsec = float(sky.separation(ra, dec, row.ra, row.dec)) * 3600
        return sorted(
            (row for row in rows if row.separation_arcsec <= radius_arcsec),
            key=lambda row: row.separation_arcsec,
        )

    def within(self, ra: float, dec: float, radius_arcsec: float) -> Self:
        """Rows within the radius, as a query; `haversine` of each grows with the distance."""
        half_dec, half_ra = (Sin(Radians(F(name) - value) / 2) for name, value in (("dec", dec), ("ra", ra)))
        haversine = half_dec * half_dec + math.cos(math.radians(dec)) * Cos(Radians(F("dec"))) * half_ra * half_ra
        limit = math.sin(math.radians(radius_arcsec / 3600) / 2) ** 2
        rows = self.filter(sky.cone(ra, dec, radius_arcsec / 3600)).alias(haversine=haversine)
        return rows.filter(haversine__lte=limit)


class SkyPosition(models.Model):
    """A position, ICRS degrees, indexed by HEALPix."""

    ra = models.FloatField("right ascension", help_text="ICRS, degrees, 0 to 360.")
    dec = models.FloatField("declination", help_text="ICRS, degrees.")
    hpx = models.BigIntegerField("HEALPix", editable=False, db_index=True, help_text="Nested, order 29.")

    gal_lon = models.FloatField("galactic longitude", editable=False, help_text="Degrees.")
    gal_lat = models.FloatField("galactic latitude", editable=False, help_text="Degrees.")
    ecl_lon = models.FloatField("ecliptic longitude", editable=False, help_text="Degrees, J2000.")
    ecl_lat = models.FloatField("ecliptic latitude", editable=False, help_text="Degrees, J2000.")

    POSITION_FIELDS = ("ra", "dec", "hpx", "gal_lon", "gal_lat", "ecl_lon", "ecl_lat")

    objects = PositionQuerySet.as_manager()

    class Meta:
        abstract = True

    def set_position(self, ra: float, dec: float) -> Self:
        """Set ra, dec (degrees), the index and the other coordinates."""
        self.set_positions([self], [ra], [dec])
        return self

    @staticmethod
    def set_positions(rows: Sequence[SkyPosition], ra: np.ndarray, dec: np.ndarray) -> None:
        """Set the positions (n,) in degrees of many rows at once."""
        ra, dec = np.asarray(ra, float) % 360, np.asarray(dec, float)
        columns = [ra, dec, sky.hpx(ra, dec), *sky.rotated(ra, dec, sky.GALACTIC), *sky.rotated(ra, dec, sky.ECLIPTIC)]
        for row, *values in zip(rows, *(column.tolist() for column in columns)):
            for name, value in zip(SkyPosition.POSITION_FIELDS, values):
                setattr(row, name, value)

    def position(self) -> dict[str, float | int]:
        """The columns of the position, for another row at the same place."""
        return {name: getattr(self, name) for name in self.POSITION_FIELDS}

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.hpx is None:
            self.set_position(self.ra, self.dec)
        super().save(*args, **kwargs)


class FootprintQuerySet(PositionQuerySet):
    """Queries by footprint."""

    def reach(self) -> float:
        """Largest radius in the table, degrees: how far the centre of a footprint may be from what it covers."""
        return self.model._base_manager.aggregate(largest=Max("radius"))["largest"] or 0.0

    def containing(self, ra: float, dec: float) -> list[Any]:
        """Rows whose footprint contains the position."""
        rows = self.filter(sky.cone(ra, dec, self.reach()))
        return [row for row in rows if row.corners and sky.contains(np.array(row.corners), ra, dec)[0]]

    def overlapping(self, corners: np.ndarray) -> list[Any]:
        """Rows that cover part of the footprint (4, 2); each gets `.overlap`, the part of it covered; largest first."""
        ra, dec, radius = sky.centre_and_radius(corners)
        rows = []
        for row in self.filter(sky.cone(ra, dec, radius + self.reach())):
            if row.corners and sky.separation(ra, dec, row.ra, row.dec) < radius + row.radius:
                row.overlap = sky.overlap_fraction(corners, np.array(row.corners))
                rows.append(row)
        return sorted((row for row in rows if row.overlap > 0), key=lambda row: -row.overlap)


class Footprint(SkyPosition):
    """A centre with the four corners around it."""

    radius = models.FloatField(
        default=0.0, db_index=True, help_text="Largest distance of a corner from the centre, degrees."
    )
    corners = models.JSONField(default=list, blank=True, help_text="Four (ra, dec) in degrees, around the footprint.")

    objects = FootprintQuerySet.as_manager()

    class Meta:
        abstract = True

    def set_footprint(self, corners: np.ndarray) -> Self:
        """Set corners (4, 2) in degrees, centre, radius and the index."""
        ra, dec, self.radius = sky.centre_and_radius(np.asarray(corners, float))
        self.corners = [[float(a), float(d)] for a, d in corners]
        return self.set_position(ra, dec)
