"""Forced photometry: the PSF flux at given positions of a difference image, its whole error, and what lies under it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.peaks import FLUX_STAMP, psf_flux
from processing.algorithms.stamps import cut_stamps, odd_size

REACH = FLUX_STAMP // 2  # px around the pixel of a position that its numbers depend on
FORCED = np.dtype(
    [
        ("flux", "f8"),  # PSF flux, electrons of the new image, of either sign
        ("flux_err", "f8"),  # its error with the noise of registration and flux ratio, electrons
        ("flags", "u2"),  # bits of every pixel under the core
    ]
)
_PRIOR = 0.2  # sum of squared scores that both sums begin with: on empty sky the ratio scatters by 1 %


@dataclass(frozen=True)
class ForcedPlanes:
    """What forced photometry looks at: planes (ny, nx) of a difference image, or of the same part of each."""

    score: np.ndarray  # S/N of a point source, every noise term included
    alpha: np.ndarray  # PSF flux of a source at each pixel, electrons
    alpha_error: np.ndarray  # its photometric error, electrons; 0 where it is not known
    flags: np.ndarray  # uint16 bits of pixels


def forced_fluxes(planes: ForcedPlanes, x: np.ndarray, y: np.ndarray, *, core: float, outside: int) -> np.ndarray:
    """PSF fluxes at sub-pixel positions (n,) of the planes, dtype FORCED.

    `flags` are those of pixels whose centre lies within `core` px, and `outside` where one of them is off the planes.
    Fluxes are those of detections (`peaks.psf_flux`). Their error is larger: a star that the two images do not agree
    about by a fraction of a pixel or of its flux leaves something that is no noise of photons.
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    found = np.zeros(len(x), FORCED)
    found["flux"], centres = psf_flux(planes.alpha, x, y)
    error = cut_stamps(planes.alpha_error, *centres.T, size=1)[0][:, 0, 0]
    found["flux_err"] = error * _systematic(planes, x, y)
    found["flags"] = _flags_under(planes.flags, x, y, core, outside)
    return found


def _systematic(planes: ForcedPlanes, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whole over photometric error (n,), at least 1: what the two scores of 3×3 pixels have for each other.

    Where both are near 0, their ratio would be that of two roundings.
    """
    score, alpha, error = (
        cut_stamps(plane, x, y, size=3)[0].astype(float) for plane in (planes.score, planes.alpha, planes.alpha_error)
    )
    photons = np.divide(alpha, error, out=np.zeros_like(alpha), where=error > 0)
    plain, whole = (np.sum(np.where(error > 0, values, 0) ** 2, axis=(1, 2)) + _PRIOR for values in (photons, score))
    return np.sqrt(np.maximum(plain / whole, 1))


def _flags_under(flags: np.ndarray, x: np.ndarray, y: np.ndarray, core: float, outside: int) -> np.ndarray:
    stamps, centres = cut_stamps(flags, x, y, size=odd_size(core + 0.5), fill=outside)
    offset = np.arange(stamps.shape[-1]) - stamps.shape[-1] // 2
    dx = centres[:, :1] + offset - x[:, None]
    dy = centres[:, 1:] + offset - y[:, None]
    near = dx[:, None, :] ** 2 + dy[:, :, None] ** 2 <= core**2
    return np.bitwise_or.reduce(np.where(near, stamps, 0), axis=(1, 2))
