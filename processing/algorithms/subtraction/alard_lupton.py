"""Subtraction with a fitted kernel (Alard & Lupton 1998, Alard 2000), scored as in Rubin's DMTN-179."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from processing.algorithms.subtraction.base import Epoch, MatchedStars, SubtractionMethod
from processing.algorithms.subtraction.matching_kernel import FEWEST_STARS, Basis, MatchingKernel, Stamps, fit_kernel
from processing.algorithms.subtraction.score import Filters, Matching, Tile
from processing.algorithms.subtraction.stars import Comparison
from processing.algorithms.subtraction.tiling import power
from processing.errors import NotEnoughStars
from processing.parameters import param

_TRUSTED_SUM = 0.03  # a kernel whose sum is farther from the flux ratio has fitted something else


class AlardLupton(SubtractionMethod):
    """The sharper image convolved with a kernel fitted at stars, subtracted from the broader, and decorrelated.

    The kernel is measured on the pair itself: only the PSF of the new image must be known, and only for the score.
    """

    name: ClassVar[str] = "alard_lupton"
    absorbs_offset: ClassVar[bool] = True

    order: int = param(2, ge=0, le=2, help="Order of the kernel's variation; lowered below 100 and 25 stars.")
    stars: int = param(300, ge=5, help="Most stars that enter the fit, brightest first.")
    min_snr: float = param(30.0, gt=0, help="Fainter stars do not enter: their noise lowers the sum of the kernel.")
    kernel_half: float = param(3.3, ge=1, le=6, unit="FWHM", help="Half size of the kernel, in FWHM of the broader.")

    def match(self, new: Epoch, reference: Epoch, comparison: Comparison, stars: MatchedStars | None) -> Matching:
        """Fit and apply the kernel to the sharper image. Raises NotEnoughStars below 5 usable ones."""
        positions = self._positions(stars)
        convolve_new = new.fwhm < reference.fwhm
        found = self._fit(new, reference, comparison, positions, convolve_new)
        if abs(found.sum_ratio - 1) > _TRUSTED_SUM:
            other = self._fit(new, reference, comparison, positions, not convolve_new)
            found = min(found, other, key=lambda matching: abs(matching.sum_ratio - 1))
        image = found.kernel.apply((new if found.convolve_new else reference).data, self.workers)
        return _KernelMatching(new, reference, found.kernel, found.convolve_new, found.sum_ratio, image)

    def _positions(self, stars: MatchedStars | None) -> np.ndarray:
        if stars is None:
            raise NotEnoughStars(found=0, needed=FEWEST_STARS, purpose="matching kernel")
        snr = stars.significance()
        use = np.flatnonzero(np.isfinite(snr) & (snr > self.min_snr))
        use = use[np.argsort(-stars.new_flux[use], kind="stable")][: self.stars]
        return np.c_[stars.x[use], stars.y[use]]

    def _fit(
        self, new: Epoch, reference: Epoch, comparison: Comparison, positions: np.ndarray, convolve_new: bool
    ) -> _KernelMatching:
        sharp, target = (new, reference) if convolve_new else (reference, new)
        expected = comparison.flux_ratio if convolve_new else 1 / comparison.flux_ratio
        half = int(np.ceil(self.kernel_half * target.fwhm))
        variance = target.variance + np.float32(expected**2) * sharp.variance
        stamps = Stamps.cut((sharp.data, target.data), variance, new.mask, positions, half)
        basis = Basis.of((new.fwhm, reference.fwhm), half)
        kernel = fit_kernel(stamps, basis, self.order, new.data.shape)
        return _KernelMatching(new, reference, kernel, convolve_new, kernel.total / expected)


@dataclass(frozen=True)
class _KernelMatching(Matching):
    kernel: MatchingKernel
    convolve_new: bool
    sum_ratio: float  # of the kernel over what the flux ratio of the stars says
    convolved: np.ndarray | None = None  # (ny, nx) float32

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """The pair with the sharper image convolved."""
        return (self.convolved, self.reference.data) if self.convolve_new else (self.new.data, self.convolved)

    def filters(self, tile: Tile) -> Filters:
        """White noise after the kernel K of this tile: 1 / sqrt(target^2 + sharp^2 |K|^2) on the difference."""
        kernel = tile.transforms.spectrum(self.kernel.stamp(tile.x, tile.y))
        sharp, target = tile.reference_noise, tile.new_noise
        if self.convolve_new:
            sharp, target = target, sharp
        whiten = 1 / np.sqrt(np.float32(target) ** 2 + np.float32(sharp) ** 2 * power(kernel))
        convolving = kernel * whiten
        if self.convolve_new:
            return Filters(whiten, whiten, convolving, whiten)
        return Filters(whiten, whiten, whiten, convolving)

    def quality(self) -> dict[str, float]:
        """Stars, chi-square per pixel and sum of the kernel."""
        return {
            "kernel_stars": float(self.kernel.stars),
            "kernel_chi2": self.kernel.chi2,
            "kernel_sum": self.kernel.total,
            "kernel_sum_over_flux_ratio": self.sum_ratio,
            "kernel_convolves_new": float(self.convolve_new),
        }
