"""The variance of each pixel: that of the measured sky, and of the light of sources where there is some."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_BOX = 5  # px in which faint light is looked for
_SINGLE, _TOGETHER = 5.0, 3.0  # σ of one pixel and of the mean of a box above which light is more than noise
_THIN = 16  # every such box along both axes tells the noise


def total_variance(weight: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """Variance (ny, nx) float32, electrons², from an inverse variance `weight` (0: unusable) and the `rms` of the sky.

    An image's own variance follows its own noisy counts. Taken as it is it makes upward fluctuations less significant
    than downward ones; the larger of it and that of the sky is 3 % too large on empty sky of 100 electrons. So what is
    above the sky counts where it is more than noise: as it is in bright pixels, as the mean of 5×5 px in faint ones.
    """
    from processing.algorithms.pixel_loops import add_light

    weight, rms = (np.ascontiguousarray(plane, np.float32) for plane in (weight, rms))
    return add_light(weight, rms, *_limits(weight, rms))


def _limits(weight: np.ndarray, rms: np.ndarray) -> tuple[np.float32, np.float32]:
    """What the excess over the sky must exceed to be light: that of one pixel, and the mean of a box."""
    if min(weight.shape) < _BOX:
        return np.float32(0), np.float32(0)
    views = [sliding_window_view(plane, (_BOX, _BOX))[::_THIN, ::_THIN] for plane in (weight, rms)]
    boxes, sky = (view.reshape(-1, _BOX**2) for view in views)
    boxes, sky = boxes[(boxes > 0).all(axis=1)], sky[(boxes > 0).all(axis=1)]
    excess = 1 / boxes - sky**2
    return _SINGLE * _spread(excess[:, _BOX**2 // 2]), _TOGETHER * _spread(excess.mean(axis=1))


def _spread(values: np.ndarray) -> np.float32:
    """Robust standard deviation, not lifted by sources: of what is below the median."""
    if not values.size:
        return np.float32(0)
    middle = np.median(values)
    return np.float32(1.4826 * np.median(middle - values[values <= middle]))
