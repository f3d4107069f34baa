"""The trail of what moved during the exposure: a line of even light under the PSF, fitted to elongated candidates.

The shape is that of Veres et al. 2012 (PASP 124, 1197): a Gaussian moved along a segment. The flux is that of the PSF
itself moved along the segment that was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from processing.algorithms.stamps import spline_coefficients, spline_weights

_ROUNDS = 8
_POINTS = 21  # of the PSF along a trail


@dataclass(frozen=True)
class Trails:
    """One fitted trail a candidate, (n,) each."""

    x: np.ndarray  # px from the middle of the stamps, of the middle of the trail
    y: np.ndarray
    length: np.ndarray  # px that it moved
    angle: np.ndarray  # degrees from x towards y, -90 to 90
    flux: np.ndarray  # of all of it, in the unit of the stamps
    flux_err: np.ndarray
    chi2: np.ndarray  # reduced


def fit_trails(
    data: np.ndarray, weight: np.ndarray, psf: np.ndarray, fwhm: float, angle: np.ndarray, length: np.ndarray
) -> Trails:
    """Fit trails to stamps (n, s, s) of the difference with inverse variances `weight` (n, s, s), 0 where unusable.

    `psf` (n, m, m), odd, sum 1; `angle` (degrees) and `length` (px), (n,), are where the fit starts. What a Gaussian
    makes of the shape is corrected by what it makes of the PSF moved along the segment that it found.
    """
    size = data.shape[-1]
    start = np.stack([np.zeros(len(data)), np.zeros(len(data)), np.maximum(length, 0.5 * fwhm), np.radians(angle)])
    first = _gaussian_fit(data, weight, start.T, fwhm)
    again = _gaussian_fit(_moved_psf(psf, first, size), weight, first, fwhm)
    shape = 2 * first - again
    shape[:, 2] = np.clip(shape[:, 2], 0, size - 2.0)
    profile = _moved_psf(psf, shape, size)
    flux, chi2 = _merit(data, weight, profile)
    normal = _normal(weight, np.maximum(shape, [-np.inf, -np.inf, 0.1, -np.inf]), flux, fwhm)[1]
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", normal), 1e-30))
    inverse = np.linalg.inv(normal / scale[:, :, None] / scale[:, None, :] + 1e-9 * np.eye(5))
    alone = np.maximum(np.sum(weight * profile**2, axis=(1, 2)), 1e-30) ** -0.5
    error = alone * np.sqrt(np.maximum(inverse[:, 0, 0], 1))  # the length is not known, and it is of the flux
    freedom = np.maximum(np.count_nonzero(weight, axis=(1, 2)) - 5, 1)
    turned = (np.degrees(shape[:, 3]) + 90) % 180 - 90
    return Trails(shape[:, 0], shape[:, 1], shape[:, 2], turned, flux, error, chi2 / freedom)


def _gaussian_fit(data: np.ndarray, weight: np.ndarray, start: np.ndarray, fwhm: float) -> np.ndarray:
    """Rows of x, y, length, angle by Levenberg-Marquardt steps with the best flux of each, all trails at once."""
    size, shape, damping = data.shape[-1], start.copy(), np.full(len(data), 1e-2)
    merit = _merit(data, weight, _profile(shape, size, fwhm))[1]
    for _ in range(_ROUNDS):
        change = _step(data, weight, shape, fwhm, damping)
        tried = shape + np.clip(change, -0.5 * fwhm, 0.5 * fwhm)
        tried[:, :2] = np.clip(tried[:, :2], -fwhm, fwhm)
        tried[:, 2] = np.clip(tried[:, 2], 0.05, size - 2.0)
        found = _merit(data, weight, _profile(tried, size, fwhm))[1]
        better = found < merit
        shape[better], merit[better] = tried[better], found[better]
        damping = np.where(better, damping / 5, damping * 5)
    return shape


def _profile(shape: np.ndarray, size: int, fwhm: float) -> np.ndarray:
    """A Gaussian moved along a segment, (n, size, size), for rows of x, y, length, angle; its sum is 1."""
    along, across, length, sigma = _frame(shape, size, fwhm)
    root = np.sqrt(2) * sigma
    ends = erf((along + length / 2) / root) - erf((along - length / 2) / root)
    return ends / (2 * length) * _gaussian(across, sigma)


def _frame(shape: np.ndarray, size: int, fwhm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Pixels along and across each segment (n, size, size), px from its middle, its length (n, 1, 1), and sigma."""
    offset = np.arange(size) - size // 2
    x, y, length, angle = (column[:, None, None] for column in shape.T)
    right, up = offset[None, None, :] - x, offset[None, :, None] - y
    cosine, sine = np.cos(angle), np.sin(angle)
    return right * cosine + up * sine, up * cosine - right * sine, length, fwhm / np.sqrt(8 * np.log(2))


