"""Fluxes and positions by fitting the PSF, for all sources at once."""

from __future__ import annotations

import numpy as np

from processing.algorithms.psf_model import STEP, PSFModel

FITTED = np.dtype(
    [
        ("x", "f8"),
        ("y", "f8"),
        ("x_err", "f4"),
        ("y_err", "f4"),
        ("flux", "f8"),
        ("flux_err", "f4"),
        ("chi2", "f4"),
        ("flag", "i2"),
    ]
)


def fit_stars(
    data: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    psf: PSFModel,
    x: np.ndarray,
    y: np.ndarray,
    *,
    fit_positions: bool = True,
    radius: float | None = None,
) -> np.ndarray:
    """Fit the PSF to every position (n,) by itself: structured array FITTED (n,).

    data, variance (ny, nx) float32, background-subtracted electrons and electrons²; mask (ny, nx) bool. Pixels within
    `radius` (1.75 FWHM) of the start count. Positions may move by 1.5 px. flag 1: too few good pixels, flux 0; flag 2:
    the position moved to its limit.
    """
    from processing.algorithms.psf_kernels import fit

    x, y = np.asarray(x, float), np.asarray(y, float)
    found = np.zeros((len(x), 8))
    box = max(1, round(psf.fwhm / 2))
    setup = np.array([radius or 1.75 * psf.fwhm, float(fit_positions), 8.0 if fit_positions else 0.0, 1.5, box])
    terms, norms = psf.terms(x, y), psf.norms(x, y)
    arrays = (
        np.ascontiguousarray(data, np.float32),
        np.ascontiguousarray(variance, np.float32),
        np.ascontiguousarray(mask, bool),
    )
    fit(*arrays, psf.coefficients, STEP, terms, norms, x, y, setup, found)
    table = np.zeros(len(x), FITTED)
    for column, name in enumerate(FITTED.names):
        table[name] = found[:, column]
    return table


def forced_flux(
    data: np.ndarray, variance: np.ndarray, mask: np.ndarray, psf: PSFModel, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """PSF fluxes at fixed positions; as `fit_stars` without moving."""
    return fit_stars(data, variance, mask, psf, x, y, fit_positions=False)
