"""The proper coadd of Zackay & Ofek (2017, ApJ 836, 188): the sufficient statistic of images with white noise.

Their patent (US 10,776,653) is on subtraction; what is here is the coadd alone. It assumes noise that is white and one
PSF a tile; where an image has no value the mean of the others stands for it, so that such places are a little too
smooth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import fft

from processing.algorithms.resampling import StampModel

TILE = 256  # px, in which the PSFs count as constant
_SMALLEST_COVER = 0.5  # part of a tile that an image must reach to enter it
_NEGLIGIBLE = 1e-7  # of the largest power: below it the PSFs say nothing


@dataclass(frozen=True)
class Tiles:
    """The PSFs and the noise of the frames over a grid."""

    shape: tuple[int, int]  # (ny, nx)
    psfs: Sequence[StampModel]
    levels: np.ndarray  # (n,) variance of a pixel of sky
    border: int  # px around a tile that its pixels depend on

    @classmethod
    def of(cls, shape: tuple[int, int], psfs: Sequence[StampModel], levels: np.ndarray) -> Self:
        """With twice the largest PSF as border."""
        middle = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        largest = max(psf.stamp(*middle).shape[0] // 2 for psf in psfs)
        return cls(shape, psfs, np.asarray(levels, float), 2 * largest)


@dataclass(frozen=True)
class Placed:
    """Some rows of the frames, and where they lie."""

    stack: np.ndarray  # (n, rows, nx) float32, NaN where there is no value
    mean: np.ndarray  # (rows, nx) float32, of the frames
    first: int  # row of the grid


def proper_rows(rows: Placed, tiles: Tiles) -> np.ndarray:
    """The proper coadd (rows, nx) float32 in the unit of the frames: white noise of variance 1 / Σ(1 / level).

    The rows nearest to the first and last one lack what lies beyond them.
    """
    height, nx = rows.mean.shape
    found = np.zeros((height, nx), np.float32)
    # Half a border of zeros keeps one edge of the image from reaching round to the other.
    beyond, wide = tiles.border // 2, min(TILE + 2 * tiles.border, nx)
    size = tuple(fft.next_fast_len(n + beyond, real=True) for n in (height, wide))
    row = rows.first + (height - 1) / 2
    for left, right, outer in _across(nx, tiles.border):
        stack, mean = rows.stack[:, :, outer], rows.mean[:, outer]
        made = _tile(stack, mean, tiles, ((left + right - 1) / 2, row), size)
        found[:, left:right] = made[:, left - outer.start : right - outer.start]
    return found


def _across(nx: int, border: int) -> Iterator[tuple[int, int, slice]]:
    """First and last column of each tile, and the columns that it depends on."""
    for left in range(0, nx, TILE):
        right = min(left + TILE, nx)
        yield left, right, slice(max(0, left - border), min(nx, right + border))


def _tile(
    stack: np.ndarray, mean: np.ndarray, tiles: Tiles, middle: tuple[float, float], size: tuple[int, int]
) -> np.ndarray:
    """Numerator Σ conj(P̂) M̂ / σ² over the root of Σ |P̂|² / σ², back on the scale of the frames."""
    there = ~np.isnan(stack)
    cover = there.reshape(len(stack), -1).mean(axis=1)
    reached = max(cover.max(), 1e-9)
    total, plain, power = 0, 0, 0
    weights = np.where(cover >= _SMALLEST_COVER * reached, 1 / tiles.levels, 0.0)
    for frame, is_there, psf, weight in zip(stack, there, tiles.psfs, weights):
        if weight == 0:
            continue
        image = fft.rfft2(np.where(is_there, frame, mean), size)
        kernel = _transfer(psf.stamp(*middle), size)
        total = total + weight * np.conj(kernel) * image
        plain = plain + weight * image
        power = power + weight * np.abs(kernel) ** 2
    depth = np.sqrt(weights.sum())
    says = power > _NEGLIGIBLE * power.max()
    root = np.sqrt(np.where(says, power, 1))
    spectrum = np.where(says, total / (root * depth), plain / weights.sum())
    return fft.irfft2(spectrum, size)[: mean.shape[0], : mean.shape[1]].astype(np.float32)


def _transfer(stamp: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Transform of a stamp whose middle is the origin."""
    plane = np.zeros(size, np.float32)
    high, wide = stamp.shape
    plane[:high, :wide] = stamp
    return fft.rfft2(np.roll(plane, (-(high // 2), -(wide // 2)), axis=(0, 1)))
