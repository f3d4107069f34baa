"""What happened at a position: which images cover it, what each saw there, and where it stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from django.db.models import QuerySet

from products import sky
from products.models import Alert, DifferenceImage, Exposure, Image, Measurement, Report, ScienceImage, ZeroPoint
from products.selectors.candidates import difference_of, measured, with_score, with_source
from products.selectors.exposures import images_covering, latest_reports
from products.selectors.moving import with_known, with_tracklets
from products.selectors.tags import ChosenTag

AREAS = (3.0, 15.0, 60.0, 180.0)  # degrees, in which the nearest image is looked for
COMPASS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")


@dataclass(frozen=True)
class Place:
    """A position, how far around it to look, and when (MJD)."""

    ra: float
    dec: float
    radius: float  # arcsec
    start: float | None = None
    end: float | None = None

    def within_time(self, rows: QuerySet, name: str = "mjd") -> QuerySet:
        """The rows of that time."""
        rows = rows if self.start is None else rows.filter(**{f"{name}__gte": self.start})
        return rows if self.end is None else rows.filter(**{f"{name}__lt": self.end})


@dataclass
class Covering:
    """One image that covers the position."""

    image: Image
    exposure: Exposure
    zero_point: ZeroPoint | None = None
    difference: DifferenceImage | None = None
    report: Report | None = None
    measurements: list[Measurement] = field(default_factory=list)  # nearest first
    alerts: list[Alert] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As an address names it."""
        return f"{self.exposure.name}/{self.image.section}"

    @property
    def nearest(self) -> Measurement | None:
        """The measurement nearest to the position, kept ones first."""
        return next((row for row in self.measurements if not row.is_bad), next(iter(self.measurements), None))

    @property
    def is_told(self) -> bool:
        """Whether an alert about it went out."""
        return any(alert.state == Alert.State.SENT for alert in self.alerts)

    @property
    def limit(self) -> float | None:
        """5σ limit of the image, AB mag."""
        return self.zero_point.limiting_magnitude if self.zero_point else None

    @property
    def outcome(self) -> tuple[str, str]:
        """(kind, text): how far what is there came."""
        row = self.nearest
        if self.alerts:
            return "alert", "alert"
        if row and not row.is_bad:
            return "kept", "kept, no alert"
        if row:
            return "cut", f"cut: {', '.join(row.failed_cuts).replace('_', ' ')}"
        if self.difference:
            return "nothing", "below threshold"
        if self.report and self.report.state == Report.State.FAILED:
            return "stopped", f"stopped in {self.report.error_step or 'set-up'}"
        return "unfinished", "not subtracted"


@dataclass(frozen=True)
class Nearest:
    """The image that comes closest to a position that none covers."""

    degrees: float
    direction: str
    exposure: str
    section: str


@dataclass
class Trace:
    """Everything about a position."""

    place: Place
    coverings: list[Covering]
    nearest: Nearest | None = None

    @property
    def detected(self) -> list[Covering]:
        """Images with a measurement there."""
        return [one for one in self.coverings if one.measurements]

    def chosen(self, name: str) -> Covering | None:
        """The image called `name`; without one the newest with the furthest outcome."""
        order = ("alert", "kept", "cut", "nothing", "stopped", "unfinished")
        named = [one for one in self.coverings if one.name == name]
        return min(named or self.coverings, key=lambda one: order.index(one.outcome[0]), default=None)


def trace_at(place: Place, tag: ChosenTag) -> Trace:
    """The images that cover a position, newest first, each with what it saw within the radius."""
    rows = place.within_time(tag.narrow(ScienceImage.objects.all()))
    keys = [row["pk"] for row in images_covering(rows, place.ra, place.dec, "pk")]
    images = Image.objects.filter(pk__in=keys).select_related("exposure", "provenance").order_by("-mjd", "section")
    found = {row.pk: Covering(row, row.exposure) for row in images.defer("exposure__header", "exposure__companions")}
    if not found:
        return Trace(place, [], nearest_to(place, tag))
    _calibrated(found, tag)
    of_difference = {one.difference.pk: one for one in found.values() if one.difference}
    _measured(of_difference, place, tag)
    rows = [row for one in found.values() for row in one.measurements]
    with_known(rows, tag)
    with_tracklets(rows, tag)
    reports = latest_reports({one.exposure.pk for one in found.values()}, tag)
    for one in found.values():
        one.report = reports.get(one.exposure.pk, {}).get(one.image.section)
    return Trace(place, list(found.values()))


