"""Directions on the sky: tangent plane, proper motion, separations."""

from __future__ import annotations

import numpy as np

_MJD_2000, _YEAR = 51544.5, 365.25


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
