"""Loops over meshes and stars, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def mesh_statistics(data, mask, y_edges, x_edges, noise, clip, factor):
    """Clipped mean, clipped standard deviation over `factor`, and number of unmasked pixels of every mesh.

    `data` (ny, nx) float32, `mask` (ny, nx) bool, edges int64; the clipping starts from the median and the standard
    deviation `noise`.
    """
    shape = (y_edges.size - 1, x_edges.size - 1)
    means, spreads, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    for j in range(shape[0]):
        for i in range(shape[1]):
            values = np.empty((y_edges[j + 1] - y_edges[j]) * (x_edges[i + 1] - x_edges[i]), np.float32)
            n = 0
            for y in range(y_edges[j], y_edges[j + 1]):
                for x in range(x_edges[i], x_edges[i + 1]):
                    if not mask[y, x]:
                        values[n] = data[y, x]
                        n += 1
            counts[j, i] = n
            if n > 0:
                means[j, i], spreads[j, i] = _clipped(values[:n], noise, clip, factor)
    return means, spreads, counts


@njit(cache=True)
def _clipped(values, noise, clip, factor):
    # The median is only where the clipping starts: a part of many pixels is enough for it.
    centre, spread = np.median(values[:: max(1, values.size // 1024)]), noise
    before = -1
    for _ in range(12):
        n, total, square = 0, 0.0, 0.0
        for value in values:
            d = value - centre
            if abs(d) <= clip * spread:
                n += 1
                total += d
                square += d * d
        if n == 0:
            break
        if n == before:
            break
        before = n
        mean = total / n
        centre += mean
        spread = np.sqrt(max(square / n - mean * mean, 0.0)) / factor
    return centre, spread


@njit(cache=True)
def adaptive_moments(data, usable, segments, stars, half, iterations):
    """Moments under a round Gaussian that is matched to each source, (n, 7): x, y, σ, e1, e2, σ_x, converged.

    `data` (ny, nx) float32; `usable` (ny, nx) bool; `segments` (ny, nx) int32, 0 where no source is; `stars` (n, 5)
    float64: x, y, first σ, own segment, variance of an empty pixel; `half` the half size of the window, px.
    """
    ny, nx = data.shape
    size = 2 * half + 1
    found = np.zeros((stars.shape[0], 7))
    wx, wy = np.empty(size), np.empty(size)
    for k in range(stars.shape[0]):
        x, y, sigma = stars[k, 0], stars[k, 1], stars[k, 2]
        i0, j0 = int(np.floor(x + 0.5)) - half, int(np.floor(y + 0.5)) - half
        sxx = syy = sxy = noise = total = 0.0
        settled = False
        for _ in range(iterations):
            for a in range(size):
                wx[a] = np.exp(-0.5 * ((i0 + a - x) / sigma) ** 2)
                wy[a] = np.exp(-0.5 * ((j0 + a - y) / sigma) ** 2)
            total = sx = sy = sxx = syy = sxy = noise = 0.0
            for j in range(max(0, -j0), min(size, ny - j0)):
                v = j0 + j - y
                for i in range(max(0, -i0), min(size, nx - i0)):
                    segment = segments[j0 + j, i0 + i]
                    if not usable[j0 + j, i0 + i] or (segment != 0 and segment != stars[k, 3]):
                        continue
                    u, w = i0 + i - x, wx[i] * wy[j]
                    d = data[j0 + j, i0 + i]
                    total += w * d
                    sx += w * d * u
                    sy += w * d * v
                    sxx += w * d * u * u
                    syy += w * d * v * v
                    sxy += w * d * u * v
                    noise += w * w * u * u * (stars[k, 4] + max(d, 0.0))
            if total <= 0 or sxx + syy <= 0:
                break
            dx, dy = 2 * sx / total, 2 * sy / total
            # For a Gaussian source 1/m² = 1/σ² + 1/σ_weight²: one step is exact; else the fixed point is the same.
            inverse = 2 * total / (sxx + syy) - 1 / sigma**2
            matched = min(1 / np.sqrt(inverse), 1.6 * sigma) if inverse > 0 else 1.6 * sigma
            step = abs(matched - sigma)
            x, y, sigma = x + dx, y + dy, matched
            if sigma < 0.3 or sigma > half or abs(x - stars[k, 0]) > half or abs(y - stars[k, 1]) > half:
                break
            if step < 1e-4 * sigma and abs(dx) < 1e-4 and abs(dy) < 1e-4:
                settled = True
                break
        found[k, 0], found[k, 1], found[k, 2] = x, y, sigma
        if total > 0:
            found[k, 5] = 2 * np.sqrt(noise) / total
            found[k, 3], found[k, 4], round_enough = _ellipticity(sxx / total, syy / total, sxy / total, sigma)
            found[k, 6] = settled and round_enough
    return found


@njit(cache=True)
def _ellipticity(mxx, myy, mxy, sigma):
    # For Gaussians the inverse of the weighted moments is the sum of the inverses of source and weight.
    determinant = mxx * myy - mxy * mxy
    if determinant <= 0:
        return 0.0, 0.0, False
    a = myy / determinant - 1 / sigma**2
    b = mxx / determinant - 1 / sigma**2
    c = -mxy / determinant
    if a <= 0 or b <= 0 or a * b <= c * c:
        return 0.0, 0.0, False
    return (b - a) / (a + b), -2 * c / (a + b), True


@njit(cache=True)
def local_maxima(image, threshold):
    """Rows (n, 3) float64 of x, y, value: pixels above `threshold` and above their neighbours, not on the edge."""
    ny, nx = image.shape
    found = []
    for y in range(1, ny - 1):
        for x in range(1, nx - 1):
            value = image[y, x]
            if value <= threshold:
                continue
            highest = True
            for j in range(-1, 2):
                for i in range(-1, 2):
                    # Of two equal neighbours the first counts, so that a plateau has one maximum.
                    earlier = j < 0 or (j == 0 and i < 0)
                    other = image[y + j, x + i]
                    if other > value or (other == value and earlier):
                        highest = False
            if highest:
                found.append((float(x), float(y), float(value)))
    result = np.empty((len(found), 3))
    for k in range(len(found)):
        result[k, 0], result[k, 1], result[k, 2] = found[k]
    return result
