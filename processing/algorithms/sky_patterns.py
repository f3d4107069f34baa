"""What exposures of the sky tell of the detector: sources are masked, and what stays in place is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from processing.algorithms.background import BackgroundParameters, estimate_background, object_mask
from processing.algorithms.master_stacking import FrameStore
from processing.parameters import Parameters, param

_DARK = 0.2  # response below which a pixel says nothing of the sky
_SMOOTH = 5  # px


class SourceParameters(Parameters):
    """How sources are masked in a frame of the sky."""

    threshold: float = param(
        1.5, gt=0, unit="sigma", help="Smoothed brightness, in pixel noise, above which a pixel is of a source."
    )
    grow: float = param(5.0, ge=0, unit="px", help="Sources are grown by this: the median bears what is left.")
    box: int = param(128, ge=16, unit="px", help="Side of the meshes in which the sky under the sources is measured.")


def sky_and_sources(
    frame: np.ndarray, model: np.ndarray, parameters: SourceParameters
) -> tuple[np.ndarray, np.ndarray]:
    """The smooth sky under `frame` (ny, nx) float32 over a `model` (ny, nx) of its response, and its sources (bool).

    The model takes away what is the same in all frames and would be taken for sources. Where it has hardly any
    response nothing is a source.
    """
    unusable = ~(np.isfinite(frame) & (model > _DARK))
    flat = np.divide(frame, model, out=np.ones_like(frame), where=~unusable)
    sky = estimate_background(flat, unusable, BackgroundParameters(box=parameters.box))
    found = object_mask(flat - sky.level, sky.rms, unusable, parameters.threshold, parameters.grow)
    return sky.level, found & ~unusable


def mask_sources(
    frames: FrameStore, indices: Sequence[int], model: np.ndarray, masked: FrameStore, parameters: SourceParameters
) -> list[float]:
    """Put the frames `indices` into `masked` with NaN at their sources; what part of each is covered by them.

    `model` (ny, nx) is a first guess of what all have in common.
    """
    covered = []
    for index in indices:
        frame = frames.frame(index)
        _, sources = sky_and_sources(frame, model, parameters)
        covered.append(float(sources.mean()))
        frame[sources] = np.nan
        masked.add(frame)
    return covered


def over_sky(
    frames: FrameStore, indices: Sequence[int], pattern: np.ndarray, masked: FrameStore, parameters: SourceParameters
) -> list[float]:
    """The same with each frame divided by its own smooth sky: what is left is 1 plus what varies on small scales.

    `pattern` (ny, nx) is a first guess of that.
    """
    covered = []
    for index in indices:
        frame = frames.frame(index)
        level, sources = sky_and_sources(frame, pattern, parameters)
        covered.append(float(sources.mean()))
        frame /= level
        frame[sources] = np.nan
        masked.add(frame)
    return covered


def smoothed(pattern: np.ndarray, usable: np.ndarray, sigma: float) -> np.ndarray:
    """`pattern` (ny, nx) float32 smoothed by a Gaussian of `sigma` px, without the pixels that are not `usable`."""
    if sigma == 0:
        return pattern
    total = ndimage.gaussian_filter(np.where(usable, pattern, 0).astype(np.float32), sigma, mode="nearest")
    share = ndimage.gaussian_filter(usable.astype(np.float32), sigma, mode="nearest")
    return np.divide(total, share, out=np.zeros_like(total), where=share > 1e-3)


def amplitude(pattern: np.ndarray, usable: np.ndarray) -> float:
    """Half the range of the middle 68 % of the smoothed `pattern` (ny, nx): its noise counts little."""
    smooth = ndimage.uniform_filter(np.where(usable, pattern, 0), _SMOOTH)
    cover = ndimage.uniform_filter(usable.astype(np.float32), _SMOOTH)
    values = (smooth / np.maximum(cover, 1e-6))[cover > 0.5]
    low, high = np.percentile(values, [15.865, 84.135]) if values.size else (0.0, 0.0)
    return float(high - low) / 2
