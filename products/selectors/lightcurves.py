"""The light curve of an object: detections, forced fluxes, and upper limits of images in which nothing was detected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from astropy.table import Table

from products.models import DifferenceImage, ForcedFlux, Measurement, Object, ProvenanceTag
from products.models.calibrations import AB_MICROJANSKY
from products.selectors import forced as forced_selector
from products.selectors.candidates import Source, difference_of, measured, source, with_score, with_source
from products.selectors.exposures import images_covering
from products.selectors.moving import with_known
from products.selectors.tables import FAILED, SCORE, Column, table_of
from products.selectors.tags import ChosenTag


@dataclass(frozen=True)
class Epoch:
    """One detection."""

    measurement: Measurement
    source: Source
    zero_point: float
    limit: float | None

    @property
    def flux(self) -> float:
        """Flux of the difference, μJy."""
        return float(self.measurement.flux * 10 ** (0.4 * (AB_MICROJANSKY - self.zero_point)))

    @property
    def flux_error(self) -> float:
        """Its error, μJy."""
        return float(self.measurement.flux_error * 10 ** (0.4 * (AB_MICROJANSKY - self.zero_point)))


@dataclass(frozen=True)
class Limit:
    """An image that covers the object and in which it was not detected: 5σ there, or of the whole image."""

    mjd: float
    filter: str
    magnitude: float
    exposure: str
    section: str
    instrument: str
    is_forced: bool = False  # measured at the place

    @property
    def flux(self) -> float:
        """5σ limit of the flux, μJy."""
        return 10 ** (0.4 * (AB_MICROJANSKY - self.magnitude))


@dataclass
class LightCurve:
    """Detections, limits and forced fluxes, each in the order of time."""

    epochs: list[Epoch]
    limits: list[Limit] = field(default_factory=list)
    forced: list[ForcedFlux] = field(default_factory=list)

    @property
    def kept(self) -> list[Epoch]:
        """Detections that passed every cut."""
        return [epoch for epoch in self.epochs if not epoch.measurement.is_bad]

    @property
    def filters(self) -> list[tuple[str, int]]:
        """Filters with the number of detections; those of forced fluxes too."""
        counts = Counter(epoch.measurement.filter for epoch in self.epochs)
        return sorted((dict.fromkeys((row.filter for row in self.forced), 0) | counts).items())

    @property
    def brightest(self) -> Epoch | None:
        """The brightest kept detection."""
        measured = [epoch for epoch in self.kept if epoch.measurement.magnitude is not None]
        return min(measured, key=lambda epoch: epoch.measurement.magnitude, default=None)

    @property
    def best_score(self) -> float | None:
        """Highest score."""
        return max((e.measurement.score for e in self.epochs if e.measurement.score is not None), default=None)

    @property
    def noise(self) -> float | None:
        """Median noise of the sky of its images, μJy: the unit of a stretch that all epochs share."""
        found = [
            difference_of(e.measurement).background_noise * 10 ** (0.4 * (AB_MICROJANSKY - e.zero_point))
            for e in self.epochs if difference_of(e.measurement).background_noise
        ]  # fmt: skip
        return float(np.median(found)) if found else None

    @property
    def scatter_arcsec(self) -> float | None:
        """Rms distance of the kept positions from their mean, arcsec; None for fewer than three."""
        rows = [epoch.measurement for epoch in self.kept]
        if len(rows) < 3:
            return None
        dec = np.array([row.dec for row in rows])
        offsets = (np.array([row.ra for row in rows]) - rows[0].ra + 180) % 360 - 180
        x, y = offsets * np.cos(np.radians(dec[0])), dec - dec.mean()
        return float(np.sqrt(np.mean((x - x.mean()) ** 2 + y**2)) * 3600)


def light_curve(thing: Object, tag: ChosenTag) -> LightCurve:
    """Every measurement and forced flux of the object under the tag, and a limit of each other image that covers it.

    An image in which the object was measured by force has the limit of that place, and none where that is masked.
    """
    rows = with_score(with_source(measured(tag).filter(object=thing)), tag).order_by("mjd", "pk")
    epochs, seen = [], set()
    for row in rows:
        difference = row.measurement_set.cutouts.sources.image
        seen.add(difference.pk)
        point = difference.zero_point
        epochs.append(Epoch(row, source(row), float(point.at(row.x, row.y)), point.limiting_magnitude))
    with_known([epoch.measurement for epoch in epochs], tag)
    forced = forced_selector.of_object(thing, tag)
    limits = [_limit_there(row) for row in forced if not row.is_bad and row.is_limit and row.image_id not in seen]
    limits += _limits_of_images(thing, tag, seen | {row.image_id for row in forced})
    limits.sort(key=lambda limit: limit.mjd)
    return LightCurve(epochs, limits, [row for row in forced if not row.is_bad])


def _limit_there(row: ForcedFlux) -> Limit:
    image = row.image
    exposure = image.exposure.name if image.exposure else ""
    return Limit(row.mjd, row.filter, row.limiting_magnitude, exposure, image.section, image.instrument, is_forced=True)


def _limits_of_images(thing: Object, tag: ChosenTag, known: set[UUID]) -> list[Limit]:
    """Limits of whole images that cover the object, without those that are `known`."""
    images = tag.narrow(DifferenceImage.objects.filter(zero_point__limiting_magnitude__isnull=False))
    fields = ("mjd", "mjd_end", "filter", "section", "instrument", "zero_point__limiting_magnitude", "exposure__name")
    return [
        Limit(
            mjd=(found["mjd"] + found["mjd_end"]) / 2,
            filter=found["filter"],
            magnitude=found["zero_point__limiting_magnitude"],
            exposure=found["exposure__name"] or "",
            section=found["section"],
            instrument=found["instrument"],
        )
        for found in images_covering(images.exclude(pk__in=known), thing.ra, thing.dec, *fields)
    ]


def other_tags(thing: Object, tag: ChosenTag) -> list[tuple[str, int]]:
    """(tag, number of measurements) of the other tags under which the object was measured."""
    counts = Counter(thing.measurements.order_by().values_list("measurement_set__provenance", flat=True))
    found: Counter[str] = Counter()
    for name, key in ProvenanceTag.objects.filter(provenance__in=counts).values_list("tag", "provenance"):
        found[name] += counts[key]
    return sorted((name, n) for name, n in found.items() if name != tag.name)


COLUMNS = (
    Column("mjd", "d", help="Middle of the exposure, UTC."),
    Column("filter", kind=str, help="Short name of the filter."),
    Column("magnitude", "mag", help="AB magnitude of |flux|; of a limit: 5σ."),
    Column("magnitude_error", "mag"),
    Column("is_limit", kind=int, help="1: nothing was detected in this image, which covers the object."),
    Column("is_forced", kind=int, help="1: forced photometry at the position of the object."),
    Column("flux_ujy", "uJy", help="Of the difference; negative for fading."),
    Column("flux_error_ujy", "uJy", help="Its error."),
    Column("snr"),
    SCORE,
    FAILED,
    Column("instrument", kind=str, help="Name of the instrument."),
    Column("exposure", kind=str, help="Name of the exposure."),
    Column("ccd", kind=str, help="CCD, as the instrument names it."),
    Column("measurement", kind=str, help="Id of the measurement."),
)


def as_table(curve: LightCurve) -> Table:
    """Detections, kept and cut, forced fluxes and limits, in the order of time."""
    rows = []
    for epoch in curve.epochs:
        row = epoch.measurement
        rows.append(
            {name: getattr(row, name) for name in ("mjd", "filter", "magnitude", "magnitude_error", "snr", "score")}
            | {
                "is_limit": 0,
                "is_forced": 0,
                "flux_ujy": epoch.flux,
                "flux_error_ujy": epoch.flux_error,
                "measurement": str(row.pk),
            }
            | {"failed_cuts": " ".join(row.failed_cuts), "instrument": epoch.source.exposure.instrument}
            | {"exposure": epoch.source.exposure.name, "ccd": epoch.source.section}
        )
    empty = dict.fromkeys(column.name for column in COLUMNS)
    for limit in curve.limits:
        if not limit.is_forced:
            known = {"mjd": limit.mjd, "filter": limit.filter, "magnitude": limit.magnitude, "is_limit": 1}
            known |= {"exposure": limit.exposure, "ccd": limit.section, "instrument": limit.instrument, "is_forced": 0}
            rows.append(empty | known)
    rows += [empty | _forced_row(row) for row in curve.forced]
    return table_of(COLUMNS, sorted(rows, key=lambda row: row["mjd"]), Measurement)


def _forced_row(row: ForcedFlux) -> dict[str, Any]:
    """A forced flux in the columns of a light curve; one below 5σ has the limit in place of a magnitude."""
    found = {name: getattr(row, name) for name in ("mjd", "filter", "flux_ujy", "flux_error_ujy", "snr")}
    found |= {
        "is_forced": 1,
        "exposure": row.exposure_name,
        "ccd": row.image.section,
        "instrument": row.image.instrument,
    }
    if row.is_limit:
        return found | {"is_limit": 1, "magnitude": row.limiting_magnitude}
    return found | {"is_limit": 0, "magnitude": row.magnitude, "magnitude_error": row.magnitude_error}
