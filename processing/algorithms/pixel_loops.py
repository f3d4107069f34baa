"""Loops over pixels that NumPy cannot express without many passes, compiled. Import this module inside functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit


@njit(cache=True)
def fill_masked(data: np.ndarray, mask: np.ndarray, reach: int, background: float) -> np.ndarray:
    """Inverse-square mean of the nearest unmasked pixels left, right, below and above, none farther than `reach`."""
    ny, nx = data.shape
    filled = data.copy()
    for y in range(ny):
        for x in range(nx):
            if not mask[y, x]:
                continue
            total, weight = 0.0, 0.0
            for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0)):
                for distance in range(1, reach + 1):
                    yy, xx = y + dy * distance, x + dx * distance
                    if not (0 <= yy < ny and 0 <= xx < nx):
                        break
                    if not mask[yy, xx]:
                        total += data[yy, xx] / distance**2
                        weight += 1.0 / distance**2
                        break
            filled[y, x] = total / weight if weight > 0 else background
    return filled


@njit(cache=True, error_model="numpy")
def add_light(weight: np.ndarray, rms: np.ndarray, single: float, together: float) -> np.ndarray:
    """`rms`² plus the excess of 1/`weight` over it; (ny, nx) float32.

    That of the pixel itself counts where it is above `single`, else the mean of 5×5 pixels where that is above
    `together`; an unusable pixel, of weight 0, has none.
    """
    ny, nx = weight.shape
    found = np.empty_like(weight)
    rows = np.zeros((5, nx + 4), np.float32)  # a ring of rows, mirrored at their ends
    columns = np.zeros(nx + 4)  # sums of the ring
    for last in range(-2, ny + 2):
        row = rows[last % 5]
        y = -1 - last if last < 0 else 2 * ny - 1 - last if last >= ny else last
        for x in range(nx):
            own = weight[y, x]
            value = np.float32(1) / own - rms[y, x] * rms[y, x] if own > 0 else np.float32(0)
            columns[x + 2] += value - row[x + 2]
            row[x + 2] = value
        for x, at in ((0, 3), (1, 2), (nx + 2, nx + 1), (nx + 3, nx)):
            columns[x] = columns[at]
        if last < 2:
            continue
        y = last - 2
        middle = rows[y % 5]
        total = columns[0] + columns[1] + columns[2] + columns[3]
        for x in range(nx):
            total += columns[x + 4]
            light = middle[x + 2]
            if light <= single:
                light = total / 25 if total > 25 * together else 0.0
            found[y, x] = rms[y, x] * rms[y, x] + light
            total -= columns[x]
    return found


@njit(cache=True)
def paint_discs(mask: np.ndarray, half_widths: np.ndarray) -> np.ndarray:
    """Dilate by a round kernel: row dy of the kernel reaches `half_widths[dy + r]` pixels to either side."""
    ny, nx = mask.shape
    grown = mask.copy()
    r = half_widths.size // 2
    for y in range(ny):
        for x in range(nx):
            if not mask[y, x]:
                continue
            # A pixel whose four neighbours are set adds nothing to what they paint.
            if 0 < y < ny - 1 and 0 < x < nx - 1:
                across = mask[y, x - 1] and mask[y, x + 1]
                if across and mask[y - 1, x] and mask[y + 1, x]:
                    continue
            for dy in range(max(-r, -y), min(r, ny - 1 - y) + 1):
                half = half_widths[dy + r]
                for xx in range(max(0, x - half), min(nx, x + half + 1)):
                    grown[y + dy, xx] = True
    return grown


@njit(cache=True)
def horner(coefficients: np.ndarray, value: float) -> float:
    """The polynomial of one variable with `coefficients` of rising power."""
    result = coefficients[-1]
    for k in range(coefficients.size - 2, -1, -1):
        result = result * value + coefficients[k]
    return result


@njit(cache=True)
def horner_derivative(coefficients: np.ndarray, value: float) -> float:
    """The first derivative of `horner`."""
    result = 0.0
    for k in range(coefficients.size - 1, 0, -1):
        result = result * value + k * coefficients[k]
    return result


@njit(cache=True)
def map_row(mapping: tuple, i: int, places: np.ndarray) -> None:
    """Write into `places` (3, nx) the source x, y and area per target pixel of each pixel of target row i.

    `mapping` is (cx, cy, centre x, centre y, half-width x, half-width y), the polynomials of order 5.
    """
    cx, cy, x0, y0, sx, sy = mapping
    v = (i - y0) / sy
    a, b, c, d = np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    for k in range(6):
        a[k], b[k] = horner(cx[k], v), horner(cy[k], v)
        c[k], d[k] = horner_derivative(cx[k], v) / sy, horner_derivative(cy[k], v) / sy
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    # Written out, the compiler turns each of these loops into vector instructions.
    for j in range(places.shape[1]):
        u = (j - x0) / sx
        places[0, j] = a0 + u * (a1 + u * (a2 + u * (a3 + u * (a4 + u * a5))))
        places[1, j] = b0 + u * (b1 + u * (b2 + u * (b3 + u * (b4 + u * b5))))
    c0, c1, c2, c3, c4, c5 = c
    d0, d1, d2, d3, d4, d5 = d
    for j in range(places.shape[1]):
        u = (j - x0) / sx
        dx = (a1 + u * (2 * a2 + u * (3 * a3 + u * (4 * a4 + u * 5 * a5)))) / sx
        dy = (b1 + u * (2 * b2 + u * (3 * b3 + u * (4 * b4 + u * 5 * b5)))) / sx
        up_x = c0 + u * (c1 + u * (c2 + u * (c3 + u * (c4 + u * c5))))
        up_y = d0 + u * (d1 + u * (d2 + u * (d3 + u * (d4 + u * d5))))
        places[2, j] = abs(dx * up_y - dy * up_x)


_LINES = 16  # at a time fit into the cache; the number is a constant, so that the loops become vector instructions


@njit(cache=True)
def spline_filter(data: np.ndarray, poles: np.ndarray) -> np.ndarray:
    """B-spline coefficients (ny, nx) float32 of `data`, mirrored at its edges, as scipy's `spline_filter` has them."""
    ny, nx = data.shape
    found = np.empty((ny, nx), np.float32)
    upright, across = np.zeros((ny, _LINES)), np.zeros((nx, _LINES))
    for first in range(0, nx, _LINES):
        width = min(_LINES, nx - first)
        for i in range(ny):
            for j in range(width):
                upright[i, j] = data[i, first + j]
        _spline_lines(upright, poles)
        for i in range(ny):
            for j in range(width):
                found[i, first + j] = upright[i, j]
    for first in range(0, ny, _LINES):
        width = min(_LINES, ny - first)
        for j in range(width):
            for i in range(nx):
                across[i, j] = found[first + j, i]
        _spline_lines(across, poles)
        for j in range(width):
            for i in range(nx):
                found[first + j, i] = across[i, j]
    return found


