"""Statistics that outliers do not spoil: clipped means and spreads, modes, and the noise from pixel differences."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

_MOST_PAIRS = 600_000  # pixel pairs are enough for the noise to 0.1 %
_QUANTILE_SAMPLE = 100_000


@cache
def truncation_factor(sigma: float) -> float:
    """Standard deviation of a unit Gaussian cut at ± `sigma`: what clipping leaves of the spread of pure noise."""
    density = np.exp(-(sigma**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.sqrt(1 - 2 * sigma * density / (ndtr(sigma) - ndtr(-sigma))))


def clipped_mean(
    values: np.ndarray, *, sigma: float = 3.0, iterations: int = 5, axis: int | tuple[int, ...] | None = None
) -> float | np.ndarray:
    """Mean of the values within `sigma` standard deviations of it, along `axis` (all axes for None).

    NaN are left out; NaN is returned where nothing is left. The first centre is the median, every later one
    the mean: on integer data the median is quantised and the mean is not.
    """
    return _clipped(values, sigma, iterations, axis)[0]


def clipped_std(
    values: np.ndarray, *, sigma: float = 3.0, iterations: int = 5, axis: int | tuple[int, ...] | None = None
) -> float | np.ndarray:
    """Standard deviation of the values that `clipped_mean` averages.

    Corrected for what the clipping takes away from Gaussian noise.
    """
    return _clipped(values, sigma, iterations, axis)[1]


def clipped_mean_and_std(values: np.ndarray, *, sigma: float = 3.0) -> tuple[float, float]:
    """`clipped_mean` and `clipped_std` of all values, found together."""
    return _clipped(values, sigma, 5, None)


def mad_std(values: np.ndarray) -> float:
    """1.4826 times the median absolute deviation; not for integer data, where it moves in steps. NaN of nothing."""
    values = np.asarray(values, float).ravel()
    if values.size == 0:
        return float("nan")
    return float(np.median(np.abs(values - np.median(values))) / ndtri(0.75))


def masked_median(values: np.ndarray, where: np.ndarray, axis: int) -> np.ndarray:
    """Median along `axis` of the values chosen by `where` (bool, of the same shape), float64; 0 where none is.

    One sort of float32: several times faster than the median of an array with NaN.
    """
    where = np.moveaxis(where, axis, -1)
    ordered = np.full(where.shape, np.inf, np.float32)  # in this order each sort runs through neighbours in memory
    np.copyto(ordered, np.moveaxis(values, axis, -1), where=where, casting="same_kind")
    ordered.sort(axis=-1)
    count = where.sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, where.shape[-1] - 1), axis=-1)
    return np.where(count > 0, 0.5 * (low + high), 0).astype(float)[..., 0]


def half_sample_mode(values: np.ndarray) -> float:
    """The mode of a sample by repeatedly keeping its densest half (Bickel & Frühwirth 2006). NaN of nothing."""
    values = np.sort(np.asarray(values, float).ravel())
    if values.size == 0:
        return float("nan")
    while values.size > 3:
        size = (values.size + 1) // 2
        widths = values[size - 1 :] - values[: values.size - size + 1]
        start = int(np.argmin(widths))
        values = values[start : start + size]
    if values.size == 3:
        low, high = values[1] - values[0], values[2] - values[1]
        values = values[:2] if low < high else values[1:] if high < low else values[1:2]
    return float(values.mean())


def difference_noise(data: np.ndarray, mask: np.ndarray, lag: int = 4, *, unit: np.ndarray | None = None) -> float:
    """Noise of one pixel of `data` (ny, nx), in those of `unit` if given, from unmasked pixels `lag` columns apart.

    4σ-clipped standard deviation of the differences over √2: blind to gradients and, unlike the median absolute
    deviation, unbiased on integer data. NaN when no pair is unmasked.
    """
    rows = max(1, data.size // _MOST_PAIRS)
    data, mask = data[::rows] if unit is None else data[::rows] / unit[::rows], mask[::rows]
    usable = ~(mask[:, lag:] | mask[:, :-lag])
    differences = data[:, lag:][usable].astype(np.float64) - data[:, :-lag][usable]
    return float(clipped_std(differences, sigma=4.0) / np.sqrt(2))


def _clipped(values, sigma, iterations, axis):
    values = np.asarray(values)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    if axis is None:
        centre, spread = _clip(values[np.isfinite(values)], sigma, iterations, None)
        return float(centre), float(spread)
    return _clip(values, sigma, iterations, axis)


def _clip(values, sigma, iterations, axis):
    if values.size == 0:
        return np.nan, np.nan
    factor = truncation_factor(sigma)
    low, centre, high = _quantiles(values, axis)
    spread = (high - low) / 2
    count = None
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(iterations):
            within = np.abs(values - centre) <= sigma * spread
            before, count = count, np.count_nonzero(within, axis=axis, keepdims=True)
            centre = np.sum(values, axis=axis, keepdims=True, where=within, dtype=np.float64) / count
            square = np.sum((values - centre) ** 2, axis=axis, keepdims=True, where=within, dtype=np.float64)
            spread = np.sqrt(square / count) / factor
            if before is not None and np.array_equal(before, count):
                break
    return np.squeeze(centre, axis), np.squeeze(spread, axis)


def _quantiles(values, axis):
    if axis is None and values.size > 2 * _QUANTILE_SAMPLE:
        values = values[:: values.size // _QUANTILE_SAMPLE]  # only the start of the clipping
    if not np.isnan(values).any():  # the other function goes through the rows one by one
        return np.percentile(values, [15.87, 50, 84.13], axis=axis, keepdims=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.nanpercentile(values, [15.87, 50, 84.13], axis=axis, keepdims=True)
