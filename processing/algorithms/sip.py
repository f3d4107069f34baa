"""A tangent-plane solution with polynomial distortion, fitted and written as TAN-SIP (Shupe et al. 2005)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from processing.algorithms.sky import from_tangent_plane, tangent_plane


def terms(order: int) -> list[tuple[int, int]]:
    """Exponents (i, j) of uⁱ vʲ up to `order`, constant first, then linear."""
    return [(n - j, j) for n in range(order + 1) for j in range(n + 1)]


@dataclass(frozen=True)
class SipModel:
    """Pixel → tangent plane about `crval`: a polynomial of (x − cx, y − cy) / unit, in arcsec."""

    crval: np.ndarray  # (2,) degrees
    centre: np.ndarray  # (2,) px from 0
    unit: float  # px
    order: int
    coefficients: np.ndarray  # (terms, 2) arcsec
    residuals: np.ndarray  # (n, 2) arcsec, catalogue − fit
    left_out: np.ndarray  # (n, 2) arcsec, each from a fit without it

    def plane(self, xy: np.ndarray) -> np.ndarray:
        """Positions (n, 2) px → (ξ, η) arcsec about `crval`."""
        return _design((xy - self.centre) / self.unit, self.order) @ self.coefficients

    def header(self, shape: tuple[int, int]) -> fits.Header:
        """TAN (order 1) or TAN-SIP cards for an image (ny, nx), with the inverse polynomial."""
        exponents = terms(self.order)
        degrees = self.coefficients / 3600
        powers = self.unit ** np.array([i + j for i, j in exponents], float)
        degrees = degrees / powers[:, None]
        cd = degrees[1:3].T
        header = fits.Header()
        suffix = "-SIP" if self.order > 1 else ""
        header["WCSAXES"] = 2
        header["CTYPE1"], header["CTYPE2"] = f"RA---TAN{suffix}", f"DEC--TAN{suffix}"
        header["CUNIT1"] = header["CUNIT2"] = "deg"
        header["CRVAL1"], header["CRVAL2"] = map(float, self.crval)
        header["CRPIX1"], header["CRPIX2"] = (float(value) + 1 for value in self.centre)
        for (i, j), value in np.ndenumerate(cd):
            header[f"CD{i + 1}_{j + 1}"] = float(value)
        header["RADESYS"] = "ICRS"
        if self.order > 1:
            higher = degrees[3:] @ np.linalg.inv(cd).T
            _write(header, "A", "B", self.order, exponents[3:], higher)
            _write_inverse(header, self, cd, shape)
        return header


def fit_sip(
    xy: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
    weight: np.ndarray,
    *,
    centre: np.ndarray,
    crval: np.ndarray,
    order: int,
) -> SipModel:
    """Weighted least squares of the tangent plane on pixel positions; `crval` moves to where `centre` points.

    xy (n, 2) px from 0; ra, dec (n,) degrees; weight (n,) is 1/σ, 0 leaves a star out.
    """
    unit = float(max(np.ptp(xy, axis=0).max() / 2, 1.0))
    design = _design((xy - centre) / unit, order)
    crval = np.asarray(crval, float)
    for _ in range(4):
        plane = np.c_[tangent_plane(ra, dec, *crval)]
        coefficients = np.linalg.lstsq(design * weight[:, None], plane * weight[:, None], rcond=None)[0]
        if np.hypot(*coefficients[0]) < 1e-7:
            break
        crval = np.array(from_tangent_plane(*coefficients[0], *crval))
    residuals = plane - design @ coefficients
    q, _ = np.linalg.qr(design * weight[:, None])
    leverage = np.clip(np.sum(q**2, axis=1), 0, 0.99)
    left_out = residuals / (1 - leverage)[:, None]
    coefficients[0] = 0
    return SipModel(crval, np.asarray(centre, float), unit, order, coefficients, residuals, left_out)


def _design(uv: np.ndarray, order: int) -> np.ndarray:
    return np.stack([uv[:, 0] ** i * uv[:, 1] ** j for i, j in terms(order)], axis=1)


def _write(
    header: fits.Header, first: str, second: str, order: int, exponents: list[tuple[int, int]], values: np.ndarray
) -> None:
    header[f"{first}_ORDER"] = header[f"{second}_ORDER"] = order
    for (i, j), (a, b) in zip(exponents, values):
        header[f"{first}_{i}_{j}"], header[f"{second}_{i}_{j}"] = float(a), float(b)


def _write_inverse(header: fits.Header, model: SipModel, cd: np.ndarray, shape: tuple[int, int]) -> None:
    """AP and BP of one order more, fitted on a grid that reaches 5 % beyond the image."""
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(-0.05 * nx, 1.05 * nx, 25), np.linspace(-0.05 * ny, 1.05 * ny, 25))
    pixels = np.c_[x.ravel(), y.ravel()]
    linear = model.plane(pixels) / 3600 @ np.linalg.inv(cd).T
    order = model.order + 1
    unit = float(max(shape)) / 2
    exponents = terms(order)
    offset = (pixels - model.centre) - linear
    found = np.linalg.lstsq(_design(linear / unit, order), offset, rcond=None)[0]
    found /= unit ** np.array([i + j for i, j in exponents], float)[:, None]
    _write(header, "AP", "BP", order, exponents, found)
