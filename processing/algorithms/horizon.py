"""Above the horizon of a place on Earth: altitude, and the air that light comes through."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import erfa
import numpy as np

_MJD = 2400000.5


@dataclass(frozen=True)
class Site:
    """A place on Earth (WGS 84)."""

    latitude: float  # degrees north
    longitude: float  # degrees east
    height: float  # m


def altitude(ra: float, dec: float, mjd: float, site: Site) -> float:
    """Altitude (degrees) of an ICRS position (degrees) at MJD (UTC), without refraction.

    UT1 is taken for UTC and the pole for its mean place, which is wrong by less than 15″ and needs no tables of the
    Earth's rotation.
    """
    return float(90 - np.degrees(_observed(ra, dec, mjd, site)[1]))


def towards_zenith(ra: float, dec: float, mjd: float, site: Site) -> np.ndarray:
    """tan z times the unit vector (east, north) towards the zenith at an ICRS position (degrees); MJD (UTC): (2,).

    Refraction moves what is seen along it, by about 60″ times its length, and blue stars more than red ones.
    """
    _, zenith_distance, hour_angle, apparent, _, _ = _observed(ra, dec, mjd, site)
    angle = erfa.hd2pa(hour_angle, apparent, np.radians(site.latitude))
    return np.tan(zenith_distance) * np.array([np.sin(angle), np.cos(angle)])


def _observed(ra: float, dec: float, mjd: float, site: Site) -> tuple:
    """Azimuth, zenith distance, hour angle, declination, right ascension, equation of the origins: radians."""
    angles = np.radians([ra, dec, site.longitude, site.latitude])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", erfa.ErfaWarning)  # of leap seconds that may come
        return erfa.atco13(*angles[:2], *([0.0] * 4), _MJD, mjd, 0.0, *angles[2:], site.height, *([0.0] * 5), 0.55)


def airmass(altitude: float) -> float | None:
    """Air mass at an altitude (degrees); None below the horizon. Source: Kasten & Young 1989, Appl. Opt. 28, 4735."""
    if not altitude > 0:
        return None
    return float(max(1.0, 1 / (np.sin(np.radians(altitude)) + 0.50572 * (altitude + 6.07995) ** -1.6364)))
