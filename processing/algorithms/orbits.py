"""Orbits around the Sun: where a body is at a time, alone with the Sun or pulled by the planets too."""

from __future__ import annotations

import erfa
import numpy as np
from scipy.integrate import solve_ivp

MJD = 2400000.5
GM_SUN = 0.01720209895**2  # au³ / day²: the Gaussian constant, by which elements are reduced
OBLIQUITY = np.radians(84381.448 / 3600)  # of the ecliptic of J2000 as orbits are published
# Masses of Mercury to Neptune in those of the Sun; the third is that of the Earth with the Moon. IAU 2009.
PLANETS = 1 / np.array([6023600.0, 408523.719, 328900.560, 3098703.59, 1047.348644, 3497.9018, 22902.98, 19412.26])
# One row an orbit, all of them f8, so that a plain array (n, 11) is the same bytes.
COLUMNS = {
    "epoch": "MJD, TT",
    "mean_anomaly": "degrees, as the angles that follow; ecliptic and equinox of J2000",
    "perihelion": "argument",
    "node": "longitude, ascending",
    "inclination": "degrees",
    "eccentricity": "from 0 to below 1",
    "semi_major_axis": "au",
    "h": "absolute magnitude V; NaN unknown",
    "g": "slope; NaN unknown",
    "runoff": "arcsec a decade by which the place in the orbit may be wrong; NaN unknown",
    "observed": "MJD of the last observation; NaN unknown",
}
ORBIT = np.dtype([(name, "f8") for name in COLUMNS])
_MOST_STEPS = 60  # of Kepler's equation; with e = 0.999 it takes 20


def eccentric_anomaly(mean_anomaly: np.ndarray, eccentricity: np.ndarray) -> np.ndarray:
    """Solve Kepler's equation E − e sin E = M (radians; any shape) to 1e-13 rad, for e < 1.

    Newton's steps from Danby's start (Danby 1987, Celest. Mech. 40, 303), held between the bounds M ± e, between
    which the root lies.
    """
    mean = np.remainder(mean_anomaly + np.pi, 2 * np.pi) - np.pi
    found = mean + 0.85 * np.sign(np.sin(mean)) * eccentricity
    for _ in range(_MOST_STEPS):
        step = (found - eccentricity * np.sin(found) - mean) / (1 - eccentricity * np.cos(found))
        found = np.clip(found - step, mean - eccentricity, mean + eccentricity)
        if np.abs(step).max(initial=0.0) < 1e-13:
            break
    return found


def two_body(orbits: np.ndarray, mjd: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heliocentric places (au) and velocities (au/day), both (n, 3) on the axes of ICRS, at `mjd` (TT).

    `orbits` (n,) are of ORBIT; nothing but the Sun pulls.
    """
    a, e = orbits["semi_major_axis"], orbits["eccentricity"]
    motion = np.sqrt(GM_SUN / a**3)
    anomaly = eccentric_anomaly(np.radians(orbits["mean_anomaly"]) + motion * (mjd - orbits["epoch"]), e)
    sine, cosine, root = np.sin(anomaly), np.cos(anomaly), np.sqrt(1 - e**2)
    x, y = a * (cosine - e), a * root * sine
    speed = motion * a / (1 - e * cosine)
    towards, across = _axes(orbits)
    place = x[:, None] * towards + y[:, None] * across
    return place, (-speed * sine)[:, None] * towards + (speed * root * cosine)[:, None] * across


def _axes(orbits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (n, 3) towards the perihelion and a right angle ahead of it, on the axes of ICRS."""
    angles = np.radians([orbits["perihelion"], orbits["node"], orbits["inclination"]])
    (sw, so, si), (cw, co, ci) = np.sin(angles), np.cos(angles)
    towards = cw * co - sw * so * ci, cw * so + sw * co * ci, sw * si
    across = -sw * co - cw * so * ci, -sw * so + cw * co * ci, cw * si
    return _equatorial(*towards), _equatorial(*across)


def _equatorial(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Vectors (n, 3) on the axes of the equator from components along those of the ecliptic."""
    sine, cosine = np.sin(OBLIQUITY), np.cos(OBLIQUITY)
    return np.stack([x, cosine * y - sine * z, sine * y + cosine * z], axis=-1)


def perturbed(orbits: np.ndarray, mjd: float) -> tuple[np.ndarray, np.ndarray]:
    """The same as `two_body`, with the pull of the eight planets from the epoch of each orbit to `mjd` (TT).

    Equations of motion about the Sun (Danby 1988, Fundamentals of Celestial Mechanics, eq. 11.2.6), planets by Simon
    et al. 1994 as in ERFA. Bodies that pass the Earth within some 0.05 au feel Earth and Moon apart, which this does
    not know.
    """
    place, velocity = np.empty((2, len(orbits), 3))
    for epoch in np.unique(orbits["epoch"]):
        these = np.flatnonzero(orbits["epoch"] == epoch)
        start = np.stack(two_body(orbits[these], epoch))
        if mjd != epoch:
            solved = solve_ivp(
                _pull, (epoch, mjd), start.ravel(), method="DOP853", t_eval=[mjd], rtol=1e-10, atol=1e-11
            )
            start = solved.y[:, -1].reshape(start.shape)
        place[these], velocity[these] = start
    return place, velocity


def _pull(mjd: float, state: np.ndarray) -> np.ndarray:
    """Velocities and accelerations of bodies whose places and velocities are `state`, (2, n, 3) made flat."""
    place, velocity = state.reshape(2, -1, 3)
    planets = np.asarray(erfa.plan94(MJD, mjd, np.arange(1, 9))["p"])
    away = planets[:, None] - place
    with np.errstate(divide="ignore"):
        pull = np.einsum("p,pni->ni", PLANETS, away * (np.sum(away**2, axis=-1) ** -1.5)[..., None])
    pull -= (PLANETS * np.sum(planets**2, axis=-1) ** -1.5) @ planets  # of the Sun itself
    pull -= place * (np.sum(place**2, axis=-1) ** -1.5)[:, None]
    return np.stack([velocity, GM_SUN * pull]).ravel()
