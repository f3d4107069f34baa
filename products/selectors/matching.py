"""The same CCDs under two tags: which detections both keep, and which only one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from django.db.models import QuerySet

from products.models import Measurement, MeasurementSet, Report
from products.selectors.candidates import with_source
from products.selectors.tags import ChosenTag
from products.services.badness import batches

MOST = 200  # CCDs, the newest that both tags have
SHOWN = 12  # detections that are shown of each kind
IMAGE = "cutouts__sources__image"
Place = tuple[UUID, float]  # object and middle of the exposure: one detection


class Kept(NamedTuple):
    """A measurement that passed every cut."""

    magnitude: float | None
    snr: float


@dataclass(frozen=True)
class OnlyOne:
    """Detections that one tag keeps and the other does not."""

    number: int
    cut: int  # of them measured by the other tag, and cut
    shown: list[tuple[Measurement, str]]  # with the reason why the other has it not

    @property
    def unseen(self) -> int:
        """Of them not detected by the other tag."""
        return self.number - self.cut


@dataclass(frozen=True)
class Matched:
    """The kept detections of the CCDs that two tags have in common."""

    ccds: int
    is_limited: bool
    same_products: bool  # both tags hold the same measurements
    both: int
    lost: OnlyOne  # in A only
    gained: OnlyOne  # in B only
    median: float | None  # magnitude in B minus that in A, of those in both
    rms: float | None

    @property
    def parts(self) -> tuple[float, float]:
        """Percentages of those lost and gained, for a bar."""
        total = max(self.both + self.lost.number + self.gained.number, 1)
        return 100 * self.lost.number / total, 100 * self.gained.number / total


def matched(a: ChosenTag, b: ChosenTag, wanted: dict[str, Any]) -> Matched:
    """Kept detections of both tags on the CCDs that both have (`wanted`: start, end as MJD, project).

    Detections of one exposure that belong to one object are the same: the archive joins them by position.
    """
    ours, theirs = _sets(a, wanted), _sets(b, wanted)
    common = [key for key in ours if key in theirs][:MOST]
    left, right = {ours[key] for key in common}, {theirs[key] for key in common}
    kept_a, kept_b = _kept(left), _kept(right)
    both = kept_a.keys() & kept_b.keys()
    pairs = [(kept_a[place].magnitude, kept_b[place].magnitude) for place in both]
    change = np.array([second - first for first, second in pairs if None not in (first, second)])
    return Matched(
        ccds=len(common),
        is_limited=len(common) == MOST,
        same_products=left == right,
        both=len(both),
        lost=_only({place: kept_a[place] for place in kept_a.keys() - both}, left, right),
        gained=_only({place: kept_b[place] for place in kept_b.keys() - both}, right, left),
        median=float(np.median(change)) if len(change) else None,
        rms=float(np.std(change)) if len(change) else None,
    )


def failed_ccds(tag: ChosenTag, wanted: dict[str, Any]) -> int:
    """CCDs whose latest attempt under a tag by name failed."""
    rows = narrowed(Report.objects.filter(tag=tag.name).exclude(section=""), "exposure", wanted)
    latest: dict[tuple[UUID, str], str] = {}
    for exposure, section, state in rows.order_by("started_at").values_list("exposure", "section", "state"):
        latest[exposure, section] = state
    return sum(state == Report.State.FAILED for state in latest.values())


def narrowed(rows: QuerySet, exposure: str, wanted: dict[str, Any]) -> QuerySet:
    """Rows whose `exposure` was taken between `start` and `end` (MJD) for the `project`, as far as these are given."""
    bounds = {"start": "mjd__gte", "end": "mjd__lt", "project": "project"}
    given = {bounds[name]: value for name, value in wanted.items() if name in bounds and value not in (None, "")}
    return rows.filter(**{f"{exposure}__{field}": value for field, value in given.items()})


def _sets(tag: ChosenTag, wanted: dict[str, Any]) -> dict[tuple[UUID, str], UUID]:
    """(exposure, section) → set of measurements, newest exposures first."""
    rows = MeasurementSet.objects.filter(provenance__in=tag.ids)
    rows = narrowed(rows, f"{IMAGE}__exposure", wanted).order_by(f"-{IMAGE}__mjd", f"{IMAGE}__section")
    return {
        (one, section): pk for one, section, pk in rows.values_list(f"{IMAGE}__exposure", f"{IMAGE}__section", "pk")
    }


def _kept(sets: Iterable[UUID]) -> dict[Place, Kept]:
    rows = Measurement.objects.filter(measurement_set__in=list(sets), is_bad=False).order_by()
    return {(row[0], row[1]): Kept(*row[2:]) for row in rows.values_list("object", "mjd", "magnitude", "snr")}


def _only(kept: dict[Place, Kept], mine: set[UUID], others: set[UUID]) -> OnlyOne:
    """What the other tag made of detections that it does not keep."""
    cut: dict[Place, list[str]] = {}
    things = list({thing for thing, _ in kept})
    for some in batches(things):
        rows = Measurement.objects.filter(measurement_set__in=list(others), object__in=some, is_bad=True)
        for thing, mjd, failed in rows.order_by().values_list("object", "mjd", "failed_cuts"):
            cut[thing, mjd] = failed
    loudest = sorted(kept, key=lambda place: -kept[place].snr)[:SHOWN]
    rows = Measurement.objects.filter(measurement_set__in=list(mine), object__in=[thing for thing, _ in loudest])
    rows = [row for row in with_source(rows).order_by("-snr") if (row.object_id, row.mjd) in loudest]

    def reason(row: Measurement) -> str:
        failed = cut.get((row.object_id, row.mjd))
        return "not detected" if failed is None else f"cut: {', '.join(failed).replace('_', ' ')}"

    return OnlyOne(len(kept), sum(place in cut for place in kept), [(row, reason(row)) for row in rows])