def _calibrated(found: dict[UUID, Covering], tag: ChosenTag) -> None:
    path = "world_coordinates__sources__image"
    points = tag.narrow(ZeroPoint.objects.filter(**{f"{path}__in": found})).select_related("world_coordinates__sources")
    of_point: dict[UUID, Covering] = {}
    for point in points.order_by("created_at"):
        one = found[point.world_coordinates.sources.image_id]
        one.zero_point = point
        of_point[point.pk] = one
    differences = tag.narrow(DifferenceImage.objects.filter(zero_point__in=of_point)).select_related("provenance")
    for row in differences.defer("wcs").order_by("created_at"):
        of_point[row.zero_point_id].difference = row


def _measured(of_difference: dict[UUID, Covering], place: Place, tag: ChosenTag) -> None:
    near = measured(tag).within(place.ra, place.dec, place.radius)
    of_measurement: dict[UUID, Covering] = {}
    for row in with_score(with_source(near), tag).order_by("haversine"):
        if one := of_difference.get(difference_of(row).pk):
            one.measurements.append(row)
            of_measurement[row.pk] = one
    alerts = tag.narrow(Alert.objects.filter(score__measurement__in=of_measurement), "batch__provenance")
    for alert in alerts.with_marks().select_related("score").order_by("created_at"):
        of_measurement[alert.score.measurement_id].alerts.append(alert)


def nearest_to(place: Place, tag: ChosenTag) -> Nearest | None:
    """Which image comes closest to the position, and where it lies."""
    images = place.within_time(tag.narrow(ScienceImage.objects.all()))
    reach = images.reach()
    for area in AREAS:
        rows = images.filter(sky.cone(place.ra, place.dec, min(area + reach, 180.0)))
        columns = ("corners", "exposure__name", "section")
        found = list({str(row[0]): row for row in rows.order_by("mjd", "pk").values_list(*columns) if row[0]}.values())
        if not found:
            continue
        distances, bearings = _edges(place, [row[0] for row in found])
        best = int(np.argmin(distances))
        if distances[best] <= area:
            direction = COMPASS[round(bearings[best] / 45) % 8]
            return Nearest(float(distances[best]), direction, found[best][1] or "", found[best][2])
    return None


def _edges(place: Place, corners: Iterable[list]) -> tuple[np.ndarray, np.ndarray]:
    """Distance (degrees) of the edge of each footprint, and its bearing (degrees, north through east)."""
    ends = np.array(list(corners), float)  # (n, 4, 2)
    first = sky.unit_vectors(ends[..., 0].ravel(), ends[..., 1].ravel()).reshape(*ends.shape[:2], 3)
    share = np.linspace(0, 1, 33)[:, None]
    points = first[:, :, None] * (1 - share) + np.roll(first, -1, axis=1)[:, :, None] * share  # (n, 4, 33, 3)
    points = (points / np.linalg.norm(points, axis=-1, keepdims=True)).reshape(len(ends), -1, 3)
    ra, dec = np.radians(place.ra), np.radians(place.dec)
    east = points @ np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = points @ np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    ahead = points @ sky.unit_vectors(place.ra, place.dec)[0]
    away = np.degrees(np.arctan2(np.hypot(east, north), ahead))
    best = away.argmin(axis=1)
    rows = np.arange(len(ends))
    return away[rows, best], np.degrees(np.arctan2(east[rows, best], north[rows, best]))


