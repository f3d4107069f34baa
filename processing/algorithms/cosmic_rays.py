"""Candidates of cosmic rays in a single exposure: light that is sharper than the PSF can be.

The test is that of the SDSS pipeline (R. Lupton's Photo, "finding cosmic rays"): no star falls off faster from its
brightest pixel than one that is centred on it, in whatever direction.
"""

from __future__ import annotations

import numpy as np

from processing.parameters import Parameters, param

_NODES = np.array([-1, 0, 1]) * np.sqrt(0.6) / 2  # Gauss–Legendre within a pixel
_WEIGHTS = np.array([5, 8, 5]) / 18


class CosmicRayParameters(Parameters):
    """What counts as a cosmic ray."""

    threshold: float = param(6.0, gt=0, unit="sigma", help="Height over the sky, in its noise.")
    margin: float = param(4.0, ge=0, unit="sigma", help="By so much of the noise it must be sharper than the PSF.")
    sharpness: float = param(
        0.8, gt=0, le=1, help="Part of the measured seeing that a star may have: the PSF varies over the image."
    )
    sharpest: float = param(1.5, gt=0, unit="px", help="FWHM below which no star can be, where the seeing is unknown.")
    growth: float = param(3.0, gt=0, unit="sigma", help="Neighbours of a hit from this height on go with it.")


def find_cosmic_rays(
    data: np.ndarray, weight: np.ndarray, fwhm: float | None, parameters: CosmicRayParameters | None = None
) -> np.ndarray:
    """Pixels of cosmic rays, (ny, nx) bool.

    `data` (ny, nx) float32 are electrons without sky, `weight` (ny, nx) float32 their inverse variance with source
    noise, 0 where unusable; `fwhm` is the seeing in pixels.
    """
    from processing.algorithms.cosmic_ray_kernels import grow_hits, sharper_than_psf

    p = parameters or CosmicRayParameters()
    usable = weight[::8, ::8][weight[::8, ::8] > 0]
    if not usable.size:
        return np.zeros(data.shape, bool)
    sky_noise = np.float32(1 / np.sqrt(np.median(usable)))
    ratios = _fall_off(max(p.sharpness * (fwhm or 0), p.sharpest))
    hits = sharper_than_psf(data, weight, np.float32(p.threshold) * sky_noise, ratios, np.float32(p.margin))
    return grow_hits(data, weight, hits, np.float32(p.growth) * sky_noise)


def _fall_off(fwhm: float) -> np.ndarray:
    """Light of the pixel beside, above and diagonal to the one on which a Gaussian is centred, over that one's."""
    sigma = fwhm / np.sqrt(8 * np.log(2))
    one = [float(np.sum(_WEIGHTS * np.exp(-((step + _NODES) ** 2) / (2 * sigma**2)))) for step in (0, 1)]
    beside = one[1] / one[0]
    return np.array([beside, beside, beside**2, beside**2], np.float32)
