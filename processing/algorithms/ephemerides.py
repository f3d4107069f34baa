"""Where bodies of the Solar System are seen: from a place on Earth, at the time at which their light left them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import erfa
import numpy as np

from processing.algorithms.horizon import Site
from processing.algorithms.orbits import GM_SUN, MJD, perturbed, two_body

LIGHT_DAY = 173.1446326846693  # au that light goes in a day
Places = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]  # as `two_body` gives them
UNKNOWN_RUNOFF = 146_502.0  # arcsec a decade of an orbit of which nobody says how sure it is: as of the least sure
_AU = 149597870700.0  # m
_DAY = 86400.0
_AT_ONCE = 32768  # orbits: what is worked on stays in the cache
EPHEMERIS = np.dtype(
    [
        ("ra", "f8"),  # ICRS degrees, astrometric: as measured against stars around it
        ("dec", "f8"),
        ("rate", "f4"),  # arcsec/h
        ("position_angle", "f4"),  # degrees, of the motion, from north through east
        ("magnitude", "f4"),  # V; NaN unknown
        ("uncertainty", "f4"),  # arcsec, along one axis
        ("distance", "f4"),  # au, from the observer
        ("phase", "f4"),  # degrees, angle at the body between Sun and observer
    ]
)


@dataclass(frozen=True)
class Cap:
    """A circle on the sky."""

    ra: float  # ICRS degrees
    dec: float
    radius: float  # degrees


def terrestrial_time(mjd: float) -> float:
    """MJD (TT) of an MJD (UTC)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", erfa.ErfaWarning)  # of leap seconds that may come
        tai = erfa.utctai(MJD, mjd)
    first, second = erfa.taitt(*tai)
    return float(first - MJD + second)


def observer(mjd: float, site: Site | None) -> tuple[np.ndarray, np.ndarray]:
    """Heliocentric place (au) and velocity (au/day) of an observer, (3,) each on the axes of ICRS, at MJD (UTC).

    Without a site, of the centre of the Earth. UT1 is taken for UTC, which is wrong by less than 0.5 km.
    """
    now = terrestrial_time(mjd)
    earth, _ = erfa.epv00(MJD, now)
    place, velocity = np.array(earth["p"]), np.array(earth["v"])
    if site is not None:
        turned = erfa.era00(MJD, mjd)
        angles = np.radians([site.longitude, site.latitude])
        on_earth = erfa.pvtob(*angles, site.height, 0.0, 0.0, 0.0, turned)
        axes = erfa.c2i06a(MJD, now)
        place += axes.T @ np.array(on_earth["p"]) / _AU
        velocity += axes.T @ np.array(on_earth["v"]) / _AU * _DAY
    return place, velocity


def near(orbits: np.ndarray, mjd: float, cap: Cap) -> np.ndarray:
    """Rows of `orbits` that may be seen in a circle at MJD (UTC), by two-body places seen from the centre of the Earth.

    The slack is 0.1°, for light time and the place on Earth, and what planets may have done since the epoch: 0.2°
    seen from 1 au after 100 days, growing with the square of the time, to 3° at most.
    """
    now, earth = terrestrial_time(mjd), observer(mjd, None)[0]
    found = [
        start + _near(orbits[start : start + _AT_ONCE], now, earth, cap) for start in range(0, len(orbits), _AT_ONCE)
    ]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _near(orbits: np.ndarray, now: float, earth: np.ndarray, cap: Cap) -> np.ndarray:
    seen = two_body(orbits, now)[0] - earth
    distance = np.sqrt(np.einsum("ni,ni->n", seen, seen))
    slack = np.minimum(0.1 + 0.2 * ((now - orbits["epoch"]) / 100) ** 2 / distance, 3.0)
    reach = np.radians(np.minimum(cap.radius + slack, 180.0))
    return np.flatnonzero(seen @ _unit(cap.ra, cap.dec) >= distance * np.cos(reach))


def ephemeris(
    orbits: np.ndarray, mjd: float, site: Site | None, *, floor: float = 0.3, places: Places = perturbed
) -> np.ndarray:
    """Predicted places, motions and magnitudes of bodies at MJD (UTC), one row of EPHEMERIS an orbit.

    `floor` is the error (arcsec) that remains where an orbit is known perfectly; `places` is how bodies move.
    """
    here, speed = observer(mjd, site)
    place, velocity = places(orbits, terrestrial_time(mjd))
    pull = -GM_SUN * place / np.linalg.norm(place, axis=1)[:, None] ** 3
    from_sun, seen = place, place - here
    for _ in range(3):  # each makes the error of the light time 10⁴ times smaller
        back = np.linalg.norm(seen, axis=1)[:, None] / LIGHT_DAY
        from_sun = place - back * velocity + back**2 / 2 * pull
        seen = from_sun - here
    distance, sun = np.linalg.norm(seen, axis=1), np.linalg.norm(from_sun, axis=1)
    found = np.zeros(len(orbits), EPHEMERIS)
    found["distance"] = distance
    found["ra"] = np.degrees(np.arctan2(seen[:, 1], seen[:, 0])) % 360
    found["dec"] = np.degrees(np.arctan2(seen[:, 2], np.hypot(seen[:, 0], seen[:, 1])))
    found["rate"], found["position_angle"] = _motion(found, (velocity - speed) / distance[:, None])
    cosine = np.einsum("ni,ni->n", seen, from_sun) / (distance * sun)
    phase = np.arccos(np.clip(cosine, -1, 1))
    found["phase"] = np.degrees(phase)
    found["magnitude"] = orbits["h"] + 5 * np.log10(sun * distance) - phase_dimming(phase, orbits["g"])
    found["uncertainty"] = np.hypot(floor, _runoff(orbits, mjd))
    return found


def _unit(ra: float, dec: float) -> np.ndarray:
    ra, dec = np.radians(ra), np.radians(dec)
    return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _motion(places: np.ndarray, turning: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates (arcsec/h) and position angles (degrees) from relative velocities over distances (n, 3), rad/day."""
    ra, dec = np.radians(places["ra"]), np.radians(places["dec"])
    east = -np.sin(ra) * turning[:, 0] + np.cos(ra) * turning[:, 1]
    north = -np.sin(dec) * (np.cos(ra) * turning[:, 0] + np.sin(ra) * turning[:, 1]) + np.cos(dec) * turning[:, 2]
    return np.degrees(np.hypot(east, north)) * 150, np.degrees(np.arctan2(east, north)) % 360


def phase_dimming(phase: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """2.5 log10 of the H, G phase function (Bowell et al. 1989, Asteroids II, 524) at phase angles in radians."""
    half = np.tan(np.minimum(phase, 2.8) / 2)
    first, second = (np.exp(-a * half**b) for a, b in ((3.33, 0.63), (1.87, 1.22)))
    slope = np.where(np.isfinite(slope), slope, 0.15)
    return 2.5 * np.log10((1 - slope) * first + slope * second)


def _runoff(orbits: np.ndarray, mjd: float) -> np.ndarray:
    """Arcsec by which places may be off along their orbits, since nobody has observed the bodies."""
    runoff = np.where(np.isfinite(orbits["runoff"]), orbits["runoff"], UNKNOWN_RUNOFF)
    observed = np.where(np.isfinite(orbits["observed"]), orbits["observed"], orbits["epoch"])
    return runoff * np.abs(mjd - observed) / 3652.5
