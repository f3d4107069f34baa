"""Loops over pixels in search of cosmic rays, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


@njit(cache=True, error_model="numpy")
def sharper_than_psf(data, weight, least, ratios, margin):
    """Pixels (ny, nx) bool above `least` that fall off faster than a star to both sides of at least one direction.

    `ratios` (4,) are what a centred star has beside its brightest pixel over what it has there: along x, along y and
    along the two diagonals; `margin` is in standard deviations of the comparison. A direction with an unusable
    neighbour does not count.
    """
    ny, nx = data.shape
    found = np.zeros((ny, nx), np.bool_)
    for y in range(1, ny - 1):
        for x in range(1, nx - 1):
            value = data[y, x]
            if value < least or weight[y, x] <= 0:
                continue
            for k in range(4):
                dy, dx = _STEPS[k]
                first, second = weight[y + dy, x + dx], weight[y - dy, x - dx]
                if first <= 0 or second <= 0:
                    continue
                beside = (data[y + dy, x + dx] + data[y - dy, x - dx]) * np.float32(0.5)
                allowed = ratios[k] * value
                error = ratios[k] * ratios[k] / weight[y, x] + (1 / first + 1 / second) * np.float32(0.25)
                if allowed - beside > margin * np.sqrt(error):
                    found[y, x] = True
                    break
    return found


@njit(cache=True)
def grow_hits(data, weight, hits, least):
    """`hits` (ny, nx) bool with those neighbours whose `data` are above `least`."""
    ny, nx = hits.shape
    grown = hits.copy()
    for y in range(ny):
        for x in range(nx):
            if not hits[y, x]:
                continue
            for j in range(max(y - 1, 0), min(y + 2, ny)):
                for i in range(max(x - 1, 0), min(x + 2, nx)):
                    if weight[j, i] > 0 and data[j, i] > least:
                        grown[j, i] = True
    return grown
