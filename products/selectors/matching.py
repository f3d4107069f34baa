"""The same CCDs under two tags: which detections both keep, and which only one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from django.db.models import F, QuerySet

from products.models import Measurement, MeasurementSet, Report
from products.selectors.candidates import with_source
from products.selectors.tags import ChosenTag

MOST = 500  # CCDs, the newest that both tags have
SHOWN = 12  # detections that are shown of each kind
IMAGE = "cutouts__sources__image"
Place = tuple[UUID, float]  # object and middle of the exposure: one detection


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
    pairs = [(kept_a[place], kept_b[place]) for place in both if None not in (kept_a[place], kept_b[place])]
    change = np.array([second - first for first, second in pairs])
    return Matched(
        ccds=len(common),
        is_limited=len(common) == MOST,
        same_products=left == right,
        both=len(both),
        lost=_only(left, right, kept_a.keys() - both),
        gained=_only(right, left, kept_b.keys() - both),
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


def _kept(sets: Iterable[UUID]) -> dict[Place, float | None]:
    rows = Measurement.objects.filter(measurement_set__in=list(sets), is_bad=False).order_by()
    return {(thing, mjd): magnitude for thing, mjd, magnitude in rows.values_list("object", "mjd", "magnitude")}


def _only(mine: set[UUID], others: set[UUID], places: set[Place]) -> OnlyOne:
    """What the other tag made of detections that it does not keep."""
    cut: dict[Place, list[str]] = {}
    things = list({thing for thing, _ in places})
    for start in range(0, len(things), 500):
        rows = Measurement.objects.filter(measurement_set__in=list(others), object__in=things[start : start + 500])
        for thing, mjd, failed in rows.filter(is_bad=True).order_by().values_list("object", "mjd", "failed_cuts"):
            cut[thing, mjd] = failed
    rows = Measurement.objects.filter(measurement_set__in=list(mine), is_bad=False)
    newest = with_source(rows).filter(object__in=things[:500]).order_by(F("snr").desc())
    shown = [row for row in newest[: 20 * SHOWN] if (row.object_id, row.mjd) in places][:SHOWN]

    def reason(row: Measurement) -> str:
        failed = cut.get((row.object_id, row.mjd))
        return "not detected" if failed is None else f"cut: {', '.join(failed).replace('_', ' ')}"

    found = sum(place in cut for place in places)
    return OnlyOne(len(places), found, [(row, reason(row)) for row in shown])
