"""Loops over the pixels of the frames of a coadd, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

from processing.algorithms.stacking_kernels import _middle, _sort

WING, SEED = 1, 2  # of what deviates in a frame
UNUSABLE, FULL = 1, 2  # bits of pixels while they are warped


@njit(cache=True)
def as_bits(weight, flags, unusable, full):
    """UNUSABLE where `weight` is not above 0 or `flags` has a bit of `unusable`, FULL where one of `full`; uint16."""
    found = np.zeros(flags.shape, np.uint16)
    for y in range(flags.shape[0]):
        for x in range(flags.shape[1]):
            is_out = not weight[y, x] > 0 or (flags[y, x] & unusable) != 0
            found[y, x] = UNUSABLE * is_out + FULL * ((flags[y, x] & full) != 0)
    return found


@njit(cache=True)
def count_full(bits, saturated):
    """Count the FULL pixels of a warped frame in `saturated`."""
    for y in range(bits.shape[0]):
        for x in range(bits.shape[1]):
            saturated[y, x] += (bits[y, x] & FULL) != 0


@njit(cache=True)
def medians(values, there, factors, pairs):
    """Median (ny, nx) of the frames `values` (n, ny, nx) times `factors` (n,) where `there` is not NaN; 0 of none.

    All float32; `pairs` (m, 2) is a sorting network of n values.
    """
    n, ny, nx = values.shape
    found = np.zeros((ny, nx), np.float32)
    ordered, count = np.empty((n, nx), np.float32), np.empty(nx, np.int64)
    infinite = np.float32(np.inf)
    for y in range(ny):
        count[:] = 0
        for k in range(n):
            factor = factors[k]
            for x in range(nx):
                is_there = there[k, y, x] == there[k, y, x]
                count[x] += is_there
                ordered[k, x] = values[k, y, x] * factor if is_there else infinite
        _sort(ordered, pairs)
        _middle(ordered, count, found[y])
    return found


@njit(cache=True)
def contrast(values):
    """Largest minus smallest of the 5 × 5 pixels around each of `values` (ny, nx) float32."""
    ny, nx = values.shape
    low, high = np.empty((ny, nx), np.float32), np.empty((ny, nx), np.float32)
    found = np.empty((ny, nx), np.float32)
    for y in range(ny):
        low[y], high[y] = values[y], values[y]
        for step in (-2, -1, 1, 2):
            other = values[min(max(y + step, 0), ny - 1)]
            for x in range(nx):
                low[y, x] = min(low[y, x], other[x])
                high[y, x] = max(high[y, x], other[x])
    for y in range(ny):
        for x in range(2, nx - 2):
            top = max(max(high[y, x - 2], high[y, x - 1]), max(max(high[y, x], high[y, x + 1]), high[y, x + 2]))
            bottom = min(min(low[y, x - 2], low[y, x - 1]), min(min(low[y, x], low[y, x + 1]), low[y, x + 2]))
            found[y, x] = top - bottom
        for x in range(nx):
            if 2 <= x < nx - 2:
                continue
            first, last = max(x - 2, 0), min(x + 3, nx)
            found[y, x] = np.max(high[y, first:last]) - np.min(low[y, first:last])
    return found


@njit(cache=True, error_model="numpy")
def judge(stack, planes, scales, limits, allowed):
    """What in each frame deviates from the median: (n, ny, nx) uint8, SEED where few frames do, WING beside.

    `planes` is (median, noise per unit of scale², contrast), all (ny, nx); `scales` (n,) times the root of the noise is
    the sigma of a frame. `limits` is (sigma of an artefact, part of the contrast that is allowed, part of the largest
    deviation that counts as the same, part of the threshold for that, part of it for wings); `allowed` (n + 1,) how
    many frames may show an artefact where so many are usable.
    """
    n, ny, nx = stack.shape
    middle, noise, slope = planes
    artefact, sharpness, alike, seen_part, wing_part = limits
    found = np.zeros((n, ny, nx), np.uint8)
    inverse, largest = np.empty(nx, np.float32), np.empty(nx, np.float32)
    usable, seen = np.empty(nx, np.int64), np.empty(nx, np.int64)
    for y in range(ny):
        for x in range(nx):
            inverse[x] = np.float32(1) / np.sqrt(noise[y, x]) if noise[y, x] > 0 else np.float32(1)
            largest[x], usable[x], seen[x] = np.float32(0), 0, 0
        for k in range(n):
            per = np.float32(1) / scales[k]
            for x in range(nx):
                off = abs(stack[k, y, x] - middle[y, x]) * inverse[x] * per
                is_there = off == off
                usable[x] += is_there
                largest[x] = max(largest[x], off if is_there else np.float32(0))
        for x in range(nx):
            largest[x] = max(seen_part * artefact, alike * largest[x])
        for k in range(n):
            per = np.float32(1) / scales[k]
            for x in range(nx):
                seen[x] += abs(stack[k, y, x] - middle[y, x]) * inverse[x] * per >= largest[x]
        for k in range(n):
            per = np.float32(1) / scales[k]
            for x in range(nx):
                unit = inverse[x] * per
                steep = slope[y, x] * unit
                # On empty sky the contrast of the median is its noise, which must not hide a faint trail.
                excess = abs(stack[k, y, x] - middle[y, x]) * unit - sharpness * (steep if steep > 3 else 0)
                if excess > wing_part * artefact:
                    is_seed = excess > artefact and seen[x] <= allowed[usable[x]]
                    found[k, y, x] = SEED if is_seed else WING
    return found


@njit(cache=True)
def reject(stack, verdict, first, last):
    """Make NaN of seeds in the frames `stack` and of the wings beside them; their number (n,) in rows first…last."""
    n, ny, nx = stack.shape
    number = np.zeros(n, np.int64)
    for k in range(n):
        for y in range(ny):
            for x in range(nx):
                judged = verdict[k, y, x]
                if judged == 0:
                    continue
                is_out = judged == SEED
                if not is_out:
                    for b in range(max(y - 1, 0), min(y + 2, ny)):
                        for a in range(max(x - 1, 0), min(x + 2, nx)):
                            is_out |= verdict[k, b, a] == SEED
                if is_out:
                    stack[k, y, x] = np.nan
                    number[k] += first <= y < last
    return number


@njit(cache=True, error_model="numpy")
def figures(stack, middle, noise, scales, first, last):
    """Sums (n, 5) in rows first…last that tell a frame that does not belong to the others.

    Flux of the frame, and that of the median, where that is above 10 sigma (values beyond thrice the median count as
    thrice); number of pixels of sky, of those within 4 sigma, and the sum of their squared deviations.
    """
    n, nx = stack.shape[0], stack.shape[2]
    found = np.zeros((n, 5))
    for k in range(n):
        for y in range(first, last):
            for x in range(nx):
                value, level, sigma = stack[k, y, x], middle[y, x], scales[k] * np.sqrt(noise[y, x])
                if value != value or sigma <= 0:
                    continue
                if level > 10 * sigma:
                    found[k, 0] += min(value, 3 * level)
                    found[k, 1] += level
                elif abs(level) < 3 * sigma:
                    off = (value - level) / sigma
                    found[k, 2] += 1
                    if abs(off) < 4:
                        found[k, 3] += 1
                        found[k, 4] += off * off
    return found


@njit(cache=True, error_model="numpy")
def weighted_mean(stack, variance, weights):
    """Mean of the frames (n, ny, nx) with `weights` (n,), NaN left out: mean, its variance, number, all (ny, nx).

    float32, float32 and uint16; 0 where there is no value.
    """
    n, ny, nx = stack.shape
    mean, spread = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.float32)
    number = np.zeros((ny, nx), np.uint16)
    sums = np.empty((4, nx))
    total, weight, power, count = sums[0], sums[1], sums[2], sums[3]
    for y in range(ny):
        sums[:] = 0.0
        for k in range(n):
            w = weights[k]
            for x in range(nx):
                value = stack[k, y, x]
                is_there = value == value
                total[x] += w * value if is_there else 0.0
                weight[x] += w if is_there else 0.0
                power[x] += w * w * variance[k, y, x] if is_there else 0.0
                count[x] += is_there
        for x in range(nx):
            if weight[x] > 0:
                mean[y, x] = total[x] / weight[x]
                spread[y, x] = power[x] / (weight[x] * weight[x])
                number[y, x] = count[x]
    return mean, spread, number
