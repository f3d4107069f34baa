"""Planes of images in the form that the algorithms take."""

from __future__ import annotations

import numpy as np

from processing.algorithms.peaks import ScorePlanes
from processing.algorithms.subtraction.base import DifferencePSF
from processing.algorithms.subtraction.score import Tiling
from products.models import DifferenceImage
from products.pixel_flags import PixelFlag


def difference_psf(difference: DifferenceImage) -> DifferencePSF:
    """The PSF of the difference image, by tile."""
    return DifferencePSF(difference.psf_stamps, difference.spike_ratios, difference.shape)


def score_planes(difference: DifferenceImage) -> ScorePlanes:
    """Everything that detection and the cuts look at."""
    weight = difference.weight
    with np.errstate(divide="ignore"):
        variance = 1 / weight
    return ScorePlanes(
        score=difference.score,
        alpha=difference.alpha,
        alpha_err=difference.alpha_error,
        mask=weight <= 0,
        halo=(difference.flags & int(PixelFlag.BRIGHT_HALO)) != 0,
        translient=difference.motion,
        cosmic_ray=difference.spike,
        psf_cosmic_ratio=_by_tile(difference.spike_ratios, difference.shape),
        score_unsystematic=difference.score_plain,
        data=difference.data,
        variance=variance,
    )


def _by_tile(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A plane (ny, nx) from one value a tile."""
    rows, columns = (np.diff(Tiling.edges(size, count)) for size, count in zip(shape, values.shape))
    return np.repeat(np.repeat(values.astype(np.float32), columns, axis=1), rows, axis=0)


def total_variance(weight: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """Variance (electron²) per pixel: at least that of the measured sky, and the image's own where it is larger."""
    from processing.algorithms.pixel_loops import total_variance as larger

    return larger(np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(rms, np.float32))
