"""The light curve of an object: detections, and upper limits of the images in which nothing was detected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from products.models import DifferenceImage, Measurement, Object
from products.selectors.candidates import Source, source, with_score, with_source
from products.selectors.exposures import images_covering
from products.selectors.tags import ChosenTag

AB_MICROJANSKY = 23.9  # AB magnitude of 1 μJy


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
    rows = tag.narrow(Measurement.objects.filter(object=thing), "measurement_set__provenance")
    rows = with_score(with_source(rows), tag).order_by("mjd", "pk")
    epochs, seen = [], set()
    for row in rows:
        difference = row.measurement_set.cutouts.sources.image
        seen.add(difference.pk)
        point = difference.zero_point
        epochs.append(Epoch(row, source(row), point.zp, point.limiting_magnitude))
    images = tag.narrow(DifferenceImage.objects.filter(zero_point__limiting_magnitude__isnull=False)).exclude(
        pk__in=seen
    )
    fields = ("mjd", "mjd_end", "filter", "section", "zero_point__limiting_magnitude", "exposure__name")
    limits = [
        Limit(
            mjd=(found["mjd"] + found["mjd_end"]) / 2,
            filter=found["filter"],
            magnitude=found["zero_point__limiting_magnitude"],
            exposure=found["exposure__name"] or "",
            section=found["section"],
        )
        for found in images_covering(images, thing.ra, thing.dec, *fields)
    ]
    return LightCurve(epochs, limits)
