"""Analyses of fakes, and the efficiency of many of them together: of a tag, a night, an exposure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Count, F, QuerySet
from django.db.models.functions import Floor

from products.efficiency import Efficiency, efficiency
from products.models import Exposure, FakeAnalysis, FakeKind, FakeLoss
from products.recovery import Lost, lost_of
from products.selectors.tags import ChosenTag

IMAGE = "fake_set__zero_point__world_coordinates__sources__image"
EXPOSURE = f"{IMAGE}__exposure"
LIMIT = "fake_set__zero_point__limiting_magnitude"
LARGE = (
    f"{IMAGE}__wcs", f"{IMAGE}__corners", f"{IMAGE}__quality", f"{EXPOSURE}__header", f"{EXPOSURE}__companions",
    "fake_set__zero_point__world_coordinates__header",
)  # fmt: skip
MOST = 2000  # images whose fakes are counted together
MOST_LOST = 300  # images whose lost fakes are shown together
MOST_SHOWN = 1000  # of them
MOST_GROUPS = 200  # exposures or nights of one answer
STAGES = {"detected": 1, "kept": 2, "passed": 3}  # how far a fake must have come
GROUPS = {"exposure": f"{EXPOSURE}__name", "night": "night"}  # what images are counted together by
MEASURED_FROM = 10.0  # expected S/N: fainter ones are found where noise made them brighter


def analyses() -> QuerySet[FakeAnalysis]:
    """Analyses with image, exposure and zero point in the same query."""
    return FakeAnalysis.objects.select_related(EXPOSURE).defer(*LARGE, "losses")


def with_losses() -> QuerySet[FakeAnalysis]:
    """The same with the reasons of those that were lost, and nothing of the others."""
    return FakeAnalysis.objects.select_related(EXPOSURE).defer(*LARGE, "outcomes")


def listed() -> QuerySet[FakeAnalysis]:
    """The same without what became of each fake."""
    return analyses().defer("outcomes")


@dataclass(frozen=True)
class Accuracy:
    """How well fakes of a kind are measured: those kept, from an expected S/N of 10 on."""

    kind: str
    n: int
    ratio: float  # median of measured over injected flux
    ratio_error: float | None  # of fewer than three nobody can tell
    pull: float  # median of (measured − injected) / error
    pull_sigma: float | None  # robust scatter of it; 1 when errors are right
    offset: float | None  # px, median distance

    @property
    def label(self) -> str:
        """The kind in words."""
        return FakeKind(self.kind).label if self.kind else "all"


@dataclass(frozen=True)
class Together:
    """The fakes of many images."""

    detected: Efficiency
    kept: Efficiency
    passed: Efficiency
    accuracy: list[Accuracy]
    limit: float | None  # median of the images, AB mag
    images: int
    without: int  # images whose analysis is of an earlier version, which kept nothing to count

    def stage(self, name: str) -> Efficiency:
        """The efficiency after one of STAGES."""
        return getattr(self, name)


def together(rows: Iterable[FakeAnalysis], *, kind: str = "", from_limit: bool = False) -> Together:
    """Efficiency over all images, of one kind or of all points; `from_limit` counts magnitudes from their 5σ limits.

    Streaks are counted by themselves: the cuts shall take them.
    """
    columns: dict[str, list[Any]] = defaultdict(list)
    kinds: list[str] = []
    limits, images, without = [], 0, 0
    for row in rows:
        limit = row.fake_set.zero_point.limiting_magnitude
        if from_limit and limit is None:
            continue
        if not row.outcomes and row.fake_set.n_fakes:
            without += 1
            continue
        images += 1
        for one, found in row.outcomes.items():
            if kind in ("", one):
                kinds += [one] * len(found["mag"])
                columns["mag"] += [value - limit for value in found["mag"]] if from_limit else found["mag"]
                for name in ("stage", "ratio", "pull", "offset", "expected"):
                    columns[name] += found[name]
        if limit is not None:
            limits.append(limit)
    middle = float(np.median(limits)) if limits else None
    stage, mags, names = np.array(columns["stage"], int), np.array(columns["mag"], float), np.array(kinds, str)
    counted = names == kind if kind else names != FakeKind.STREAK
    found = [efficiency(mags[counted], stage[counted] >= least) for least in STAGES.values()]
    return Together(*found, accuracies(columns, names), middle, images, without)


def accuracies(columns: dict[str, list[Any]], kinds: np.ndarray) -> list[Accuracy]:
    """Of each kind that was measured, and of all together where there are several."""
    names = ("ratio", "pull", "offset", "expected", "stage")
    ratio, pull, offset, expected, stage = (np.array(columns[name], float) for name in names)
    good = (stage >= STAGES["kept"]) & (expected >= MEASURED_FROM) & np.isfinite(ratio) & np.isfinite(pull)
    found = []
    for kind in (*FakeKind.values, ""):
        rows = good & (kinds == kind) if kind else good
        n = int(rows.sum())
        if n and (kind or len(found) > 1):
            scatter, away = _scatter(ratio[rows]), offset[rows]
            away = away[np.isfinite(away)]
            found.append(
                Accuracy(
                    kind, n, float(np.median(ratio[rows])), scatter and float(1.2533 * scatter / np.sqrt(n)),
                    float(np.median(pull[rows])), _scatter(pull[rows]), float(np.median(away)) if len(away) else None,
                )
            )  # fmt: skip
    return found


def _scatter(values: np.ndarray) -> float | None:
    """Robust standard deviation; None of fewer than three values."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) > 2 else None


