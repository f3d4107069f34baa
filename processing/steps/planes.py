"""Planes of images in the form that the algorithms take."""

from __future__ import annotations

import numpy as np

from processing.algorithms.peaks import ScorePlanes
from processing.algorithms.subtraction.tiles import Tiles
from products.models import DifferenceImage
from products.pixel_flags import PixelFlag


def tiles_of(difference: DifferenceImage) -> Tiles:
    """What is constant over each tile of a difference image."""
    return Tiles(difference.tiles, difference.psf_stamps, difference.hit_stamps)


def score_planes(difference: DifferenceImage) -> ScorePlanes:
    """Everything that detection and the cuts look at."""
    weight = difference.weight
    with np.errstate(divide="ignore"):
        variance = 1 / weight
    return ScorePlanes(
        score=difference.score,
        alpha=difference.alpha,
        data=difference.data,
        variance=variance,
        mask=weight <= 0,
        halo=(difference.flags & int(PixelFlag.BRIGHT_HALO)) != 0,
        tiles=tiles_of(difference),
        unsupported=(difference.flags & int(PixelFlag.UNSUPPORTED)) != 0,
    )