@njit(cache=True)
def _spline_lines(c: np.ndarray, poles: np.ndarray) -> None:
    n = c.shape[0]
    if n < 2:
        return
    gain = 1.0
    for z in poles:
        gain *= (1 - z) * (1 - 1 / z)
    c *= gain
    for z in poles:
        last, power = z ** (n - 1), z
        c[0] += last * c[n - 1]
        for i in range(1, n - 1):
            if abs(power) < 1e-40:  # too small to change a sum
                break
            c[0] += power * (c[i] + last * c[n - 1 - i])
            power *= z
        c[0] /= 1 - last * last
        for i in range(1, n):
            for j in range(_LINES):
                c[i, j] += z * c[i - 1, j]
        c[n - 1] = (z * c[n - 2] + c[n - 1]) * z / (z * z - 1)
        for i in range(n - 2, -1, -1):
            for j in range(_LINES):
                c[i, j] = z * (c[i + 1, j] - c[i, j])


@njit(cache=True)
def _mirror(k: int, n: int) -> int:
    if n == 1:
        return 0
    period = 2 * (n - 1)
    k = abs(k) % period
    return period - k if k >= n else k


@njit(cache=True)
def _near_edge(spline: np.ndarray, x1: int, y1: int, wx: np.ndarray, wy: np.ndarray) -> float:
    ny, nx = spline.shape
    value = np.float32(0)
    for b in range(wy.size):
        for a in range(wx.size):
            value += wy[b] * wx[a] * spline[_mirror(y1 + b, ny), _mirror(x1 + a, nx)]
    return value


