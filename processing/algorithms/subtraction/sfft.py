"""Saccadic FFT subtraction (Hu, Wang, Chen & Yang 2022, ApJ 936, 157), scored as in Rubin's DMTN-179."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from processing.algorithms.subtraction.base import Epoch, MatchedStars
from processing.algorithms.subtraction.delta_basis import Functions, Model, Windows
from processing.algorithms.subtraction.kernel_method import KernelMethod
from processing.algorithms.subtraction.matching_kernel import FEWEST_STARS, MatchingKernel
from processing.algorithms.subtraction.stars import Comparison
from processing.errors import NotEnoughStars
from processing.parameters import param

_CLIP = 5.0  # sigma
_LEAST_SPREAD = 0.05  # of chi-square per pixel
_ROUNDS = 5
_MODEL_ERROR = 0.02  # relative, of a flux


class Sfft(KernelMethod):
    """The sharper image convolved with a kernel of free pixels, subtracted from the broader, and decorrelated.

    The kernel is measured on the pair itself, whatever its shape: only the PSF of the new image must be known, and
    only for the score.
    """

    name: ClassVar[str] = "sfft"

    order: int = param(2, ge=0, le=3, help="Order of the kernel's variation; lowered below 100 and 25 stars.")
    free_radius: float = param(
        1.5, ge=0.5, le=4, unit="FWHM", help="So far from its middle all kernel pixels are free."
    )
    most_free: int = param(12, ge=3, le=16, unit="px", help="Largest such radius: the cost grows with its sixth power.")
    kernel_half: float = param(4.0, ge=1, le=6, unit="FWHM", help="Half size of the kernel, whose wings are rings.")
    constant_ratio: bool = param(True, help="Whether the sum of the kernel is the same all over the image.")
    background_order: int | None = param(
        None, ge=0, le=2, help="Order of a background fitted at the stars; None: the sky is that of the images."
    )

    def usable(self, stars: MatchedStars, comparison: Comparison) -> np.ndarray:
        """Which stars may enter the fit, (n,) bool: those that vary do not."""
        ratio = stars.ref_flux / stars.new_flux
        error = np.hypot(stars.ref_flux_err / stars.ref_flux, stars.new_flux_err / stars.new_flux)
        constant = np.abs(ratio / comparison.flux_ratio - 1) < _CLIP * np.hypot(error, _MODEL_ERROR)
        return super().usable(stars, comparison) & constant

    def fit(self, sharp: Epoch, target: Epoch, positions: np.ndarray, expected: float) -> MatchingKernel:
        """The kernel by least squares over the windows of the stars, fitted again without those that do not fit.

        Raises NotEnoughStars below 5.
        """
        fwhm = max(sharp.fwhm, target.fwhm)
        free = min(self.most_free, int(np.ceil(self.free_radius * fwhm)))
        half = max(free, int(np.ceil(self.kernel_half * fwhm)))
        windows = Windows.cut(sharp, target, positions, half, expected)
        count = len(windows.x)
        if count < FEWEST_STARS:
            raise NotEnoughStars(found=count, needed=FEWEST_STARS, purpose="matching kernel")
        order = min(self.order, 3 if count >= 100 else 1 if count >= 25 else 0)
        model = Model(Functions.of(free, half), order, self.constant_ratio, self.background_order)
        keep = np.ones(count, bool)
        for _ in range(_ROUNDS):
            kernel = model.fit(windows, keep, target.data.shape)
            chi2 = windows.chi2(kernel)
            middle = np.median(chi2[keep])
            spread = 1.4826 * np.median(np.abs(chi2[keep] - middle))
            fitting = chi2 < middle + _CLIP * max(spread, _LEAST_SPREAD)
            if fitting.sum() < FEWEST_STARS or np.array_equal(fitting, keep):
                break
            keep = fitting
        return replace(kernel, chi2=float(middle))