def outcomes(coverings: Iterable[Covering]) -> dict[str, int]:
    """How many images had each kind of outcome."""
    found: dict[str, int] = defaultdict(int)
    for one in coverings:
        found[one.outcome[0]] += 1
    return dict(found)


def verdict(trace: Trace) -> tuple[str, str]:
    """(headline, more): what became of whatever is at the position."""
    if not trace.coverings:
        return _not_covered(trace.nearest)
    seen, counts = trace.detected, outcomes(trace.coverings)
    number = len(trace.coverings)
    covered = "One image covers" if number == 1 else f"{number} images cover"
    rest = [
        text.format(counts[kind])
        for kind, text in (
            ("nothing", "{} saw nothing above the threshold"), ("stopped", "{} stopped on the way"),
            ("unfinished", "{} were not subtracted"),
        ) if counts.get(kind)
    ]  # fmt: skip
    more = f"{covered} the position; " + ", ".join([f"{len(seen)} detected something", *rest]) + "."
    if not seen:
        return _nothing(trace), more
    rows = [one.nearest for one in seen]
    strengths = sorted(abs(row.snr) for row in rows)
    snr = f"{strengths[0]:.1f}" if len(rows) == 1 else f"{strengths[0]:.1f} to {strengths[-1]:.1f}"
    times = "once" if len(rows) == 1 else f"{len(rows)} times"
    head = f"Detected {times} at {snr}σ in {', '.join(sorted({row.filter for row in rows}))}"
    kept = [row for row in rows if not row.is_bad]
    if not kept:
        return f"{head}, {'' if len(rows) == 1 else 'always '}cut: {_first_cut(rows[0])}", more
    alerts = sum(len(one.alerts) for one in seen)
    return f"{head}; kept {len(kept)} of {len(rows)}, {alerts or 'no'} alert{'' if alerts == 1 else 's'}", more


def _first_cut(row: Measurement) -> str:
    """`negative flux 0.46 > 0.30` of the first cut that it failed."""
    name, value, threshold, _ = next(
        (cut for cut in row.cuts if not cut[3]), [", ".join(row.failed_cuts), None, None, 0]
    )
    words = name.replace("_", " ")
    if value is None or threshold is None:
        return words
    return f"{words} {value:.2f} {'>' if value > threshold else '<'} {threshold:.2f}"


def _nothing(trace: Trace) -> str:
    deepest: dict[str, float] = {}
    for one in trace.coverings:
        if one.difference and one.limit is not None:
            deepest[one.image.filter] = max(deepest.get(one.image.filter, -np.inf), one.limit)
    if not deepest:
        return "Nothing was detected there: no image of it was subtracted"
    return "Nothing was detected there: " + ", ".join(
        f"{band} > {limit:.2f}" for band, limit in sorted(deepest.items())
    )


def _not_covered(nearest: Nearest | None) -> tuple[str, str]:
    if nearest is None:
        return "No exposure covers this position", "There is no image under this tag at that time."
    return (
        f"No exposure covers this position; the nearest ends {distance(nearest.degrees)} to the {nearest.direction}",
        f"It is {nearest.section} of {nearest.exposure}.",
    )


def distance(degrees: float) -> str:
    """`0.8°`, `12.4′` or `35″`."""
    if degrees >= 1 / 2:
        return f"{degrees:.1f}°"
    return f"{degrees * 60:.1f}′" if degrees >= 1 / 60 else f"{degrees * 3600:.0f}″"


def told_nothing(one: Covering) -> str:
    """Why no alert was made of what an image saw."""
    row: Any = one.nearest
    if row is None:
        return "Nothing to tell about"
    if row.is_bad:
        return f"Cut in measuring ({_first_cut(row)}): not eligible for a stream that takes kept ones only"
    if row.score is None:
        return "It has no score under this tag"
    if row.threshold is not None and row.score < row.threshold:
        return f"Score {row.score:.2f} < {row.threshold:.2f}, the threshold of the scorer"
    return "No stream took it: their own cuts on score and S/N say why"
