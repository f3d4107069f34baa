"""Loops in search of straight trails, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def block_means(data, weight, block):
    """Means of the usable pixels of blocks, each clipped at ± 3 of its noise; and how many there were.

    Both (ny // block, nx // block), float32 and int32; in units of the noise of a pixel.
    """
    ny, nx = data.shape[0] // block, data.shape[1] // block
    means, counts = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.int32)
    for y in range(ny * block):
        for x in range(nx * block):
            w = weight[y, x]
            if w > 0:
                value = data[y, x] * np.sqrt(w)
                means[y // block, x // block] += min(max(value, np.float32(-3)), np.float32(3))
                counts[y // block, x // block] += 1
    for j in range(ny):
        for i in range(nx):
            if counts[j, i] > 0:
                means[j, i] /= np.sqrt(np.float32(counts[j, i]))
    return means, counts


@njit(cache=True)
def hough(values, angles):
    """Sums of `values` (ny, nx) float32 along lines x cos a + y sin a = r, and how many values each line has.

    Both (angles, distances): float32 and int32. Distance r is in column r + n // 2 of n.
    """
    ny, nx = values.shape
    reach = int(np.ceil(np.sqrt(ny * ny + nx * nx))) + 1
    total = np.zeros((angles.size, 2 * reach + 1), np.float32)
    count = np.zeros((angles.size, 2 * reach + 1), np.int32)
    for k in range(angles.size):
        cosine, sine = np.cos(angles[k]), np.sin(angles[k])
        for y in range(ny):
            start = y * sine + reach + 0.5
            for x in range(nx):
                value = values[y, x]
                if value != 0:
                    r = int(start + x * cosine)
                    total[k, r] += value
                    count[k, r] += 1
    return total, count


@njit(cache=True, error_model="numpy")
def along_line(data, weight, angle, distance, reach, piece):
    """Median of the pixels at each distance from a line, in pieces along it: a star is only in a part of a piece.

    Returns the profiles (pieces, 2 reach + 1) float64 in units of `data`, the error of one of their values (pieces,),
    and the places of the pieces along the line (pieces,), px; pieces with too few usable pixels are left out.
    """
    ny, nx = data.shape
    cosine, sine = np.cos(angle), np.sin(angle)
    length = int(np.ceil(np.sqrt(ny * ny + nx * nx)))
    n, width = 2 * length // piece + 1, 2 * reach + 1
    profiles, errors, places = np.zeros((n, width)), np.zeros(n), np.zeros(n)
    values = np.empty(piece)
    used = 0
    for k in range(n):
        first = -length + k * piece
        variance, total, least = 0.0, 0, piece
        for j in range(width):
            count = 0
            for step in range(piece):
                far, along = distance + j - reach, first + step
                x, y = int(np.rint(far * cosine - along * sine)), int(np.rint(far * sine + along * cosine))
                if 0 <= x < nx and 0 <= y < ny and weight[y, x] > 0:
                    values[count] = data[y, x]
                    variance += 1 / weight[y, x]
                    count += 1
            least = min(least, count)
            total += count
            if count > 0:
                profiles[used, j] = np.median(values[:count])
        if least < piece // 4:
            continue
        errors[used] = 1.2533 * np.sqrt(variance / total / (total / width))
        places[used] = first + piece / 2
        used += 1
    return profiles[:used], errors[:used], places[:used]


@njit(cache=True)
def paint_line(mask, angle, distance, half_width, extent):
    """Set the pixels of `mask` (ny, nx) bool within `half_width` of a line and between the two places of `extent`."""
    ny, nx = mask.shape
    cosine, sine = np.cos(angle), np.sin(angle)
    for y in range(ny):
        first, last = 0, nx - 1
        if abs(cosine) > 1e-6:
            one = (distance - half_width - y * sine) / cosine
            other = (distance + half_width - y * sine) / cosine
            first, last = max(0, int(np.floor(min(one, other)))), min(nx - 1, int(np.ceil(max(one, other))))
        for x in range(first, last + 1):
            along = y * cosine - x * sine
            if abs(x * cosine + y * sine - distance) <= half_width and extent[0] <= along <= extent[1]:
                mask[y, x] = True
