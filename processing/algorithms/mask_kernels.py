"""Loops that find the pixels of sources and haloes, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

SMALL, GIANT, OTHER = 1, 2, 3  # what `saturated_components` calls a pixel; 0 where it did not come to


@njit(cache=True, error_model="numpy")
def smoothed_above(data, rms, mask, threshold):
    """Where `data` / `rms`, 0 at `mask`, exceeds `threshold` when smoothed by a 5×5 binomial: (ny, nx) bool.

    `data`, `rms` (ny, nx) float32; `mask` (ny, nx) bool. The edges are continued by their outermost pixels.
    """
    ny, nx = data.shape
    rows, line = np.empty((5, nx), np.float32), np.empty(nx + 4, np.float32)
    found = np.empty((ny, nx), np.bool_)
    ready = 0
    for y in range(ny):
        while ready <= min(y + 2, ny - 1):
            for x in range(nx):
                rows[ready % 5, x] = np.float32(0) if mask[ready, x] else data[ready, x] / rms[ready, x]
            ready += 1
        a, b, c = rows[max(y - 2, 0) % 5], rows[max(y - 1, 0) % 5], rows[y % 5]
        d, e = rows[min(y + 1, ny - 1) % 5], rows[min(y + 2, ny - 1) % 5]
        for x in range(nx):
            line[x + 2] = _binomial(a[x], b[x], c[x], d[x], e[x])
        line[:2], line[nx + 2 :] = line[2], line[nx + 1]
        for x in range(nx):
            found[y, x] = _binomial(line[x], line[x + 1], line[x + 2], line[x + 3], line[x + 4]) > threshold
    return found


@njit(cache=True)
def _binomial(a, b, c, d, e):
    sums = (float(a) + float(e)) * 0.0625 + (float(b) + float(d)) * 0.25
    return np.float32(float(c) * 0.375 + sums)


@njit(cache=True)
def saturated_components(light, saturated, least, largest):
    """The 8-connected components of both masks (ny, nx) bool that hold `least` saturated pixels: (ny, nx) uint8.

    One of more than `largest` pixels is GIANT, others are SMALL.
    """
    ny, nx = light.shape
    state = np.zeros((ny, nx), np.uint8)
    pixels = np.empty(1024, np.int64)
    for start in range(ny * nx):
        if not saturated[start // nx, start % nx] or state[start // nx, start % nx] != 0:
            continue
        state[start // nx, start % nx] = OTHER
        pixels[0] = start
        count, done, cores = 1, 0, 0
        while done < count:
            y, x = pixels[done] // nx, pixels[done] % nx
            cores += saturated[y, x]
            done += 1
            for j in range(max(y - 1, 0), min(y + 2, ny)):
                for i in range(max(x - 1, 0), min(x + 2, nx)):
                    if state[j, i] == 0 and (light[j, i] or saturated[j, i]):
                        state[j, i] = OTHER
                        if count == pixels.size:
                            pixels = np.concatenate((pixels, np.empty_like(pixels)))
                        pixels[count] = j * nx + i
                        count += 1
        if cores >= least:
            for k in range(count):
                state[pixels[k] // nx, pixels[k] % nx] = GIANT if count > largest else SMALL
    return state
