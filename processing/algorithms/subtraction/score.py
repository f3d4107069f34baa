"""From two filters to a difference image and its detection statistics, tile by tile.

Whatever the method, the difference is D = d_n * N - d_r * R with filters that make its noise white and of unit
variance. The response to a new source is then F_D P_D = d_n * P_n, and matched filtering with it gives the score S,
its noise and its flux: Zackay, Ofek & Gal-Yam 2016 (eq. 12-28) for ZOGY, Rubin's DMTN-179 for a matched kernel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from processing.algorithms.subtraction.stars import Comparison
from processing.algorithms.subtraction.tiling import Core, Tiling, Transforms, power

if TYPE_CHECKING:
    from processing.algorithms.subtraction.base import Epoch


@dataclass(frozen=True)
class Tile:
    """One tile as a method sees it. Spectra are half planes (rfft2) with the PSF centre at pixel [0, 0], complex64."""

    x: float  # px, centre
    y: float
    new_noise: float  # electrons
    reference_noise: float
    transforms: Transforms
    new: Epoch
    reference: Epoch

    @cached_property
    def new_psf(self) -> np.ndarray:
        """Spectrum of the PSF of the new image."""
        return self.transforms.spectrum(self.new.psf.stamp(self.x, self.y))

    @cached_property
    def reference_psf(self) -> np.ndarray:
        """Spectrum of the PSF of the reference."""
        return self.transforms.spectrum(self.reference.psf.stamp(self.x, self.y))


@dataclass(frozen=True)
class Filters:
    """Half-plane spectra that make the difference of one tile white with unit variance: D = new N - reference R.

    `new_noise` and `reference_noise` act on the images before a method convolved them, which is where their noise is
    known.
    """

    new: np.ndarray
    reference: np.ndarray
    new_noise: np.ndarray
    reference_noise: np.ndarray


@dataclass(frozen=True)
class Matching(ABC):
    """Two images brought together by a method, and the filters of each tile."""

    new: Epoch
    reference: Epoch

    @abstractmethod
    def filters(self, tile: Tile) -> Filters:
        """The filters at a tile."""

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """The images that `Filters.new` and `Filters.reference` act on; (ny, nx) float32."""
        return self.new.data, self.reference.data

    def quality(self) -> dict[str, float]:
        """What the method found out about the pair."""
        return {}


@dataclass(frozen=True)
class Planes:
    """Results of all tiles; see `Difference` for units."""

    data: np.ndarray
    variance: np.ndarray
    score: np.ndarray
    score_unsystematic: np.ndarray
    alpha: np.ndarray
    alpha_err: np.ndarray
    translient: np.ndarray
    cosmic_ray: np.ndarray
    stamps: np.ndarray
    cosmic_ratios: np.ndarray

    @classmethod
    def empty(cls, tiling: Tiling) -> Planes:
        """Arrays to be written tile by tile."""
        size = 2 * tiling.half + 1
        images = (np.empty(tiling.shape, np.float32) for _ in range(8))
        return cls(*images, np.empty((*tiling.counts, size, size), np.float32), np.empty(tiling.counts, np.float32))

    def images(self) -> tuple[np.ndarray, ...]:
        """The eight that have one number a pixel."""
        return tuple(vars(self).values())[:8]

    def of(self, i: int, j: int, rows: slice, columns: slice) -> Planes:
        """Views of one tile."""
        images = (image[rows, columns] for image in self.images())
        return Planes(*images, self.stamps[i, j], self.cosmic_ratios[i, j, ...])


def score(matching: Matching, tiling: Tiling, comparison: Comparison, *, workers: int = 1) -> Planes:
    """Difference image, score, flux, motion and hot-pixel statistics of a matched pair."""
    planes = Planes.empty(tiling)
    transforms = Transforms(tiling, workers)
    new, reference = matching.new, matching.reference
    noises = [np.asarray(epoch.noise, np.float32) for epoch in (new, reference)]
    inputs = [(image, 0.0) for image in matching.images()]
    inputs += [(epoch.variance, float(np.mean(epoch.noise)) ** 2) for epoch in (new, reference)]
    for i, j, rows, columns in tiling.cores():
        noise_n, noise_r = (float(np.median(n[rows, columns])) if n.ndim else float(n) for n in noises)
        x, y = (columns.start + columns.stop - 1) / 2, (rows.start + rows.stop - 1) / 2
        tile = Tile(x, y, noise_n, noise_r, transforms, new, reference)
        cut = [tiling.window(plane, (rows, columns), outside) for plane, outside in inputs]
        _score_tile(comparison, tile, matching.filters(tile), cut, planes.of(i, j, rows, columns))
    return planes


def _score_tile(comparison: Comparison, tile: Tile, filters: Filters, cut: list[np.ndarray], planes: Planes) -> None:
    """Write into `planes`, those of the tile."""
    from processing.algorithms.score_kernels import finish

    transforms = tile.transforms
    core = Core(transforms, planes.data.shape)
    response = filters.new_noise * tile.new_psf  # F_D P_D
    matched = np.conj(response)
    flux_noise, gradient_noise = _noise_of_score(transforms, power(response))  # F_S; V_x, V_y
    noise = transforms.squared(matched * filters.new_noise) * transforms.forward(cut[2])
    noise += transforms.squared(matched * filters.reference_noise) * transforms.forward(cut[3])

    on_new, on_reference = filters.new * transforms.forward(cut[0]), filters.reference * transforms.forward(cut[1])
    difference, both = on_new - on_reference, np.float32(0.5) * (on_new + on_reference)
    hot_norm = np.sqrt(transforms.mean(power(filters.new_noise)))
    hot_filter = np.conj(filters.new_noise) * np.float32(1 / hot_norm)
    hot_response = transforms.mean((response * hot_filter).real)
    scale = float(filters.new_noise[0, 0].real * tile.new_psf[0, 0].real)  # F_D
    seen = core.pixels(difference), *core.with_gradient(matched * difference), core.pixels(difference * hot_filter)
    scales = (1 / scale, 1 / scale**2, 1 / flux_noise, *(1 / v for v in gradient_noise), 1e-3 * flux_noise)
    # One image is shifted against the other: the gradient of the mean score counts once, not that of each.
    systematic = (comparison.systematic, *comparison.registration)
    mean_score = core.with_gradient(matched * both)
    numbers = (np.array(values, np.float32) for values in (scales, systematic))
    finish(seen, mean_score, core.pixels(noise), *numbers, planes.images())
    planes.stamps[:] = transforms.stamp(response) / np.float32(scale)
    planes.cosmic_ratios[...] = hot_response / np.sqrt(flux_noise)


def _noise_of_score(transforms: Transforms, energy: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Variance of S and of its derivatives along x and y on pure background."""
    size = np.prod(transforms.tiling.fft_shape)
    along_x = energy.sum(axis=0, dtype=np.float64) * transforms.half_plane / size
    along_y = (energy @ transforms.half_plane).astype(np.float64) / size
    gradients = np.dot(along_x, transforms.kappa_x**2), np.dot(along_y, transforms.kappa_y[:, 0] ** 2)
    return float(along_x.sum()), (float(gradients[0]), float(gradients[1]))