def of_exposure(exposure: Exposure, tag: ChosenTag) -> Together | None:
    """The efficiency of an exposure under a tag; None where none of its images has fakes."""
    rows = list(tag.narrow(analyses()).filter(**{EXPOSURE: exposure}))
    return together(rows) if rows else None


def of_night(number: int, tag: ChosenTag) -> Together | None:
    """The efficiency of a night, from the limits of its images; None where none has fakes."""
    within = {f"{IMAGE}__mjd__gte": number + 0.5, f"{IMAGE}__mjd__lt": number + 1.5}
    rows = list(tag.narrow(analyses()).filter(**within)[:MOST])
    return together(rows, from_limit=True) if rows else None


@dataclass(frozen=True)
class Group:
    """The images of one exposure or of one night."""

    key: Any
    sums: Together

    @property
    def name(self) -> str:
        """Of the exposure; of a night the MJD on which it begins."""
        return str(self.key) if self.start is None else f"{self.start:.1f}"

    @property
    def start(self) -> float | None:
        """MJD of the noon at which a night begins."""
        return self.key + 0.5 if isinstance(self.key, (int, float)) else None

    @property
    def end(self) -> float | None:
        """MJD of the noon at which it ends."""
        return self.key + 1.5 if isinstance(self.key, (int, float)) else None


def group_keys(rows: QuerySet[FakeAnalysis], by: str) -> QuerySet:
    """What the images are of (`key`), the newest first, with their number; not evaluated, so that it can be paged."""
    field = GROUPS[by]
    return by_night(rows).order_by().values(key=F(field)).annotate(images=Count("pk")).order_by("-key")


def grouped(rows: QuerySet[FakeAnalysis], by: str, keys: Sequence[Any], **options: Any) -> list[Group]:
    """The efficiency of each of the groups called `keys`, in their order; `options` are those of `together`."""
    found: dict[Any, list[FakeAnalysis]] = defaultdict(list)
    for row in by_night(rows).filter(**{f"{GROUPS[by]}__in": keys}).annotate(key=F(GROUPS[by])):
        found[row.key].append(row)
    return [Group(key, together(found[key], **options)) for key in keys if key in found]


def by_night(rows: QuerySet[FakeAnalysis]) -> QuerySet[FakeAnalysis]:
    """The same with the night of each image: the MJD on which it begins, at noon."""
    return rows.annotate(night=Floor(F(f"{IMAGE}__mjd") - 0.5))


@dataclass(frozen=True)
class AllLost:
    """Fakes that did not come through, the brightest against the limit of their image first."""

    shown: list[Lost]  # of the kind and reason that are asked for
    kinds: Counter[str]  # of that reason
    reasons: Counter[str]  # of that kind


def lost(rows: Iterable[FakeAnalysis], *, kind: str = "", reason: str = "") -> AllLost:
    """Those of some images, by kind and reason, with how many there are of the others."""
    every = [one for row in rows for one in lost_of(row)]
    shown = [one for one in every if kind in ("", one.kind) and reason in ("", one.reason)]
    shown.sort(key=lambda one: one.magnitude if one.below_limit is None else one.below_limit)
    return AllLost(
        shown,
        Counter(one.kind for one in every if reason in ("", one.reason)),
        Counter(one.reason for one in every if kind in ("", one.kind)),
    )


def choices(counts: Counter[str], words: type[FakeKind] | type[FakeLoss]) -> list[tuple[str, str, int]]:
    """(value, label, how many) of what there is, in the order of the declaration."""
    return [(value, label, counts[value]) for value, label in words.choices if counts[value]]
