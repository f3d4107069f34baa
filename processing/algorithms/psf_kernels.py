"""Loops over stars of the PSF model, compiled once and cached. Import this module inside functions.

The model is a set of cubic-spline coefficient planes on a grid of `step` nodes per pixel. Since a pixel is a whole
number of nodes, a stamp is a weighted sum of 4 × 4 strided slices of a plane: the same weights serve every pixel of the
stamp.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_BLOCK = 64  # nodes
_CLIPPINGS = 5
_TELLING = 100  # stars, from the bright to the faint, that tell the median and the spread at a node


@njit(cache=True)
def spline_weights(t):
    """Weights of the four cubic B-splines around a point at fraction `t`, and their derivatives."""
    w, d = np.empty(4), np.empty(4)
    u = 1.0 - t
    w[0], w[1] = u * u * u / 6, (4 - 6 * t * t + 3 * t * t * t) / 6
    w[2], w[3] = (4 - 6 * u * u + 3 * u * u * u) / 6, t * t * t / 6
    d[0], d[1] = -u * u / 2, (-4 * t + 3 * t * t) / 2
    d[2], d[3] = (4 * u - 3 * u * u) / 2, t * t / 2
    return w, d


@njit(cache=True)
def combine(planes, terms, reach):
    """Σ_k terms[k] · planes[k], (m, m), of the nodes no farther than `reach` from the middle one; 0 beyond."""
    size = planes.shape[1]
    first, last = max(size // 2 - reach, 0), min(size // 2 + reach + 1, size)
    found = np.zeros(planes.shape[1:])
    for k in range(planes.shape[0]):
        if terms[k] != 0.0:
            for row in range(first, last):
                for column in range(first, last):
                    found[row, column] += terms[k] * planes[k, row, column]
    return found


@njit(cache=True)
def sample(plane, step, dx, dy, half, radius, value, along_x, along_y):
    """Stamp (2·half+1)² of a PSF displaced by (dx, dy) px, and its derivatives, into the three arrays.

    Pixels farther than `radius` from its middle are left as they are.
    """
    middle = (plane.shape[0] - 1) // 2
    sx, sy = -dx * step, -dy * step
    ix, iy = int(np.floor(sx)), int(np.floor(sy))
    wx, gx = spline_weights(sx - ix)
    wy, gy = spline_weights(sy - iy)
    size = plane.shape[0]
    for j in range(-half, half + 1):
        for i in range(-half, half + 1):
            if (i - dx) * (i - dx) + (j - dy) * (j - dy) > radius * radius:
                continue
            row0, col0 = middle + j * step + iy - 1, middle + i * step + ix - 1
            v = a = b = 0.0
            if row0 >= 0 and col0 >= 0 and row0 + 3 < size and col0 + 3 < size:
                for p in range(4):
                    line = slope = 0.0
                    for q in range(4):
                        c = plane[row0 + p, col0 + q]
                        line += wx[q] * c
                        slope += gx[q] * c
                    v += wy[p] * line
                    a += wy[p] * slope
                    b += gy[p] * line
            value[j + half, i + half] = v
            along_x[j + half, i + half] = -step * a
            along_y[j + half, i + half] = -step * b


@njit(cache=True)
def sample_values(plane, step, dx, dy, half, radius, value):
    """As `sample` without the derivatives."""
    middle = (plane.shape[0] - 1) // 2
    sx, sy = -dx * step, -dy * step
    ix, iy = int(np.floor(sx)), int(np.floor(sy))
    wx, _ = spline_weights(sx - ix)
    wy, _ = spline_weights(sy - iy)
    size = plane.shape[0]
    for j in range(-half, half + 1):
        for i in range(-half, half + 1):
            if (i - dx) * (i - dx) + (j - dy) * (j - dy) > radius * radius:
                continue
            row0, col0 = middle + j * step + iy - 1, middle + i * step + ix - 1
            v = 0.0
            if row0 >= 0 and col0 >= 0 and row0 + 3 < size and col0 + 3 < size:
                for p in range(4):
                    line = 0.0
                    for q in range(4):
                        line += wx[q] * plane[row0 + p, col0 + q]
                    v += wy[p] * line
            value[j + half, i + half] = v


@njit(cache=True)
def weigh(variance, mask, px, py, reach, weight):
    """Weights of the pixels of a round stamp: 1 over the mean variance within ±`reach` px; 0 of masked pixels.

    (px, py) is its middle. A variance that has the noise of its own pixel in it is small where the pixel is faint by
    chance, and fluxes weighted with it would be too faint by about an electron a pixel.
    """
    ny, nx = variance.shape
    half = weight.shape[0] // 2
    for j in range(weight.shape[0]):
        for i in range(weight.shape[0]):
            r, c = py + j - half, px + i - half
            weight[j, i] = 0.0
            if (i - half) ** 2 + (j - half) ** 2 > (half + 1) ** 2:
                continue
            if r < 0 or c < 0 or r >= ny or c >= nx or mask[r, c] or variance[r, c] <= 0:
                continue
            total, count = 0.0, 0
            for row in range(max(0, r - reach), min(ny, r + reach + 1)):
                for column in range(max(0, c - reach), min(nx, c + reach + 1)):
                    if not mask[row, column] and variance[row, column] > 0:
                        total += variance[row, column]
                        count += 1
            weight[j, i] = count / total


@njit(cache=True)
def accumulate(data, variance, weight, place, radius, slope, flux, norm, value, gx, gy, normal, right):
    """Normal equations of (flux, dx, dy) within `radius` of a star, into `normal` and `right`.

    `place` = (px, py, dx, dy). `slope` is the flux where the position is free, 0 where it is held. Returns the number
    of pixels, χ², and the sum of squared weights, profile and noise, which tells the error of the flux.
    """
    px, py, dx, dy = place
    half = value.shape[0] // 2
    normal[:], right[:] = 0.0, 0.0
    count, chi2, noise2 = 0, 0.0, 0.0
    row = np.empty(3)
    for j in range(2 * half + 1):
        for i in range(2 * half + 1):
            w = weight[j, i]
            ax, ay = i - half - dx, j - half - dy
            if w == 0.0 or ax * ax + ay * ay > radius * radius:
                continue
            r, c = py + j - half, px + i - half
            row[0], row[1], row[2] = value[j, i] / norm, slope * gx[j, i] / norm, slope * gy[j, i] / norm
            left = data[r, c] - flux * row[0]
            count += 1
            chi2 += left * left / variance[r, c]
            noise2 += (w * row[0]) ** 2 * variance[r, c]
            for a in range(3):
                right[a] += w * row[a] * left
                for b in range(3):
                    normal[a, b] += w * row[a] * row[b]
    return count, chi2, noise2


@njit(cache=True)
def fit(data, variance, mask, planes, step, terms, norms, x, y, setup, found):
    """Fit flux and position of every star by Gauss–Newton; `found` (n, 8): x, y, σx, σy, flux, σ, χ²/dof, flag.

    setup = (radius px, move: 1 or 0, steps, largest displacement px, reach of the mean of the variance px). flag: 1 too
    few pixels, 2 moved to the limit.
    """
    radius, move, steps, limit, box = setup[0], setup[1] > 0, int(setup[2]), setup[3], int(setup[4])
    half = int(np.ceil(radius)) + 1
    size = 2 * half + 1
    value, gx, gy = np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size))
    weight = np.zeros((size, size))
    reach = step * half + int(np.ceil(step * (limit + 0.5))) + 3  # nodes: the stamp, its displacement, and a spline
    for star in range(x.size):
        plane = combine(planes, terms[star], reach)
        px, py = int(np.floor(x[star] + 0.5)), int(np.floor(y[star] + 0.5))
        dx, dy, flux = x[star] - px, y[star] - py, 0.0
        x0, y0 = dx, dy
        normal, right = np.zeros((3, 3)), np.zeros(3)
        count, chi2, noise2, flag = 0, 0.0, 0.0, 0
        weigh(variance, mask, px, py, box, weight)
        for iteration in range(steps + 1):
            sample(plane, step, dx, dy, half, radius, value, gx, gy)
            free = move and iteration > 0
            gains = flux if free else 0.0
            count, chi2, noise2 = accumulate(
                data, variance, weight, (px, py, dx, dy), radius, gains, flux, norms[star], value, gx, gy, normal, right
            )
            if count < 4 or normal[0, 0] <= 0:
                flag = 1
                break
            if not free:
                flux += right[0] / normal[0, 0]
                continue
            determinant = np.linalg.det(normal)
            if not determinant > 0:
                flag = 1
                break
            change = np.linalg.solve(normal, right)
            flux += change[0]
            dx += min(max(change[1], -0.3), 0.3)
            dy += min(max(change[2], -0.3), 0.3)
            if abs(dx - x0) > limit or abs(dy - y0) > limit:
                dx, dy = min(max(dx, x0 - limit), x0 + limit), min(max(dy, y0 - limit), y0 + limit)
                flag = 2
            elif abs(change[1]) + abs(change[2]) < 1e-4:
                break
        found[star, 0], found[star, 1], found[star, 4] = px + dx, py + dy, flux
        if flag == 1:
            found[star, 4], found[star, 7] = 0.0, 1.0
            continue
        found[star, 5] = np.sqrt(noise2) / normal[0, 0]
        if move and normal[1, 1] > 0 and normal[2, 2] > 0:
            found[star, 2], found[star, 3] = 1 / np.sqrt(normal[1, 1]), 1 / np.sqrt(normal[2, 2])
        found[star, 6] = chi2 / max(count - (3 if move else 1), 1)
        found[star, 7] = flag


@njit(cache=True)
def stamps(planes, step, terms, norms, dx, dy, half):
    """The PSF (n, 2·half+1, 2·half+1) float32 for each row of `terms`, displaced by (dx, dy) (n,) px, over `norms`."""
    size = 2 * half + 1
    found = np.empty((dx.size, size, size), np.float32)
    value = np.zeros((size, size))
    for k in range(dx.size):
        sample_values(combine(planes, terms[k], planes.shape[1]), step, dx[k], dy[k], half, np.inf, value)
        found[k] = value / norms[k]
    return found


@njit(cache=True)
def without_outliers(residual, weight, centred, limit):
    """`weight` (n, m) with 0 where a residual (n, m) is more than `limit` robust σ of its node (column) from 0.

    With `centred` the distance is that from the median of the node over all stars.
    """
    count, size = residual.shape
    step = max(1, count // _TELLING)
    kept = weight.copy()
    values, weights, pulls = np.empty((_BLOCK, count)), np.empty((_BLOCK, count)), np.empty(count)
    for start in range(0, size, _BLOCK):  # stars of a node side by side in memory
        block = min(_BLOCK, size - start)
        for star in range(count):
            for node in range(block):
                values[node, star] = residual[star, start + node]
                weights[node, star] = weight[star, start + node]
        for node in range(block):
            middle = np.median(values[node, ::step]) if centred else 0.0
            used = 0
            for star in range(count):
                values[node, star] = abs(values[node, star] - middle) * np.sqrt(weights[node, star])
                if weights[node, star] > 0 and star % step == 0:
                    pulls[used] = values[node, star]
                    used += 1
            typical = 1.4826 * np.median(pulls[:used]) if used > 0 else 0.0
            for star in range(count):
                if values[node, star] > limit * typical:
                    kept[star, start + node] = 0.0
    return kept


@njit(cache=True)
def clipped_means(values, used, fewest, sigma, factor):
    """Mean (n,) of the `used` values (n, m) of each row within `sigma` deviations of it; 0 of `fewest` or fewer.

    The first centre is the median; `factor` is what clipping leaves of the spread of pure noise.
    """
    found = np.zeros(values.shape[0])
    for row in range(values.shape[0]):
        some = values[row][used[row]]
        if some.size <= fewest:
            continue
        low, centre, high = np.percentile(some, np.array([15.87, 50.0, 84.13]))
        spread, before = (high - low) / 2, -1
        for _ in range(_CLIPPINGS):
            total, square, count = 0.0, 0.0, 0
            for value in some:
                if abs(value - centre) <= sigma * spread:
                    total += value
                    count += 1
            if count == 0 or count == before:
                break
            middle = total / count
            for value in some:
                if abs(value - centre) <= sigma * spread:
                    square += (value - middle) ** 2
            centre, spread, before = middle, np.sqrt(square / count) / factor, count
        found[row] = centre
    return found
