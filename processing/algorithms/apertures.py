"""Fluxes in circular apertures, and what must be added to their magnitudes to count the whole PSF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sep

from processing.algorithms.statistics import mad_std
from processing.errors import NotEnoughStars


@dataclass(frozen=True)
class ApertureCorrections:
    """Median of aperture minus PSF magnitude of stars: PSF magnitude = aperture magnitude − correction."""

    corrections: np.ndarray  # (n_aper,) float64, mag
    scatter: np.ndarray  # (n_aper,) float64, mag, robust standard deviation of one star
    n_stars: int


def aperture_fluxes(
    data: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    radii: Sequence[float],
    *,
    rms: np.ndarray | float,
    mask: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and errors (n, n_aper) float64 in circles of `radii` px on `data` (ny, nx) float32, electrons without sky.

    The error has the background noise `rms` and the Poisson noise of the flux. Masked pixels are replaced by the mean
    of the others in the circle; a circle without any other pixel gives 0 and an infinite error.
    """
    fluxes, errors = np.zeros((len(x), len(radii))), np.zeros((len(x), len(radii)))
    for k, radius in enumerate(radii):
        flux, error, _ = sep.sum_circle(data, x, y, radius, err=rms, mask=mask, gain=1.0, subpix=5)
        seen = np.isfinite(flux) & np.isfinite(error)
        fluxes[:, k], errors[:, k] = np.where(seen, flux, 0), np.where(seen, error, np.inf)
    return fluxes, errors


def annulus_medians(
    data: np.ndarray, mask: np.ndarray, x: np.ndarray, y: np.ndarray, radii: tuple[float, float]
) -> np.ndarray:
    """Median (n,) float64 of the pixels of `data` (ny, nx) in the ring between the radii (px) around each position.

    Pixels of `mask` are left out; NaN where fewer than a quarter of the ring's area is left, e.g. beyond the edge.
    """
    inner, outer = radii
    least = max(1.0, np.pi * (outer**2 - inner**2) / 4)
    found = np.full(len(x), np.nan)
    for k, (column, row) in enumerate(zip(x, y)):
        left, low = (max(0, int(np.floor(at - outer))) for at in (column, row))
        box = slice(low, max(0, int(row + outer) + 2)), slice(left, max(0, int(column + outer) + 2))
        usable = ~mask[box]
        rows, columns = np.ogrid[: usable.shape[0], : usable.shape[1]]
        distance = np.hypot(columns + left - column, rows + low - row)
        usable &= (distance >= inner) & (distance <= outer)
        if np.count_nonzero(usable) >= least:
            found[k] = np.median(data[box][usable])
    return found


def aperture_corrections(flux_aper: np.ndarray, psf_flux: np.ndarray) -> ApertureCorrections:
    """Compare the aperture fluxes (n, n_aper) of stars with their PSF fluxes (n,).

    Raises NotEnoughStars when no star has positive fluxes.
    """
    flux_aper = np.asarray(flux_aper, float)
    good = (psf_flux > 0) & np.all(flux_aper > 0, axis=1)
    if not good.any():
        raise NotEnoughStars(found=0, needed=1, purpose="aperture corrections")
    difference = -2.5 * np.log10(flux_aper[good] / np.asarray(psf_flux, float)[good, None])
    return ApertureCorrections(
        np.median(difference, axis=0), np.array([mad_std(column) for column in difference.T]), int(good.sum())
    )
