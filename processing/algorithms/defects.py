"""Defects of a detector, found in its master frames: dead, hot and unstable pixels, and columns or parts of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from processing.algorithms.background import smooth_level
from processing.algorithms.statistics import mad_std
from processing.errors import BadInput
from processing.parameters import Parameters, param

_WINDOW = 64  # rows of a column that are judged together
_BESIDE = 15  # columns that a column is held against
_SMOOTH = 32  # px, scale above which a change of the response is no defect
_FEW = 0.02  # a test that would flag more of the pixels is not understood


class DefectParameters(Parameters):
    """What makes a pixel a defect."""

    response: float = param(0.25, gt=0, lt=1, help="Flat: deviation from the smooth response around a pixel.")
    ratio: float = param(0.05, gt=0, help="Flats of two levels: deviation of their ratio from that around a pixel.")
    hot: float = param(2.0, gt=0, unit="electron/s", help="Dark current above that of the CCD.")
    bias: float = param(30.0, gt=0, unit="electron", help="Bias: deviation from the other pixels of row and column.")
    column: float = param(0.02, gt=0, help="Flat: mean deviation of a part of a column from those beside it.")
    significance: float = param(8.0, gt=0, unit="sigma", help="Every deviation must also be this many times the noise.")
    filled: float = param(0.3, gt=0, le=1, help="Part of the pixels from which a part of a column is a defect.")


def bad_response(flat: np.ndarray, parameters: DefectParameters) -> np.ndarray:
    """Pixels (ny, nx) bool that respond otherwise than those around them; `flat` is the relative response."""
    off = relative_to_smooth(flat)
    return np.abs(off) > max(parameters.response, parameters.significance * mad_std(off[::2, ::2]))


def bad_columns(flat: np.ndarray, parameters: DefectParameters) -> np.ndarray:
    """Parts of columns (ny, nx) bool that respond otherwise than those beside them, in windows of 64 rows."""
    off = np.clip(relative_to_smooth(flat), -0.3, 0.3)
    starts = np.arange(0, flat.shape[0], _WINDOW)
    counts = np.diff(np.append(starts, flat.shape[0]))[:, None]
    means = np.add.reduceat(off, starts, axis=0) / counts
    means -= ndimage.median_filter(means, size=(1, _BESIDE), mode="nearest")
    found = np.abs(means) > max(parameters.column, parameters.significance * mad_std(means))
    return np.repeat(found, counts[:, 0], axis=0)


def unstable_ratio(high: np.ndarray, low: np.ndarray, noise: float, parameters: DefectParameters) -> np.ndarray:
    """Pixels (ny, nx) bool whose flats of a high and a low level differ by more than the level; `noise` is relative."""
    ratio = np.divide(high, low, out=np.ones_like(high), where=low > 0)
    off = relative_to_smooth(ratio)
    return (np.abs(off) > max(parameters.ratio, parameters.significance * noise)) & (low > 0.1 * np.median(low[::4]))


def hot_pixels(dark: np.ndarray, noise: float, parameters: DefectParameters) -> np.ndarray:
    """Pixels (ny, nx) bool with a dark current above that of the CCD; `dark` and its `noise` in electron/s."""
    current = dark - np.median(dark[::4])
    return current > max(parameters.hot, parameters.significance * noise)


def odd_bias(bias: np.ndarray, parameters: DefectParameters) -> np.ndarray:
    """Pixels (ny, nx) bool whose `bias` (electrons) differs from the rest of their column and row."""
    off = bias - np.median(bias, axis=0)
    off -= np.median(off, axis=1, keepdims=True)
    return np.abs(off) > max(parameters.bias, parameters.significance * mad_std(off[::2, ::2]))


def filled_columns(found: np.ndarray, parameters: DefectParameters) -> np.ndarray:
    """Fill windows of 64 rows of a column in which many pixels are defects; (ny, nx) bool."""
    starts = np.arange(0, found.shape[0], _WINDOW)
    counts = np.diff(np.append(starts, found.shape[0]))[:, None]
    part = np.add.reduceat(found.astype(np.int32), starts, axis=0) / counts
    return found | np.repeat(part >= parameters.filled, counts[:, 0], axis=0)


def refuse_too_many(found: dict[str, np.ndarray]) -> None:
    """BadInput where a test flags so much that its frame cannot be right."""
    for name, mask in found.items():
        if mask.mean() > _FEW:
            reason = f"the test of the {name} would flag {mask.mean():.1%} of the pixels; is its frame right?"
            raise BadInput(what="the bad-pixel mask", reason=reason)


def relative_to_smooth(plane: np.ndarray) -> np.ndarray:
    """`plane` (ny, nx) over its smooth part, less 1; float32."""
    level = float(np.median(plane[::4, ::4]))
    noise = max(mad_std(plane[::4, ::4]), 1e-6 * abs(level))
    smooth = smooth_level(plane, ~np.isfinite(plane) | (plane < 0.5 * level), _SMOOTH, noise)
    return plane / np.maximum(smooth, np.float32(1e-3 * level)) - 1
