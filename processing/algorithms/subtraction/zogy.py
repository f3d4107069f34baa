"""Proper image subtraction (Zackay, Ofek & Gal-Yam 2016, ApJ 830, 27)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from processing.algorithms.subtraction.base import Epoch, MatchedStars, MatchingMethod
from processing.algorithms.subtraction.score import Filters, Matching, Tile
from processing.algorithms.subtraction.stars import Comparison
from processing.algorithms.subtraction.tiling import power

_VANISHING = 1e-7  # of the largest denominator: below it float32 holds only rounding errors of the PSFs' transforms


class Zogy(MatchingMethod):
    """The statistically optimal difference for known PSFs and white noise: each image is filtered with the other's PSF.

    Its statistic is covered by US patent 10,776,653.
    """

    name: ClassVar[str] = "zogy"

    def match(self, new: Epoch, reference: Epoch, comparison: Comparison, stars: MatchedStars | None) -> Matching:
        """Both images as they are; the PSFs of each tile make the filters."""
        return _ProperMatching(new, reference, comparison.flux_ratio)


@dataclass(frozen=True)
class _ProperMatching(Matching):
    flux_ratio: float

    def filters(self, tile: Tile) -> Filters:
        """Equation 13 with F_n = 1: F_r P_r / sqrt(den) on the new image, P_n / sqrt(den) on the reference."""
        ratio = np.float32(self.flux_ratio)
        p_n, p_r = tile.new_psf, tile.reference_psf
        noise_n, noise_r = np.float32(tile.new_noise * ratio), np.float32(tile.reference_noise)
        den = noise_n**2 * power(p_r) + noise_r**2 * power(p_n)
        vanishing = den < _VANISHING * den.max()
        den[vanishing] = 1
        whiten = 1 / np.sqrt(den)
        on_new, on_reference = p_r * (ratio * whiten), p_n * whiten
        if vanishing.any():
            # Where neither PSF passes anything, the plain difference keeps the noise white.
            plain = 1 / np.sqrt(noise_n**2 + noise_r**2)
            on_new[vanishing], on_reference[vanishing] = ratio * plain, plain
        return Filters(on_new, on_reference, on_new, on_reference)
