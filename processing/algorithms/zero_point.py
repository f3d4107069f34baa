"""The photometric zero point from stars of known magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.statistics import mad_std
from processing.errors import NotEnoughStars
from processing.parameters import Parameters, param

_POGSON = 2.5 / np.log(10)


class PhotometryParameters(Parameters):
    """How the zero point is fitted."""

    min_stars: int = param(5, ge=1, help="Fewer stars give no zero point.")
    floor: float = param(0.02, ge=0, unit="mag", help="Error that is added to that of every star.")
    clip: float = param(3.0, gt=1, unit="sigma", help="Stars further from the fit are left out.")
    color_pivot: float = param(0.8, unit="mag", help="Colour of the star that the zero point is for.")
    color_range: tuple[float, float] = param((-0.5, 3.0), unit="mag", help="Stars of other colours are not used.")
    min_color_stars: int = param(20, ge=3, help="With fewer stars the colour term is 0.")
    min_color_spread: float = param(0.05, gt=0, unit="mag", help="With a smaller scatter of colours it is 0 too.")


@dataclass(frozen=True)
class ZeroPointFit:
    """A zero point: m = −2.5 log10(flux) + zp for a star of the pivot colour."""

    zp: float  # mag
    zp_err: float  # mag
    color_term: float  # mag per mag
    scatter: float  # mag, robust, of the stars used
    n_stars: int
    used: np.ndarray  # (n,) bool, of the stars given


def fit_zero_point(
    flux: np.ndarray,
    flux_err: np.ndarray,
    mag: np.ndarray,
    mag_err: np.ndarray,
    color: np.ndarray,
    parameters: PhotometryParameters,
) -> ZeroPointFit:
    """Fit zp and colour term robustly (Huber weights, clipping) to stars; arrays (n,), fluxes electrons, AB magnitudes.

    Raises NotEnoughStars.
    """
    p = parameters
    color = np.asarray(color, float)
    good = (flux > 0) & (flux_err > 0) & np.isfinite(mag) & np.isfinite(flux)
    within = np.isfinite(color) & (color > p.color_range[0]) & (color < p.color_range[1])
    has_color = np.isfinite(color)
    good &= within | ~has_color
    values = np.full(len(flux), np.nan)
    values[good] = mag[good] + 2.5 * np.log10(flux[good])
    sigma = np.hypot(np.hypot(_POGSON * flux_err / np.where(good, flux, 1), np.nan_to_num(mag_err)), max(p.floor, 1e-4))
    slope = (
        bool((good & has_color).sum() >= p.min_color_stars) and mad_std(color[good & has_color]) >= p.min_color_spread
    )
    used = good & has_color if slope else good.copy()
    solution = np.zeros(2)
    for _ in range(4):
        if used.sum() < p.min_stars:
            raise NotEnoughStars(found=int(used.sum()), needed=p.min_stars, purpose="zero point")
        solution = _huber(values[used], sigma[used], color[used] - p.color_pivot if slope else None)
        residual = values - solution[0] - (solution[1] * (color - p.color_pivot) if slope else 0)
        width = max(mad_std(residual[used]), 1e-4)
        candidates = good & has_color if slope else good
        used = candidates & (np.abs(residual - np.median(residual[used])) < p.clip * np.hypot(width, 0.5 * sigma))
    if used.sum() < p.min_stars:
        raise NotEnoughStars(found=int(used.sum()), needed=p.min_stars, purpose="zero point")
    scatter = mad_std(residual[used])
    error = max(1.25 * scatter, float(np.median(sigma[used])) * 0.1) / np.sqrt(used.sum())
    return ZeroPointFit(float(solution[0]), float(error), float(solution[1]), float(scatter), int(used.sum()), used)


def _huber(values: np.ndarray, sigma: np.ndarray, color: np.ndarray | None) -> np.ndarray:
    """Iteratively reweighted least squares with Huber's weights (k = 1.345): (zero point, slope)."""
    design = np.ones((len(values), 1)) if color is None else np.c_[np.ones(len(values)), color]
    solution = np.zeros(design.shape[1])
    solution[0] = np.median(values)
    for _ in range(10):
        pull = np.abs(values - design @ solution) / sigma
        weight = np.where(pull < 1.345, 1, 1.345 / np.maximum(pull, 1e-9)) / sigma**2
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
    return np.array([solution[0], solution[1] if len(solution) > 1 else 0.0])


def limiting_magnitude(zp: float, noise: float, psf_stamp: np.ndarray, n_sigma: float = 5.0) -> float:
    """Magnitude of a point source of `n_sigma` on sky noise `noise` (electrons per pixel): zp − 2.5 log10(nσ/√ΣP²)."""
    return float(zp - 2.5 * np.log10(n_sigma * noise / np.sqrt(np.sum(np.asarray(psf_stamp, float) ** 2))))


def polynomial_magnitude(g: np.ndarray, bp_rp: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Magnitude in a band from Gaia's: m = G − Σ cᵢ (BP−RP)ⁱ."""
    return g - np.polynomial.polynomial.polyval(np.asarray(bp_rp, float), coefficients)
