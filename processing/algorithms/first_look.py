"""A first look at an image: sky, noise, seeing and limit from its middle, before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.background import BackgroundParameters, estimate_background
from processing.algorithms.detection import estimate_seeing
from processing.algorithms.shapes import FWHM_PER_SIGMA
from processing.errors import BadInput, BadPixels

_SIDE = 1024  # px; the middle of a large CCD tells as much, in a fraction of the time
_FIRST_FWHM = 3.0  # px, to start from


@dataclass(frozen=True)
class FirstLook:
    """Figures of an image; None for what it does not show."""

    level: float | None = None  # electrons per px, median of the sky
    noise: float | None = None  # electrons, standard deviation of a pixel of sky
    fwhm: float | None = None  # px

    def limiting_magnitude(self, zero_point: float | None, n_sigma: float = 5.0) -> float | None:
        """Magnitude of a Gaussian point source of `n_sigma`: its matched filter has the noise 2√π σ of a pixel's."""
        if zero_point is None or not self.noise or not self.fwhm:
            return None
        flux = n_sigma * self.noise * 2 * np.sqrt(np.pi) * self.fwhm / FWHM_PER_SIGMA
        return float(zero_point - 2.5 * np.log10(flux))


def first_look(data: np.ndarray, mask: np.ndarray) -> FirstLook:
    """Look at the middle of `data` (ny, nx) float32, electrons, without the pixels of `mask` (ny, nx) bool.

    An image without sky or stars is no error here: the step that cannot do without them says so.
    """
    middle = tuple(slice(max(0, (n - _SIDE) // 2), max(0, (n - _SIDE) // 2) + _SIDE) for n in data.shape)
    data, mask = np.ascontiguousarray(data[middle], np.float32), np.ascontiguousarray(mask[middle])
    try:
        sky = estimate_background(data, mask, BackgroundParameters())
    except (BadInput, BadPixels):
        return FirstLook()
    fwhm = estimate_seeing(data - sky.level, sky.rms, mask, _FIRST_FWHM)
    return FirstLook(sky.value, sky.noise, None if fwhm == _FIRST_FWHM else float(fwhm))
