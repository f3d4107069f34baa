"""Subtraction with a fitted kernel (Alard & Lupton 1998, Alard 2000), scored as in Rubin's DMTN-179."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from processing.algorithms.subtraction.base import Epoch
from processing.algorithms.subtraction.kernel_method import KernelMethod
from processing.algorithms.subtraction.matching_kernel import Basis, MatchingKernel, Stamps, fit_kernel
from processing.parameters import param


class AlardLupton(KernelMethod):
    """The sharper image convolved with a kernel of Gaussians times polynomials, subtracted, and decorrelated.

    The kernel is measured on the pair itself: only the PSF of the new image must be known, and only for the score.
    """

    name: ClassVar[str] = "alard_lupton"

    order: int = param(2, ge=0, le=2, help="Order of the kernel's variation; lowered below 100 and 25 stars.")
    kernel_half: float = param(4.0, ge=1, le=6, unit="FWHM", help="Half size of the kernel, in FWHM of the broader.")

    def fit(self, sharp: Epoch, target: Epoch, positions: np.ndarray, expected: float) -> MatchingKernel:
        """The kernel by weighted least squares over the stamps of the stars. Raises NotEnoughStars below 5."""
        half = int(np.ceil(self.kernel_half * target.fwhm))
        variance = target.variance + np.float32(expected**2) * sharp.variance
        stamps = Stamps.cut((sharp.data, target.data), variance, target.mask, positions, half)
        basis = Basis.of((sharp.fwhm, target.fwhm), half, far_wings=stamps.show_wings(target.fwhm))
        return fit_kernel(stamps.narrowed(target.fwhm), basis, self.order, target.data.shape)