def _gaussian(offset: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-0.5 * (offset / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def _slopes(shape: np.ndarray, size: int, fwhm: float) -> list[np.ndarray]:
    """The profile, and its derivatives by x, y, length and angle, (n, size, size) each."""
    along, across, length, sigma = _frame(shape, size, fwhm)
    profile, narrow = _profile(shape, size, fwhm), _gaussian(across, sigma) / length
    first, last = (_gaussian(along + side * length / 2, sigma) for side in (1, -1))
    by_along, by_across = (first - last) * narrow, -across / sigma**2 * profile
    cosine, sine = np.cos(shape[:, 3])[:, None, None], np.sin(shape[:, 3])[:, None, None]
    return [
        profile,
        sine * by_across - cosine * by_along,
        -sine * by_along - cosine * by_across,
        (first + last) / 2 * narrow - profile / length,
        across * by_along - along * by_across,
    ]


def _moved_psf(psf: np.ndarray, shape: np.ndarray, size: int) -> np.ndarray:
    """The PSF moved along the segments, (n, size, size)."""
    coefficients = spline_coefficients(np.pad(psf, ((0, 0), (3, 3), (3, 3))))
    grid, found = np.arange(size) - size // 2 + coefficients.shape[-1] // 2, np.zeros((len(psf), size, size))
    for part in (np.arange(_POINTS) + 0.5) / _POINTS - 0.5:
        x = shape[:, 0] + part * shape[:, 2] * np.cos(shape[:, 3])
        y = shape[:, 1] + part * shape[:, 2] * np.sin(shape[:, 3])
        along_x, along_y = (spline_weights(grid - place[:, None], coefficients.shape[-1]) for place in (x, y))
        found += along_y @ coefficients @ along_x.transpose(0, 2, 1)
    return found / _POINTS


def _merit(data: np.ndarray, weight: np.ndarray, profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best flux of each profile, and its chi-square."""
    norm = np.maximum(np.sum(weight * profile**2, axis=(1, 2)), 1e-30)
    flux = np.sum(weight * profile * data, axis=(1, 2)) / norm
    return flux, np.sum(weight * (data - flux[:, None, None] * profile) ** 2, axis=(1, 2))


def _step(data: np.ndarray, weight: np.ndarray, shape: np.ndarray, fwhm: float, damping: np.ndarray) -> np.ndarray:
    """The damped step of each trail in x, y, length and angle, with the flux free."""
    profile = _profile(shape, data.shape[-1], fwhm)
    flux, _ = _merit(data, weight, profile)
    weighted, normal = _normal(weight, shape, flux, fwhm)
    left = (data - flux[:, None, None] * profile).reshape(*weighted.shape[::2], 1)
    diagonal = np.maximum(np.einsum("nii->ni", normal), 1e-30)
    normal = normal + (damping[:, None] * diagonal + 1e-12)[:, :, None] * np.eye(5)
    return np.linalg.solve(normal, weighted @ left)[:, 1:, 0]


def _normal(weight: np.ndarray, shape: np.ndarray, flux: np.ndarray, fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    """Weighted derivatives (n, 5, pixels) by flux, x, y, length and angle, and the normal matrix (n, 5, 5)."""
    size = weight.shape[-1]
    profile, *slopes = _slopes(shape, size, fwhm)
    parts = [profile, *(flux[:, None, None] * slope for slope in slopes)]
    columns = np.stack(parts, axis=1).reshape(len(shape), 5, size * size)
    weighted = columns * weight.reshape(len(shape), 1, size * size)
    return weighted, weighted @ columns.transpose(0, 2, 1)
