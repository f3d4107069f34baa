"""Loops over the sources of an image, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

from processing.algorithms.psf_kernels import combine, sample_values

_REACH = 4.0  # σ: half size of the window


@njit(cache=True)
def windowed_positions(data, usable, x, y, sigma, iterations):
    """Centroids (n, 3) under a round Gaussian of `sigma` px that follows the source: x, y, 1 where it settled.

    `data` (ny, nx) float32 without background; `usable` (ny, nx) bool; `x`, `y` (n,) first positions.
    """
    ny, nx = data.shape
    half = int(np.ceil(_REACH * sigma))
    size = 2 * half + 1
    found = np.zeros((x.size, 3))
    wx, wy = np.empty(size), np.empty(size)
    for k in range(x.size):
        at_x, at_y = x[k], y[k]
        for _ in range(iterations):
            i0, j0 = int(np.floor(at_x + 0.5)) - half, int(np.floor(at_y + 0.5)) - half
            for a in range(size):
                wx[a] = np.exp(-0.5 * ((i0 + a - at_x) / sigma) ** 2)
                wy[a] = np.exp(-0.5 * ((j0 + a - at_y) / sigma) ** 2)
            total = sx = sy = 0.0
            for j in range(max(0, -j0), min(size, ny - j0)):
                line = first = 0.0
                for i in range(max(0, -i0), min(size, nx - i0)):
                    if usable[j0 + j, i0 + i]:
                        light = wx[i] * data[j0 + j, i0 + i]
                        line += light
                        first += light * (i0 + i - at_x)
                total += wy[j] * line
                sx += wy[j] * first
                sy += wy[j] * line * (j0 + j - at_y)
            if total <= 0:
                break
            dx, dy = 2 * sx / total, 2 * sy / total
            at_x, at_y = at_x + dx, at_y + dy
            if abs(at_x - x[k]) > half or abs(at_y - y[k]) > half:
                break
            if dx * dx + dy * dy < 1e-8:
                found[k, 2] = 1.0
                break
        found[k, 0], found[k, 1] = at_x, at_y
    return found


@njit(cache=True)
def ring_medians(image, columns, rows, radii, angles):
    """Median (n,) of `image` (ny, nx) at `angles` points on each circle of `radii` px; what is beyond the edge is 0."""
    ny, nx = image.shape
    values = np.empty(radii.size * angles)
    found = np.empty(columns.size)
    turn = 2 * np.pi * np.arange(angles) / angles
    for k in range(columns.size):
        n = 0
        for radius in radii:
            for angle in turn:
                i = int(np.floor(columns[k] + radius * np.cos(angle) + 0.5))
                j = int(np.floor(rows[k] + radius * np.sin(angle) + 0.5))
                values[n] = image[j, i] if 0 <= i < nx and 0 <= j < ny else 0.0
                n += 1
        found[k] = np.median(values)
    return found


@njit(cache=True)
def spread(data, variance, mask, psf, wide, step, terms, norms, places, radius):
    """How much wider than the PSF each source is, (n, 2): the statistic and its error; 0 and inf where nothing is seen.

    `psf`, `wide` (terms, m, m) float64 are spline coefficients of the PSF and of the PSF of a small disc; `terms`, and
    `norms` of both (n, 2), are those of the model at the sources; `places` (n, 2) x, y; pixels within `radius` count.
    """
    ny, nx = data.shape
    half = int(np.ceil(radius)) + 1
    size = 2 * half + 1
    star, disc = np.zeros((size, size)), np.zeros((size, size))
    reach = step * half + step + 3
    found = np.zeros((places.shape[0], 2))
    for k in range(places.shape[0]):
        x, y = places[k]
        px, py = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        dx, dy = x - px, y - py
        sample_values(combine(psf, terms[k], reach), step, dx, dy, half, radius, star)
        sample_values(combine(wide, terms[k], reach), step, dx, dy, half, radius, disc)
        seen_disc = seen_star = both = stars = discs = 0.0
        for j in range(max(0, half - py), min(size, ny + half - py)):
            for i in range(max(0, half - px), min(size, nx + half - px)):
                r, c = py + j - half, px + i - half
                away = (i - half - dx) ** 2 + (j - half - dy) ** 2
                if mask[r, c] or variance[r, c] <= 0 or away > radius * radius:
                    continue
                w = 1.0 / variance[r, c]
                a, b = star[j, i] / norms[k, 0], disc[j, i] / norms[k, 1]
                seen_star += w * a * data[r, c]
                seen_disc += w * b * data[r, c]
                stars += w * a * a
                both += w * a * b
                discs += w * b * b
        found[k, 1] = np.inf
        if seen_star > 0 and stars > 0:
            found[k, 0] = seen_disc / seen_star - both / stars
            square = discs * seen_star**2 + stars * seen_disc**2 - 2 * both * seen_star * seen_disc
            found[k, 1] = np.sqrt(max(square, 0.0)) / seen_star**2
    return found
