"""Stamps of the stars that a PSF is built from: without their sky, their neighbours, and what hides beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import ndimage

from processing.algorithms.extraction import Sources
from processing.algorithms.shapes import FWHM_PER_SIGMA
from processing.algorithms.statistics import masked_median, truncation_factor

RING = 8  # px, width of the ring around a stamp that tells the sky of a star
_RING_PIXELS = 20  # fewest of the ring
_RING_CLIP = 4.0  # σ: at 3 σ the mean of photons would be 0.003 σ too low, which is 0.1 % of the stars
_HIDDEN, _GROWTH = 4.0, 1.0  # σ, FWHM


@dataclass(frozen=True)
class StarStamps:
    """Stamps of the stars, (n, s, s), around their nearest pixels."""

    rows: np.ndarray  # rows of the source list
    px: np.ndarray
    py: np.ndarray
    data: np.ndarray
    variance: np.ndarray
    good: np.ndarray  # bool

    def within(self, size: int) -> StarStamps:
        """The stamps out to `size` px from the middle."""
        middle = self.data.shape[1] // 2
        box = (slice(None), *[slice(middle - size, middle + size + 1)] * 2)
        return replace(self, data=self.data[box], variance=self.variance[box], good=self.good[box])


def cut_stars(
    data: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    sources: Sources,
    stars: np.ndarray,
    *,
    half: int,
    segmentation: np.ndarray | None,
) -> StarStamps:
    """Stamps with their local sky removed, as wide as its ring; pixels of neighbours and masked ones are not good."""
    ring, (ny, nx) = half + RING, data.shape
    table = sources.table
    px, py = (np.floor(table[name][stars] + 0.5).astype(int) for name in ("x", "y"))
    inside = (px >= ring) & (py >= ring) & (px < nx - ring) & (py < ny - ring)
    stars, px, py = stars[inside], px[inside], py[inside]
    stamps, spreads, goods = [], [], []
    for row, cx, cy in zip(stars, px, py):
        box = (slice(cy - ring, cy + ring + 1), slice(cx - ring, cx + ring + 1))
        good = ~mask[box]
        if segmentation is not None:
            other = (segmentation[box] != 0) & (segmentation[box] != row + 1)
            good &= ~ndimage.binary_dilation(other, iterations=2)
        stamps.append(data[box].astype(float))
        spreads.append(variance[box])
        goods.append(good)
    shape = (len(stars), 2 * ring + 1, 2 * ring + 1)
    found = StarStamps(
        stars, px, py, np.reshape(stamps, shape), np.reshape(spreads, shape), np.reshape(goods, shape).astype(bool)
    )
    return _without_sky(found)


def _radii(stamps: np.ndarray) -> np.ndarray:
    """Distance of the pixels from the middle of square stamps (n, s, s): (s, s) px."""
    offset = np.arange(stamps.shape[1]) - stamps.shape[1] // 2
    return np.hypot(offset[:, None], offset[None, :])


def _without_sky(stars: StarStamps) -> StarStamps:
    """The stamps without what their outermost ring shows of sky."""
    from processing.algorithms.psf_kernels import clipped_means

    annulus = _radii(stars.data)
    annulus = (annulus > stars.data.shape[1] // 2 - RING) & (annulus <= stars.data.shape[1] // 2)
    of_ring, factor = stars.data[:, annulus], truncation_factor(_RING_CLIP)
    sky = clipped_means(of_ring, stars.good[:, annulus], _RING_PIXELS, _RING_CLIP, factor)
    return replace(stars, data=stars.data - sky[:, None, None])


def without_hidden(stars: StarStamps, light: np.ndarray, fwhm: float, model_error: float) -> StarStamps:
    """Stars without the pixels of neighbours that became visible once the star was taken away, and with a new sky.

    `light` (n, s, s) is that of the stars themselves, known to `model_error` (relative). What stands out, smoothed with
    the PSF, from the other pixels at its distance from the star is a neighbour, fainter or closer than what sources
    are. In a field of 10,000 sources on 8 million pixels such neighbours have 1 % of the light of stars.
    """
    left = np.where(stars.good, stars.data - light, 0.0)
    distance = np.rint(_radii(left)).astype(int)
    for radius in range(distance.max() + 1):
        circle = distance == radius
        values, good = left[:, circle], stars.good[:, circle]
        left[:, circle] = np.where(good, values - masked_median(values, good, axis=1)[:, None], 0.0)
    sigma = fwhm / FWHM_PER_SIGMA
    smooth = partial(ndimage.gaussian_filter, axes=(1, 2), mode="constant")
    variance = smooth(np.where(stars.good, stars.variance, 0), sigma / np.sqrt(2)) / (4 * np.pi * sigma**2)
    noise = np.sqrt(variance + (model_error * smooth(light, sigma)) ** 2)
    hidden = smooth(left, sigma) > _HIDDEN * noise
    reach = round(_GROWTH * fwhm)
    around = np.hypot(*np.indices((2 * reach + 1,) * 2) - reach) <= reach
    return _without_sky(replace(stars, good=stars.good & ~ndimage.binary_dilation(hidden, around[None])))
