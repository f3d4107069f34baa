"""Small square cut-outs around positions, and what lies between their pixels, for all stamps at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import comb, factorial

import numpy as np
from scipy import ndimage

from processing.errors import BadInput

PsfAt = Callable[[float, float], np.ndarray]  # (x, y) -> odd (m, m) stamp, sum 1, centred on its middle pixel


def nearest_pixel(position: np.ndarray) -> np.ndarray:
    """Index of the pixel that holds each position; halves go up, so that 0.5 and 1.5 are one pixel apart."""
    return np.floor(np.asarray(position, float) + 0.5).astype(np.int32)


def odd_size(radius: float) -> int:
    """Smallest odd size, pixels, of a stamp that holds a circle of this radius around its middle."""
    return 2 * int(np.ceil(radius)) + 1


def cut_stamps(
    plane: np.ndarray, x: np.ndarray, y: np.ndarray, *, size: int, fill: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Cut (size, size) stamps of `plane` (ny, nx) around the pixels nearest to (x, y).

    Returns the stamps (n, size, size) in the dtype of the plane, with `fill` outside the image, and the
    integer centres (n, 2) int32, x then y. Raises BadInput for a size that is even: it has no middle pixel.
    """
    if size < 1 or size % 2 == 0:
        raise BadInput(what="size of the stamps", reason=f"{size} is not odd and positive")
    centres = np.stack([nearest_pixel(np.atleast_1d(x)), nearest_pixel(np.atleast_1d(y))], axis=1)
    offsets = np.arange(size) - size // 2
    columns, rows = centres[:, :1] + offsets, centres[:, 1:] + offsets
    ny, nx = plane.shape
    found = plane[np.clip(rows, 0, ny - 1)[:, :, None], np.clip(columns, 0, nx - 1)[:, None, :]]
    inside_x, inside_y = (columns >= 0) & (columns < nx), (rows >= 0) & (rows < ny)
    found[~(inside_y[:, :, None] & inside_x[:, None, :])] = fill
    return found, centres


def psf_stamps(psf_at: PsfAt, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The PSF at each position, (n, m, m) float64, every stamp divided by its own sum."""
    stamps = np.stack([np.asarray(psf_at(float(a), float(b)), float) for a, b in zip(x, y)])
    if stamps.shape[-1] % 2 == 0:
        raise BadInput(what="PSF stamp", reason=f"size {stamps.shape[-1]} is even")
    return stamps / stamps.sum(axis=(1, 2), keepdims=True)


def spline_coefficients(stamps: np.ndarray, order: int = 5) -> np.ndarray:
    """B-spline coefficients of each stamp (n, m, m), float64; `order` 3 or 5. The border is mirrored."""
    along_y = ndimage.spline_filter1d(np.asarray(stamps, float), order, axis=1, mode="mirror")
    return ndimage.spline_filter1d(along_y, order, axis=2, mode="mirror")


def spline_weights(points: np.ndarray, size: int, *, order: int = 5, derivative: int = 0) -> np.ndarray:
    """Weight of each of `size` coefficients at `points` (...,): shape (..., size), for a value or a `derivative`.

    B-splines as sums of truncated powers (Unser 1999, IEEE Signal Processing Magazine 16, 22). Quintic ones
    because half-way between pixels a cubic one loses 1.3 % of the peak of a flux plane at FWHM 2.2 px.
    """
    near, values = spline_support(points, order=order, derivative=derivative)
    weights = np.zeros((*near.shape[:-1], size + 1))  # the last one takes what lies outside
    np.put_along_axis(weights, np.where((near >= 0) & (near < size), near, size), values, axis=-1)
    return weights[..., :size]


def spline_support(points: np.ndarray, *, order: int = 5, derivative: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Those coefficients that have a weight at `points` (...,), and these weights: (..., order + 1) each."""
    points = np.asarray(points, float)[..., None]
    near = np.floor(points).astype(int) - order // 2 + np.arange(order + 1)  # all others are 0
    return near, _b_spline(points - near, order, derivative)


def _b_spline(u: np.ndarray, order: int, derivative: int = 0) -> np.ndarray:
    """The centred cardinal B-spline of this order, or a derivative: β'(u; n) = β(u + ½; n − 1) − β(u − ½; n − 1)."""
    if derivative:
        return _b_spline(u + 0.5, order - 1, derivative - 1) - _b_spline(u - 0.5, order - 1, derivative - 1)
    half = (order + 1) / 2
    reach = half - np.abs(u)
    total = np.zeros_like(reach)
    for k in range(int(np.ceil(half))):
        total += (
            (-1) ** k * comb(order + 1, k) * reduce(np.multiply, [np.maximum(reach - k, 0)] * order)
        )  # much faster than a power
    return total / factorial(order)


def sample_stamps(stamps: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Value (n,) of each stamp (n, m, m) at (dx, dy) pixels from its middle, by quintic spline."""
    size = stamps.shape[-1]
    weights_x = spline_weights(size // 2 + np.asarray(dx, float), size)
    weights_y = spline_weights(size // 2 + np.asarray(dy, float), size)
    return np.einsum("ny,nyx,nx->n", weights_y, spline_coefficients(stamps), weights_x)


def shift_stamps(stamps: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Move each stamp (n, m, m) by (dx, dy) pixels, quintic spline; the sums are kept, the outside is 0."""
    size = stamps.shape[-1]
    grid = np.arange(size)
    padded = np.pad(np.asarray(stamps, float), ((0, 0), (3, 3), (3, 3)))
    weights_x = spline_weights(grid - np.asarray(dx, float)[:, None] + 3, size + 6)
    weights_y = spline_weights(grid - np.asarray(dy, float)[:, None] + 3, size + 6)
    moved = weights_y @ spline_coefficients(padded) @ weights_x.transpose(0, 2, 1)
    return moved * (stamps.sum(axis=(1, 2)) / moved.sum(axis=(1, 2)))[:, None, None]
