"""Fluxes and places of peaks that share a footprint, fitted together: alone, each would have some of the others' light.

All is done in the flux plane. For a difference D of white noise the flux of a source centred at x is
α(x) = <P(x), D> / <P, P>, and two sources at x_i, x_j have A(x_i − x_j) of each other, A being the autocorrelation of
the PSF. The normal equations of a fit of Σ f_j P(x_j) to the pixels then consist of α, A and their derivatives at the
places of the sources: no pixel is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from processing.algorithms.stamps import cut_stamps, spline_coefficients, spline_support

if TYPE_CHECKING:
    from processing.algorithms.peaks import ScorePlanes

LARGEST = 40  # peaks of a footprint: more are no sources but what a failed subtraction left
_STAMP = 21  # px of the flux plane around a peak
_STEPS, _STILL = 6, 1e-2  # of the fit; px
_FARTHEST = 0.4  # FWHM that a source may lie from its peak
_RIDGE = 1e-6  # of the normal equations: two sources at one place have no solution


@dataclass(frozen=True)
class Fitted:
    """Sources of blends of one size, (blends, sources) each."""

    flux: np.ndarray  # electrons
    x: np.ndarray  # px from 0
    y: np.ndarray
    widening: np.ndarray  # error of the flux over that of a source alone


def separate(planes: ScorePlanes, peaks: np.ndarray, fwhm: float, threshold: float) -> np.ndarray:
    """The `peaks` (dtype PEAKS with fluxes and footprints), those that share a footprint with what is their own.

    Their `x`, `y`, `flux` and `flux_err` become those of a common fit, and `snr` that of the own flux. Peaks whose own
    `snr` is below the `threshold` are left out, the weakest of a footprint first: they were on the light of another.
    """
    peaks, alone = peaks.copy(), peaks
    keep, waiting = np.ones(len(peaks), bool), np.ones(len(peaks), bool)
    while waiting.any():
        again = np.zeros(len(peaks), bool)
        for rows in _blends(peaks["footprint"], keep & waiting):
            _take(peaks, alone, rows, _fit(planes, alone[rows], fwhm))
            weakest = np.take_along_axis(rows, peaks["snr"][rows].argmin(axis=1)[:, None], axis=1)[:, 0]
            fails = peaks["snr"][weakest] < threshold
            keep[weakest[fails]] = False
            again[rows[fails]] = True
        waiting = again & keep
        single = waiting & (_sharing(peaks["footprint"], keep) == 1)
        peaks[single] = alone[single]
        waiting &= ~single
    return peaks[keep]


def _sharing(footprint: np.ndarray, which: np.ndarray) -> np.ndarray:
    """How many of `which` (n,) bool have the footprint of each peak, (n,)."""
    return np.bincount(footprint[which], minlength=footprint.max(initial=0) + 1)[footprint]


def _blends(footprint: np.ndarray, which: np.ndarray) -> Iterator[np.ndarray]:
    """Rows (blends, sources) of the peaks of footprints with the same number of them, 2 to LARGEST."""
    rows = np.flatnonzero(which)
    rows = rows[np.argsort(footprint[rows], kind="stable")]
    count = _sharing(footprint, which)[rows]
    for number in np.unique(count[(count > 1) & (count <= LARGEST)]):
        yield rows[count == number].reshape(-1, number)


def _take(peaks: np.ndarray, alone: np.ndarray, rows: np.ndarray, fitted: Fitted) -> None:
    before = alone[rows]
    peaks["x"][rows], peaks["y"][rows], peaks["flux"][rows] = fitted.x, fitted.y, fitted.flux
    peaks["flux_err"][rows] = before["flux_err"] * fitted.widening
    peaks["snr"][rows] = before["snr"] * np.divide(
        fitted.flux, before["flux"], out=np.zeros_like(fitted.flux), where=before["flux"] != 0
    )


def _fit(planes: ScorePlanes, peaks: np.ndarray, fwhm: float) -> Fitted:
    """Least squares of fluxes and places of `peaks` (blends, sources), by Gauss–Newton."""
    shape, number = peaks.shape, peaks.shape[1]
    pixel = np.stack([peaks["x_peak"], peaks["y_peak"]], axis=-1).astype(float)
    stamps, _ = cut_stamps(planes.alpha, pixel[..., 0].ravel(), pixel[..., 1].ravel(), size=_STAMP)
    plane = spline_coefficients(stamps).reshape(*shape, _STAMP, _STAMP)
    response = _responses(planes, peaks)
    first = np.stack([peaks["x"], peaks["y"]], axis=-1)
    at = first
    for _ in range(_STEPS):
        seen = _derivatives(plane, at - pixel + _STAMP // 2)[:, :, :3]
        normal = _normal(response, at)
        found = np.linalg.solve(normal, seen.transpose(0, 2, 1).reshape(len(peaks), -1, 1))
        flux, slope = found[:, :number, 0], found[:, number:, 0].reshape(-1, 2, number).transpose(0, 2, 1)
        step = np.divide(slope, flux[..., None], out=np.zeros_like(slope), where=flux[..., None] != 0)
        moved = np.clip(at + np.clip(step, -0.5, 0.5), first - _FARTHEST * fwhm, first + _FARTHEST * fwhm)
        still = np.abs(moved - at).max() < _STILL
        at = moved
        if still:
            break
    normal = _normal(response, at)
    seen = _derivatives(plane, at - pixel + _STAMP // 2)[:, :, 0]
    flux = np.linalg.solve(normal[:, :number, :number], seen[..., None])[..., 0]
    variance = np.diagonal(np.linalg.inv(normal), axis1=1, axis2=2)[:, :number]
    return Fitted(flux, at[..., 0], at[..., 1], np.sqrt(np.maximum(variance, 1)))


def _responses(planes: ScorePlanes, peaks: np.ndarray) -> np.ndarray:
    """What a source of flux 1 is in the flux plane at the first source of each blend: (blends, m, m) coefficients."""
    tiles, which = np.unique(planes.tiles.index(peaks["x"][:, 0], peaks["y"][:, 0]), return_inverse=True)
    psf = planes.tiles.psf[tiles]
    size = 2 * psf.shape[-1] - 1
    padded = [fft.next_fast_len(size, real=True)] * 2
    power = np.abs(fft.rfft2(psf, padded)) ** 2
    middle = size // 2
    found = np.roll(fft.irfft2(power, padded), (middle, middle), axis=(1, 2))[:, :size, :size]
    return spline_coefficients(found / found[:, middle, middle][:, None, None])[which]


def _normal(response: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Products of sources and of their slopes along x and y with each other, (blends, 3 n, 3 n), for places (…, n, 2).

    With Δ = x_i − x_j: <P_i, P_j> = A(Δ), <∂P_i, P_j> = A'(Δ), <P_i, ∂P_j> = −A'(Δ), <∂P_i, ∂P_j> = −A''(Δ).
    """
    offset = at[:, :, None] - at[:, None, :]
    count, number = at.shape[:2]
    flat = _derivatives(response[:, None], offset.reshape(count, -1, 2) + response.shape[-1] // 2)
    a, x, y, xx, xy, yy = flat.reshape(count, number, number, 6).transpose(3, 0, 1, 2)
    return np.block([[a, -x, -y], [x, -xx, -xy], [y, -xy, -yy]]) + _RIDGE * np.eye(3 * number)


def _derivatives(coefficients: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Value, slopes along x and y, and second derivatives xx, xy, yy: (g, n, 6).

    Of splines (g, n or 1, m, m) at `places` (g, n, 2), px, x then y; 0 outside.
    """
    size, weights = coefficients.shape[-1], [spline_support(places, derivative=order) for order in (0, 1, 2)]
    near = weights[0][0]
    outside, near = (near < 0) | (near >= size), np.clip(near, 0, size - 1)
    blend, source = np.ogrid[: coefficients.shape[0], : coefficients.shape[1]]
    at = near[:, :, 1, :, None], near[:, :, 0, None, :]
    patch = coefficients[blend[..., None, None], source[..., None, None], *at]
    patch = np.where(outside[:, :, 1, :, None] | outside[:, :, 0, None, :], 0, patch)
    strips = [np.einsum("gny,gnyx->gnx", values[:, :, 1], patch) for _, values in weights]
    pairs = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    return np.stack([np.einsum("gnx,gnx->gn", weights[i][1][:, :, 0], strips[j]) for i, j in pairs], axis=-1)
