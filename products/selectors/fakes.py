"""Analyses of fakes, and the efficiency of many of them together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from django.db.models import QuerySet

from products.efficiency import Efficiency, efficiency
from products.errors import ArchiveError
from products.models import FakeAnalysis
from products.recovery import found_in

IMAGE = "fake_set__zero_point__world_coordinates__sources__image"
EXPOSURE = f"{IMAGE}__exposure"
LIMIT = "fake_set__zero_point__limiting_magnitude"
LARGE = (
    f"{IMAGE}__wcs", f"{IMAGE}__corners", f"{IMAGE}__quality", f"{EXPOSURE}__header", f"{EXPOSURE}__companions",
    "fake_set__zero_point__world_coordinates__header",
)  # fmt: skip
MOST = 500  # images whose fakes are counted together


def analyses() -> QuerySet[FakeAnalysis]:
    """Analyses with image, exposure and zero point in the same query."""
    return FakeAnalysis.objects.select_related(EXPOSURE).defer(*LARGE)


@dataclass(frozen=True)
class Together:
    """The fakes of many images."""

    detected: Efficiency
    kept: Efficiency
    limit: float | None  # median of the images, AB mag; 0 where magnitudes count from the limit
    images: int
    unreadable: int


def together(rows: Iterable[FakeAnalysis], *, from_limit: bool = False) -> Together:
    """Efficiency over all images; `from_limit` counts magnitudes from the 5σ limit of each image."""
    mags: list[float] = []
    detected: list[bool] = []
    kept: list[bool] = []
    limits, images, unreadable = [], 0, 0
    for row in rows:
        limit = row.fake_set.zero_point.limiting_magnitude
        if from_limit and limit is None:
            continue
        try:
            found = found_in(row)
        except (ArchiveError, OSError):
            unreadable += 1
            continue
        images += 1
        shift = limit if from_limit else 0.0
        mags += [value - shift for value in found.magnitudes]
        detected += found.detected
        kept += found.kept
        if limit is not None:
            limits.append(limit)
    middle = 0.0 if from_limit else float(np.median(limits)) if limits else None
    return Together(efficiency(mags, detected), efficiency(mags, kept), middle, images, unreadable)
