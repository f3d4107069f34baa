"""What every subtraction method takes and gives, and the family itself.

A method decides only how the two images are filtered; the score, its noise and its significance follow from that in
one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from processing.algorithms.inpainting import fill
from processing.algorithms.masks import grow
from processing.algorithms.resampling import StampModel
from processing.algorithms.statistics import clipped_mean_and_std, mad_std
from processing.algorithms.subtraction.score import Matching, Planes, score
from processing.algorithms.subtraction.stars import Comparison, MatchedStars, compare, residual_ratio
from processing.algorithms.subtraction.tiles import Tiles
from processing.algorithms.subtraction.tiling import Tiling
from processing.errors import BadInput
from processing.parameters import param
from processing.plugins import Plugin

__all__ = ["Difference", "Epoch", "MatchedStars", "MatchingMethod", "SubtractionMethod"]


@dataclass(frozen=True)
class Epoch:
    """One of the two images of a subtraction, on the pixel grid of the new one."""

    data: np.ndarray  # (ny, nx) float32, electrons, background subtracted; the reference warped onto the new grid
    variance: (
        np.ndarray
    )  # (ny, nx) float32, electrons^2 with source noise; of the reference un-resampled variance, warped
    mask: np.ndarray  # (ny, nx) bool, True where unusable: as flagged, not grown
    psf: StampModel  # at positions of the new grid; of the reference a MappedPSF
    noise: float | np.ndarray  # background rms, electrons: one number or (ny, nx); of the reference before resampling
    zero_point: float  # mag = -2.5 log10(electrons) + zero_point
    fwhm: float  # px of the new grid
    fitted: Epoch | None = None  # the same without what was put into it: whatever is fitted to pixels looks at this


@dataclass(frozen=True)
class Difference:
    """A difference image with all that detection and measuring need; arrays are (ny, nx) on the new image's grid."""

    data: np.ndarray  # float32, electrons of the new image; white noise
    variance: np.ndarray  # float32, electrons^2, of a pixel of `data` with source noise (averaged over the PSF)
    score: np.ndarray  # float32, Scorr: sigma of a point source, with registration and flux-ratio noise
    alpha: np.ndarray  # float32, electrons of the new image: PSF flux of a point source centred on the pixel
    mask: np.ndarray  # bool, True where a peak must not be trusted
    tiles: Tiles  # its PSF, and what turns these planes into noise and statistics
    flux_ratio: float  # counts in the reference / counts in the new image of a constant source
    quality: dict[str, float]  # named numbers about this subtraction; see `SubtractionMethod`
    unsupported: np.ndarray | None = None  # bool, True where another method does not see what `score` shows

    @property
    def alpha_err(self) -> np.ndarray:
        """Error of `alpha` from photon and read noise, (ny, nx) float32, electrons."""
        return np.sqrt(self.variance * self.tiles.plane("flux_noise"))


