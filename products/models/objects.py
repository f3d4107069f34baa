"""Things on the sky that changed: positions with names."""

from __future__ import annotations

from django.db import models

from products.models.base import Identified
from products.models.position import SkyPosition


class Object(Identified, SkyPosition):
    """A position on the sky where something changed, real or not."""

    name = models.CharField(max_length=40, unique=True, help_text="Prefix, year, letters.")
    is_test = models.BooleanField(default=False, help_text="Made by tests or fakes: never associated with real ones.")
    is_bad = models.BooleanField(default=False, help_text="People said that nothing is there.")
    remark = models.TextField(blank=True, help_text="Why people said so.")
    first_seen = models.FloatField("first seen", db_index=True, help_text="MJD (UTC) of the first kept measurement.")
    last_seen = models.FloatField("last seen", db_index=True, help_text="MJD (UTC) of the last kept measurement.")
    n_measurements = models.PositiveIntegerField(default=0, help_text="Kept measurements, of any provenance.")

    class Meta:
        ordering = ["-last_seen", "name"]

    def __str__(self) -> str:
        return self.name


class ObjectName(models.Model):
    """How many names were given in a year."""

    year = models.PositiveSmallIntegerField(primary_key=True, help_text="Of the first measurement.")
    used = models.PositiveIntegerField(default=0, help_text="Names that were given.")


class ObjectPosition(Identified, SkyPosition):
    """A better position of an object, from its measurements up to a time."""

    object = models.ForeignKey(Object, models.CASCADE, related_name="positions")
    provenance = models.ForeignKey("products.Provenance", models.PROTECT, related_name="+")
    n_measurements = models.PositiveIntegerField(help_text="Measurements in the mean.")
    ra_error = models.FloatField(help_text="Error of ra · cos dec, arcsec.")
    dec_error = models.FloatField(help_text="Error of dec, arcsec.")
    covariance = models.FloatField(default=0.0, help_text="Of ra · cos dec and dec, arcsec².")
    mjd_last = models.FloatField(help_text="MJD (UTC) of the last measurement in the mean.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["object", "provenance", "n_measurements"], name="one_object_position")
        ]
        ordering = ["mjd_last"]
