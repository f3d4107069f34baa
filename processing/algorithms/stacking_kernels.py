"""Loops over the pixels of many frames, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _sort(columns, pairs):
    """Sort each column of (n, nx) by comparing whole rows pair by pair, which become vector instructions."""
    for k in range(pairs.shape[0]):
        low, high = columns[pairs[k, 0]], columns[pairs[k, 1]]
        for x in range(low.size):
            a, b = low[x], high[x]
            low[x] = a if a < b else b
            high[x] = b if a < b else a


@njit(cache=True)
def _middle(ordered, count, found):
    """The median of the first `count` (nx,) values of each sorted column into `found` (nx,); 0 of none."""
    for x in range(found.size):
        n = count[x]
        found[x] = np.float32(0.5) * (ordered[(n - 1) // 2, x] + ordered[n // 2, x]) if n > 0 else np.float32(0)


@njit(cache=True, error_model="numpy")
def combine(stack, scales, weights, read_variance, shot, clip, takes_median, pairs):
    """The robust mean of (n, ny, nx) float32 frames, NaN left out: mean, variance, number of values, reduced χ².

    All four are (ny, nx): float32, float32, uint16 and float32. A frame is `scales` (n,) times fainter than what was
    read, whose variance is `read_variance` (ny, nx) plus `shot` (ny, nx) times its signal. Left out are values farther
    than `clip` sigma from the median, sigma being that of this model, or the scatter of a pixel that varies more than
    twice as much. The rest is averaged with `weights` (n,), or its median taken. `pairs` (m, 2) is a sorting network
    of n values. χ² is about the best mean of the model.
    """
    n, ny, nx = stack.shape
    mean, variance = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.float32)
    number, chi2 = np.zeros((ny, nx), np.uint16), np.ones((ny, nx), np.float32)
    ordered = np.empty((n, nx), np.float32)
    middle, spread = np.empty(nx, np.float32), np.empty(nx, np.float32)
    count, infinite = np.empty(nx, np.int64), np.float32(np.inf)
    sums = np.empty((7, nx))
    total, weight, power, kept, square, off_sum, inverse = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6]
    for y in range(ny):
        count[:] = 0
        for k in range(n):
            for x in range(nx):
                value = stack[k, y, x]
                is_there = value == value
                count[x] += is_there
                ordered[k, x] = value if is_there else infinite
        _sort(ordered, pairs)
        _middle(ordered, count, middle)
        for k in range(n):
            for x in range(nx):
                ordered[k, x] = abs(ordered[k, x] - middle[x])
        _sort(ordered, pairs)
        _middle(ordered, count, spread)
        sums[:] = 0.0
        for k in range(n):
            scale, w = scales[k], weights[k]
            for x in range(nx):
                signal = max(middle[x] * scale, np.float32(0))
                model = (read_variance[y, x] + shot[y, x] * signal) / (scale * scale)
                scatter = np.float32(1.4826) * spread[x]
                sigma2 = scatter * scatter if scatter * scatter > 4 * model else model
                off = stack[k, y, x] - middle[x]
                inside = w if off * off <= clip * clip * sigma2 else 0.0  # false for NaN
                if inside > 0:
                    total[x] += inside * off
                    weight[x] += inside
                    power[x] += inside * inside * sigma2
                    square[x] += off * off / model
                    off_sum[x] += off / model
                    inverse[x] += 1 / model
                    kept[x] += 1.0
        for x in range(nx):
            if weight[x] > 0:
                shift = total[x] / weight[x]
                mean[y, x] = middle[x] if takes_median else middle[x] + shift
                variance[y, x] = power[x] / (weight[x] * weight[x])
                number[y, x] = kept[x]
                if kept[x] > 1:
                    chi2[y, x] = (square[x] - off_sum[x] * off_sum[x] / inverse[x]) / (kept[x] - 1)
    return mean, variance, number, chi2
