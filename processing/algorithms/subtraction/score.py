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
from processing.algorithms.subtraction.tiles import Tiles
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
    alpha: np.ndarray
    tiles: Tiles

    @classmethod
    def empty(cls, tiling: Tiling) -> Planes:
        """Arrays to be written tile by tile."""
        return cls(*(np.empty(tiling.shape, np.float32) for _ in range(4)), Tiles.empty(tiling))

    def flux_at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """PSF flux and its error from photon and read noise at pixels (n,) int: (n,) each, electrons."""
        return self.alpha[y, x], np.sqrt(self.variance[y, x] * self.tiles.at("flux_noise", x, y))

    def images(self, rows: slice, columns: slice) -> tuple[np.ndarray, ...]:
        """Views of the part of a tile in the four that have one number a pixel."""
        return tuple(image[rows, columns] for image in (self.data, self.variance, self.score, self.alpha))


def score(matching: Matching, tiling: Tiling, comparison: Comparison, *, workers: int = 1) -> Planes:
    """Difference image, score and flux of a matched pair, and what single candidates are tested with."""
    planes = Planes.empty(tiling)
    transforms = Transforms(tiling, workers)
    new, reference = matching.new, matching.reference
    noises = [np.asarray(epoch.noise, np.float32) for epoch in (new, reference)]
    inputs = [(image, 0.0) for image in matching.images()]
    inputs += [(epoch.variance, float(np.mean(epoch.noise)) ** 2) for epoch in (new, reference)]
    for index, (_, _, rows, columns) in enumerate(tiling.cores()):
        noise_n, noise_r = (float(np.median(n[rows, columns])) if n.ndim else float(n) for n in noises)
        x, y = (columns.start + columns.stop - 1) / 2, (rows.start + rows.stop - 1) / 2
        tile = Tile(x, y, noise_n, noise_r, transforms, new, reference)
        cut = [tiling.window(plane, (rows, columns), outside) for plane, outside in inputs]
        images = planes.images(rows, columns)
        figures, psf, hit = _score_tile(comparison, tile, matching.filters(tile), cut, images)
        planes.tiles.table[index] = (rows.start, rows.stop, columns.start, columns.stop, *figures)
        planes.tiles.psf[index], planes.tiles.hit[index] = psf, hit
    return planes


def _score_tile(
    comparison: Comparison, tile: Tile, filters: Filters, cut: list[np.ndarray], images: tuple[np.ndarray, ...]
) -> tuple[tuple[float, ...], np.ndarray, np.ndarray]:
    """Write into `images`; the figures of the tile in the order of TILE, its PSF and its filter of hits."""
    from processing.algorithms.score_kernels import finish

    transforms = tile.transforms
    core = Core(transforms, images[0].shape)
    response = filters.new_noise * tile.new_psf  # F_D P_D
    matched = np.conj(response)
    flux_noise, gradient_noise = _noise_of_score(transforms, power(response))  # F_S; V_x, V_y
    noise = transforms.squared(matched * filters.new_noise) * transforms.forward(cut[2])
    noise += transforms.squared(matched * filters.reference_noise) * transforms.forward(cut[3])

    on_new, on_reference = filters.new * transforms.forward(cut[0]), filters.reference * transforms.forward(cut[1])
    difference = on_new - on_reference
    on_new += on_reference
    on_new *= np.float32(0.5)
    scale = float(filters.new_noise[0, 0].real * tile.new_psf[0, 0].real)  # F_D
    scales = (1 / scale, 1 / scale**2, 1 / flux_noise, 1e-3 * flux_noise)
    systematic = (comparison.systematic, *comparison.registration)
    numbers = (np.array(values, np.float32) for values in (scales, systematic))
    # One image is shifted against the other: the gradient of the mean score counts once, not that of each.
    mean_score = core.pixels(matched * on_new, margin=2)
    finish(core.pixels(difference), core.pixels(matched * difference), mean_score, core.pixels(noise), *numbers, images)

    hit_norm = np.sqrt(transforms.mean(power(filters.new_noise)))
    hit_ratio = transforms.mean((response * np.conj(filters.new_noise)).real) / hit_norm / np.sqrt(flux_noise)
    hit = transforms.stamp(filters.new_noise) * np.float32(scale / hit_norm / np.sqrt(flux_noise))
    figures = (scale**2 / flux_noise, *(flux_noise / v for v in gradient_noise), hit_ratio)
    return figures, transforms.stamp(response) / np.float32(scale), hit


def _noise_of_score(transforms: Transforms, energy: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Variance of S and of its `slopes` along x and y on pure background."""
    size = np.prod(transforms.tiling.fft_shape)
    along_x = energy.sum(axis=0, dtype=np.float64) * transforms.half_plane / size
    along_y = (energy @ transforms.half_plane).astype(np.float64) / size
    gradients = np.dot(along_x, transforms.slope_x**2), np.dot(along_y, transforms.slope_y[:, 0] ** 2)
    return float(along_x.sum()), (float(gradients[0]), float(gradients[1]))