class SubtractionMethod(Plugin):
    """The family: `method(new, reference, stars)` gives a Difference.

    `quality` holds `flux_ratio`, `flux_ratio_err`, `flux_ratio_over_zero_points`, `registration_x`, `registration_y`
    (px), `registration_stars`, `ratio_stars`, `score_std` and `score_mean` of empty sky, `score_std_bright` (scatter of
    S/N from photon noise alone, of pixels above 20 sigma), `residual_ratio` (see there) and what the method adds.
    """

    package: ClassVar[str] = "processing.algorithms.subtraction"

    def __call__(self, new: Epoch, reference: Epoch, stars: MatchedStars | None = None) -> Difference:
        """Subtract `reference` from `new`. Raises BadInput where shapes differ or nothing usable is common."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it subtracts")


class MatchingMethod(SubtractionMethod):
    """A method that brings two images together with filters; it implements `match`."""

    absorbs_offset: ClassVar[bool] = False  # whether a common shift of all stars is taken out

    tile: int = param(256, ge=64, le=4096, unit="px", help="Size of the pieces in which the PSFs count as constant.")
    systematic: float = param(
        0.004, ge=0, le=0.1, help="Relative error of flux ratio and PSF shape that enters the score's noise."
    )
    registration_floor: float = param(
        0.015, ge=0, le=1, unit="px", help="Smallest relative shift between the images that enters the score's noise."
    )
    mask_growth: float = param(3.0, ge=0, le=30, unit="px", help="How far unusable pixels spoil detection around them.")
    workers: int = param(1, ge=1, critical=False, help="Threads used by the FFT.")

    def match(self, new: Epoch, reference: Epoch, comparison: Comparison, stars: MatchedStars | None) -> Matching:
        """How the two (filled) images are brought together; `comparison` holds their flux ratio and registration."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it matches two images")

    def __call__(self, new: Epoch, reference: Epoch, stars: MatchedStars | None = None) -> Difference:
        """Subtract `reference` from `new`. Raises BadInput where shapes differ or nothing usable is common."""
        mask = _common_mask(new, reference)
        new, reference = _filled(new, mask), _filled(reference, mask)
        comparison = compare(
            stars,
            zero_points=(new.zero_point, reference.zero_point),
            fwhms=(new.fwhm, reference.fwhm),
            registration_floor=self.registration_floor,
            systematic=self.systematic,
            keep_offset=not self.absorbs_offset,
        )
        matching = self.match(new, reference, comparison, stars)
        tiling = Tiling.of(mask.shape, self.tile, _half_size(new, reference))
        planes = score(matching, tiling, comparison, workers=self.workers)
        unusable = grow(mask, self.mask_growth)
        _close_edges(unusable, tiling.half)
        quality = comparison.quality() | matching.quality() | _statistics(planes, new, reference, unusable)
        quality["residual_ratio"] = residual_ratio(stars, unusable, planes.flux_at)
        return Difference(
            data=planes.data,
            variance=planes.variance,
            score=planes.score,
            alpha=planes.alpha,
            mask=unusable,
            tiles=planes.tiles,
            flux_ratio=comparison.flux_ratio,
            quality=quality,
        )


def _common_mask(new: Epoch, reference: Epoch) -> np.ndarray:
    if new.data.shape != reference.data.shape:
        reason = f"{reference.data.shape} pixels, the new image has {new.data.shape}"
        raise BadInput(what="reference", reason=reason)
    mask = new.mask | reference.mask
    for epoch in (new, reference):
        mask |= ~(np.isfinite(epoch.data) & np.isfinite(epoch.variance)) | (epoch.variance <= 0)
    if mask.all():
        raise BadInput(what="images to subtract", reason="no pixel is usable in both")
    return mask


def _filled(epoch: Epoch, mask: np.ndarray) -> Epoch:
    variance = fill(epoch.variance, mask, background=float(np.mean(epoch.noise)) ** 2)
    fitted = epoch.fitted and _filled(epoch.fitted, mask)
    values = {**vars(epoch), "data": fill(epoch.data, mask), "variance": variance, "mask": mask, "fitted": fitted}
    return Epoch(**values)


def _half_size(new: Epoch, reference: Epoch) -> int:
    ny, nx = new.data.shape
    stamps = [epoch.psf.stamp((nx - 1) / 2, (ny - 1) / 2) for epoch in (new, reference)]
    return max(stamp.shape[0] // 2 for stamp in stamps)


def _close_edges(mask: np.ndarray, width: int) -> None:
    # Half of the PSF of a source at the edge is missing, and its score with it.
    mask[:width] = mask[-width:] = True
    mask[:, :width] = mask[:, -width:] = True


def _statistics(planes: Planes, new: Epoch, reference: Epoch, mask: np.ndarray) -> dict[str, float]:
    """Scatter and mean of the score where neither image shows a source, and the scatter at bright sources."""
    sources = mask.copy()
    for epoch in (new, reference):
        sources |= grow(epoch.data > 4 * epoch.noise, 1.5 * epoch.fwhm)
    bright = ~mask & (new.data > 20 * new.noise)
    # Neighbours say the same: every other row and column is enough.
    thin = (slice(None, None, 2), slice(None, None, 2))
    sky, (row, column) = planes.score[thin][~sources[thin]], np.nonzero(bright)
    flux, error = planes.flux_at(column, row)
    mean, std = clipped_mean_and_std(sky, sigma=4.0) if sky.size else (0.0, 0.0)
    return {
        "score_mean": mean,
        "score_std": std,
        "score_std_bright": mad_std(flux / error) if flux.size else 0.0,
    }