def _resampler(taps: int) -> Callable[..., np.ndarray]:
    lead = taps // 2 - 1

    # With the number of taps a constant of the compiled function, their loops are unrolled.
    @njit(cache=True, fastmath=True)
    def resample(spline: np.ndarray, mapping: tuple, shape: tuple[int, int], weights: np.ndarray) -> np.ndarray:
        ny, nx = spline.shape
        phases = weights.shape[0] - 1
        out = np.zeros(shape, np.float32)
        places = np.empty((3, shape[1]))
        for i in range(shape[0]):
            map_row(mapping, i, places)
            for j in range(shape[1]):
                x, y = places[0, j], places[1, j]
                if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
                    continue
                fx, fy = int(np.floor(x)), int(np.floor(y))
                across, up = int((x - fx) * phases + 0.5), int((y - fy) * phases + 0.5)
                x1, y1 = fx - lead, fy - lead
                value = np.float32(0)
                if x1 >= 0 and y1 >= 0 and x1 + taps <= nx and y1 + taps <= ny:
                    # To take rows of `weights` out here would cost as much as the sum.
                    for a in range(taps):
                        line = np.float32(0)
                        for b in range(taps):
                            line += weights[up, b] * spline[y1 + b, x1 + a]
                        value += weights[across, a] * line
                else:
                    value = _near_edge(spline, x1, y1, weights[across], weights[up])
                out[i, j] = value * places[2, j]
        return out

    return resample


# By order of the spline. Each evaluates the coefficients `spline` where a pixel maps to, times the pixel area; outside
# it is 0. `weights` (phases + 1, order + 1) float32 holds the taps for each sub-pixel phase.
RESAMPLERS = {1: _resampler(2), 3: _resampler(4), 5: _resampler(6)}


@njit(cache=True)
def resample_flags(flags: np.ndarray, mapping: tuple, shape: tuple[int, int]) -> np.ndarray:
    """The bitwise or of the pixels that reach the mapped position of each pixel by more than 0.05 px; 0 outside."""
    ny, nx = flags.shape
    out = np.zeros(shape, np.uint16)
    places = np.empty((3, shape[1]))
    for i in range(shape[0]):
        map_row(mapping, i, places)
        for j in range(shape[1]):
            x, y = places[0, j], places[1, j]
            if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
                continue
            left, right = max(int(np.floor(x + 0.05)), 0), min(int(np.ceil(x - 0.05)), nx - 1)
            low, high = max(int(np.floor(y + 0.05)), 0), min(int(np.ceil(y - 0.05)), ny - 1)
            out[i, j] = flags[low, left] | flags[low, right] | flags[high, left] | flags[high, right]
    return out


@njit(cache=True)
def inside(mapping: tuple, source: tuple[int, int], shape: tuple[int, int], margin: float) -> np.ndarray:
    """True where the mapped position lies at least `margin` px within the outermost pixel centres of the source."""
    out = np.zeros(shape, np.bool_)
    places = np.empty((3, shape[1]))
    right, top = source[1] - 1 - margin, source[0] - 1 - margin
    for i in range(shape[0]):
        map_row(mapping, i, places)
        for j in range(shape[1]):
            x, y = places[0, j], places[1, j]
            out[i, j] = margin <= x <= right and margin <= y <= top
    return out


@njit(cache=True)
def or_of_neighbours(flags: np.ndarray) -> np.ndarray:
    """Dilate each bit by one pixel in all eight directions."""
    ny, nx = flags.shape
    out = flags.copy()
    for y in range(ny):
        for x in range(nx):
            if flags[y, x] == 0:
                continue
            for b in range(max(y - 1, 0), min(y + 2, ny)):
                for a in range(max(x - 1, 0), min(x + 2, nx)):
                    out[b, a] |= flags[y, x]
    return out


@njit(cache=True)
def _middle(values: np.ndarray, count: int) -> float:
    if count > 40:
        return np.float32(np.median(values[:count]))
    # For few values inserting one after the other is several times faster than a general sort.
    for k in range(1, count):
        value = values[k]
        place = k
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value
    return np.float32(0.5) * (values[(count - 1) // 2] + values[count // 2])


@njit(cache=True)
def median_and_spread(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and 1.4826 MAD along the first axis of (n, ny, nx), without NaN; 0 where nothing else is there."""
    count, ny, nx = stack.shape
    median, spread = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.float32)
    values = np.empty(count, np.float32)
    for y in range(ny):
        for x in range(nx):
            found = 0
            for k in range(count):
                if not np.isnan(stack[k, y, x]):
                    values[found] = stack[k, y, x]
                    found += 1
            if found == 0:
                continue
            median[y, x] = middle = _middle(values, found)
            for k in range(found):
                values[k] = abs(values[k] - middle)
            spread[y, x] = np.float32(1.4826) * _middle(values, found)
    return median, spread
