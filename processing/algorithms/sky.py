"""Directions on the sky: tangent plane, proper motion, parallax."""

from __future__ import annotations

import erfa
import numpy as np

_MJD, _MJD_2000, _YEAR = 2400000.5, 51544.5, 365.25

_UNKNOWN_MOTION = 5.0  # mas/yr, error of a proper motion that nobody measured
_BRIGHT, _BRIGHT_ERROR = 15.0, 0.05  # mag, mas (or mas/yr) of a star whose errors nobody tells; fainter ones are worse
_FAINTEST = 21.0  # mag of a star without a magnitude
_SURE = 5.0  # σ from which on a parallax is applied


def stars_at(stars: np.ndarray, from_year: float, to_mjd: float) -> np.ndarray:
    """Catalogue stars at a date (MJD, UTC): ra, dec (degrees) as seen from the Earth, and their error there.

    `stars` (n,) has ra, dec of the Julian year `from_year`, pmra, pmdec (mas/yr, cos δ in ra; NaN unknown), and where
    they are known ra_error, dec_error, parallax, parallax_error (mas), pmra_error, pmdec_error (mas/yr). The copy has
    one more column, position_error (f4, mas along one axis). A star without a proper motion is where it was, and
    its error grows by 5 mas a year; one without errors has those of a star of Gaia of its magnitude.
    """
    years = 2000.0 + (to_mjd - _MJD_2000) / _YEAR - from_year
    typical = _BRIGHT_ERROR * 10 ** (0.2 * np.maximum(_magnitude(stars) - _BRIGHT, 0))
    ra, dec = apply_proper_motion(stars["ra"], stars["dec"], stars["pmra"], stars["pmdec"], from_year, to_mjd)
    has_motion = np.isfinite(stars["pmra"]) & np.isfinite(stars["pmdec"])
    squares = np.zeros(len(stars))
    for axis in ("ra", "dec"):
        squares += _known(stars, f"{axis}_error", typical) ** 2 / 2
        motion = np.where(has_motion, _known(stars, f"pm{axis}_error", typical), _UNKNOWN_MOTION)
        squares += (motion * years) ** 2 / 2
    parallax, error = _known(stars, "parallax", 0.0), _known(stars, "parallax_error", np.inf)
    sure = parallax > _SURE * error
    if sure.any():
        ra[sure], dec[sure] = from_tangent_plane(
            *_parallax(parallax[sure], ra[sure], dec[sure], to_mjd), ra[sure], dec[sure]
        )
    found = np.zeros(len(stars), [*stars.dtype.descr, ("position_error", "f4")])
    for name in stars.dtype.names:
        found[name] = stars[name]
    found["ra"], found["dec"], found["position_error"] = ra, dec, np.sqrt(squares)
    return found


def _known(stars: np.ndarray, name: str, otherwise: np.ndarray | float) -> np.ndarray:
    values = stars[name].astype(float) if name in stars.dtype.names else np.full(len(stars), np.nan)
    return np.where(np.isfinite(values), values, otherwise)


def _magnitude(stars: np.ndarray) -> np.ndarray:
    """The brightest magnitude of each star."""
    bands = [stars[name].astype(float) for name in stars.dtype.names if name.startswith("mag_")]
    if not bands:
        return np.full(len(stars), _FAINTEST)
    brightest = np.min(np.where(np.isfinite(bands), bands, np.inf), axis=0)
    return np.where(np.isfinite(brightest), brightest, _FAINTEST)


def _parallax(parallax: np.ndarray, ra: np.ndarray, dec: np.ndarray, mjd: float) -> tuple[np.ndarray, np.ndarray]:
    """Shift (ξ, η) in arcsec by parallaxes (mas): seen from the Earth instead of the barycentre."""
    x, y, z = np.asarray(erfa.epv00(_MJD, mjd)[1]["p"])  # au
    a, d = np.radians(ra), np.radians(dec)
    xi = x * np.sin(a) - y * np.cos(a)
    eta = (x * np.cos(a) + y * np.sin(a)) * np.sin(d) - z * np.cos(d)
    return parallax / 1000 * xi, parallax / 1000 * eta


def apply_proper_motion(
    ra: np.ndarray, dec: np.ndarray, pmra: np.ndarray, pmdec: np.ndarray, from_year: float, to_mjd: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (degrees) at `to_mjd` from those at the year `from_year`; motions mas/yr, cos δ in ra, NaN is 0."""
    years = 2000.0 + (to_mjd - _MJD_2000) / _YEAR - from_year
    per_degree = years / 3.6e6
    dec_rad = np.radians(np.asarray(dec, float))
    shift = np.nan_to_num(np.asarray(pmra, float)) * per_degree / np.maximum(np.cos(dec_rad), 1e-6)
    return (ra + shift) % 360, np.clip(dec + np.nan_to_num(np.asarray(pmdec, float)) * per_degree, -90, 90)


def tangent_plane(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> tuple[np.ndarray, np.ndarray]:
    """Gnomonic projection (ξ east, η north) in arcsec about (ra0, dec0) degrees; NaN for what is 90° away or more."""
    a, d = np.radians(np.asarray(ra, float) - ra0), np.radians(np.asarray(dec, float))
    d0 = np.radians(dec0)
    along = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
    along = np.where(along > 1e-6, along, np.nan)
    xi = np.cos(d) * np.sin(a) / along
    eta = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)) / along
    return np.degrees(xi) * 3600, np.degrees(eta) * 3600


def from_tangent_plane(xi: np.ndarray, eta: np.ndarray, ra0: float, dec0: float) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `tangent_plane`: (ra, dec) in degrees from arcsec."""
    x, y = np.radians(np.asarray(xi, float) / 3600), np.radians(np.asarray(eta, float) / 3600)
    d0 = np.radians(dec0)
    bottom = np.cos(d0) - y * np.sin(d0)
    ra = ra0 + np.degrees(np.arctan2(x, bottom))
    dec = np.degrees(np.arctan2(np.sin(d0) + y * np.cos(d0), np.hypot(x, bottom)))
    return ra % 360, dec
