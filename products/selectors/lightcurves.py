"""The light curve of an object: detections, and upper limits of the images in which nothing was detected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from astropy.table import Table

from products.models import DifferenceImage, Measurement, Object, ProvenanceTag
from products.rendering import AB_MICROJANSKY
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
    """An image that covers the object and in which it was not detected."""

    mjd: float
    filter: str
    magnitude: float
    exposure: str
    section: str
    instrument: str

    @property
    def flux(self) -> float:
        """5σ limit of the flux, μJy."""
        return 10 ** (0.4 * (AB_MICROJANSKY - self.magnitude))


@dataclass
class LightCurve:
    """Detections and limits in the order of time."""

    epochs: list[Epoch]
    limits: list[Limit] = field(default_factory=list)

    @property
    def kept(self) -> list[Epoch]:
        """Detections that passed every cut."""
        return [epoch for epoch in self.epochs if not epoch.measurement.is_bad]

    @property
    def filters(self) -> list[tuple[str, int]]:
        """Filters with the number of detections."""
        return sorted(Counter(epoch.measurement.filter for epoch in self.epochs).items())

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
    """Every measurement of the object under the tag, and limits of the difference images that cover it without one."""
    rows = with_score(with_source(measured(tag).filter(object=thing)), tag).order_by("mjd", "pk")
    epochs, seen = [], set()
    for row in rows:
        difference = row.measurement_set.cutouts.sources.image
        seen.add(difference.pk)
        point = difference.zero_point
        epochs.append(Epoch(row, source(row), float(point.at(row.x, row.y)), point.limiting_magnitude))
    with_known([epoch.measurement for epoch in epochs], tag)
    images = tag.narrow(DifferenceImage.objects.filter(zero_point__limiting_magnitude__isnull=False)).exclude(
        pk__in=seen
    )
    fields = ("mjd", "mjd_end", "filter", "section", "instrument", "zero_point__limiting_magnitude", "exposure__name")
    limits = [
        Limit(
            mjd=(found["mjd"] + found["mjd_end"]) / 2,
            filter=found["filter"],
            magnitude=found["zero_point__limiting_magnitude"],
            exposure=found["exposure__name"] or "",
            section=found["section"],
            instrument=found["instrument"],
        )
        for found in images_covering(images, thing.ra, thing.dec, *fields)
    ]
    return LightCurve(epochs, limits)


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
    """Detections, kept and cut, and limits, in the order of time."""
    rows = []
    for epoch in curve.epochs:
        row = epoch.measurement
        rows.append(
            {name: getattr(row, name) for name in ("mjd", "filter", "magnitude", "magnitude_error", "snr", "score")}
            | {"is_limit": 0, "flux_ujy": epoch.flux, "flux_error_ujy": epoch.flux_error, "measurement": str(row.pk)}
            | {"failed_cuts": " ".join(row.failed_cuts), "instrument": epoch.source.exposure.instrument}
            | {"exposure": epoch.source.exposure.name, "ccd": epoch.source.section}
        )
    for limit in curve.limits:
        known = {"mjd": limit.mjd, "filter": limit.filter, "magnitude": limit.magnitude, "is_limit": 1}
        known |= {"exposure": limit.exposure, "ccd": limit.section, "instrument": limit.instrument}
        rows.append(dict.fromkeys((column.name for column in COLUMNS), None) | known)
    return table_of(COLUMNS, sorted(rows, key=lambda row: row["mjd"]), Measurement)
