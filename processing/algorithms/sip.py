"""A tangent-plane solution with polynomial distortion, fitted and written as TAN-SIP (Shupe et al. 2005)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from processing.algorithms.polynomials import Basis, Fit, fit, powers, terms
from processing.algorithms.sky import from_tangent_plane, tangent_plane

_MAX_MOVES = 4  # of the reference point


@dataclass(frozen=True)
class SipModel:
    """Pixel → tangent plane about `crval`: a polynomial of (x − cx, y − cy) / unit, in arcsec."""

    crval: np.ndarray  # (2,) degrees
    centre: np.ndarray  # (2,) px from 0
    unit: float  # px
    fitted: Fit  # its constant is none

    @property
    def order(self) -> int:
        """Order of the polynomial."""
        return self.fitted.basis.order

    @property
    def coefficients(self) -> np.ndarray:
        """(terms, 2) arcsec."""
        return self.fitted.coefficients

    @property
    def residuals(self) -> np.ndarray:
        """(n, 2) arcsec, catalogue − fit."""
        return self.fitted.residuals

    def header(self, shape: tuple[int, int]) -> fits.Header:
        """TAN (order 1) or TAN-SIP cards for an image (ny, nx), with the inverse polynomial."""
        exponents = terms(self.order)
        degrees = self.coefficients / 3600
        degrees = degrees / self.unit ** np.array([i + j for i, j in exponents], float)[:, None]
        cd = degrees[1:3].T
        header = tan_header(self.crval, self.centre, cd)
        if self.order > 1:
            add_distortion(header, exponents[3:], degrees[3:] @ np.linalg.inv(cd).T, shape)
        return header


def fit_sip(
    xy: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
    sigma: np.ndarray,
    *,
    centre: np.ndarray,
    crval: np.ndarray,
    basis: Basis,
    extra: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> SipModel:
    """Robust least squares of the tangent plane on pixel positions; `crval` moves to where `centre` points.

    xy (n, 2) px from 0; ra, dec (n,) degrees; sigma (n,) errors, arcsec; `extra` and `start` as `fit` takes them.
    """
    unit = unit_of(xy)
    crval = np.asarray(crval, float)
    for _ in range(_MAX_MOVES):
        plane = np.c_[tangent_plane(ra, dec, *crval)]
        fitted = fit((xy - centre) / unit, plane, sigma, basis, extra=extra, start=start)
        start = fitted.weight
        constant = fitted.coefficients[0].copy()
        if np.hypot(*constant) < 1e-7:
            break
        crval = np.array(from_tangent_plane(*constant, *crval))
    fitted.coefficients[0] = 0
    return SipModel(crval, np.asarray(centre, float), unit, fitted)


def unit_of(xy: np.ndarray) -> float:
    """Half of the larger side of what positions (n, 2) cover, px: they are of the order of 1 in it."""
    return float(max(np.ptp(xy, axis=0).max() / 2, 1.0))


def tan_header(crval: np.ndarray, centre: np.ndarray, cd: np.ndarray) -> fits.Header:
    """Cards of a TAN projection; `crval` degrees, `centre` px from 0, `cd` (2, 2) degrees per px."""
    header = fits.Header()
    header["WCSAXES"] = 2
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["CRVAL1"], header["CRVAL2"] = map(float, crval)
    header["CRPIX1"], header["CRPIX2"] = (float(value) + 1 for value in centre)
    for (i, j), value in np.ndenumerate(cd):
        header[f"CD{i + 1}_{j + 1}"] = float(value)
    header["RADESYS"] = "ICRS"
    return header


def add_distortion(
    header: fits.Header, exponents: list[tuple[int, int]], values: np.ndarray, shape: tuple[int, int]
) -> None:
    """Make TAN cards TAN-SIP ones: `values` (n, 2) px of A and B for the exponents, and the inverse for (ny, nx)."""
    order = max(i + j for i, j in exponents)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    _write(header, "AB", order, exponents, values)
    ny, nx = shape
    centre = np.array([header["CRPIX1"], header["CRPIX2"]]) - 1
    x, y = np.meshgrid(np.linspace(-0.05 * nx, 1.05 * nx, 25), np.linspace(-0.05 * ny, 1.05 * ny, 25))
    offset = np.c_[x.ravel(), y.ravel()] - centre
    moved = np.sum(
        [value * (offset[:, :1] ** i * offset[:, 1:] ** j) for (i, j), value in zip(exponents, values)], axis=0
    )
    # The inverse has one order more, and is fitted on a grid that reaches 5 % beyond the image.
    unit = float(max(np.abs(offset).max(), 1.0))
    inverse = np.linalg.lstsq(powers((offset + moved) / unit, order + 1), -moved, rcond=None)[0]
    exponents = terms(order + 1)
    _write(
        header, ("AP", "BP"), order + 1, exponents, inverse / unit ** np.array([i + j for i, j in exponents])[:, None]
    )


def _write(
    header: fits.Header, names: tuple[str, str] | str, order: int, exponents: list[tuple[int, int]], values: np.ndarray
) -> None:
    for name in names:
        header[f"{name}_ORDER"] = order
    for (i, j), pair in zip(exponents, values):
        for name, value in zip(names, pair):
            header[f"{name}_{i}_{j}"] = float(value)
