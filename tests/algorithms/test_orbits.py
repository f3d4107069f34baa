"""Orbits and ephemerides against published places and against other ways to compute them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import EarthLocation, get_body_barycentric
from astropy.time import Time
from astropy.utils import iers
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from processing.algorithms.ephemerides import (
    EPHEMERIS,
    LIGHT_DAY,
    Cap,
    ephemeris,
    near,
    observer,
    phase_dimming,
    terrestrial_time,
)
from processing.algorithms.horizon import Site
from processing.algorithms.orbits import GM_SUN, ORBIT, eccentric_anomaly, perturbed, two_body

TOLOLO = Site(latitude=-30.169, longitude=-70.804, height=2207.0)
J2000_OBLIQUITY = np.radians(84381.448 / 3600)
# Ceres by Horizons (JPL#48, DE441): osculating elements of 2020-01-01 (TDB), and where it was then and in 2025.
CERES = {
    "epoch": 58849.0, "mean_anomaly": 130.3159688200986, "perihelion": 73.80896808746482, "node": 80.3011901917491,
    "inclination": 10.59127767086216, "eccentricity": 0.07687465013145245, "semi_major_axis": 2.769289292143484,
    "h": 3.34, "g": 0.12, "runoff": 0.0, "observed": 58849.0,
}  # fmt: skip
CERES_2020 = [1.007608869613381, -2.390064275223502, -1.332124522752402]  # au, ICRF, heliocentric
CERES_VELOCITY = [9.201724467227128e-03, 3.370381135398406e-03, -2.850337057661093e-04]  # au/day
CERES_2025 = [4.243328170158925e08, 7.987161493275928e07, -7.569814997872370e07]  # km, ecliptic, from the barycentre
DATE_2025 = 60958.412814930  # MJD (TDB)


@pytest.fixture(autouse=True)
def _tables_at_hand():
    with iers.conf.set_temp("auto_download", False):
        yield


def orbit(**elements: float) -> np.ndarray:
    row = np.zeros(1, ORBIT)
    for name, value in elements.items():
        row[name] = value
    return row


def population(n: int, seed: int, *, epoch: float = 60000.0, eccentricity: float = 0.12) -> np.ndarray:
    """Orbits of the main belt, and some that come near the Earth."""
    rng, rows = np.random.default_rng(seed), np.zeros(n, ORBIT)
    rows["epoch"] = rows["observed"] = epoch
    for name in ("mean_anomaly", "perihelion", "node"):
        rows[name] = rng.uniform(0, 360, n)
    rows["inclination"], rows["semi_major_axis"] = rng.rayleigh(8, n), rng.uniform(2.1, 3.3, n)
    rows["eccentricity"] = np.minimum(rng.rayleigh(eccentricity, n), 0.6)
    rows["h"], rows["g"] = 15.0, 0.15
    return rows


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Arcsec between directions (n, 3)."""
    one, other = (v / np.linalg.norm(v, axis=-1)[..., None] for v in (one, other))
    return np.degrees(2 * np.arcsin(np.linalg.norm(one - other, axis=-1) / 2)) * 3600


# Orbits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e", [0.0, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_keplers_equation_is_solved_for_every_anomaly(e):
    mean = np.linspace(-20, 20, 4001)
    found = eccentric_anomaly(mean, np.full(mean.shape, e))
    left = found - e * np.sin(found) - mean
    assert np.abs(np.remainder(left + np.pi, 2 * np.pi) - np.pi).max() < 1e-12


def test_the_state_of_ceres_follows_from_its_elements_as_horizons_has_it():
    place, velocity = two_body(orbit(**CERES), CERES["epoch"])
    assert np.abs(place[0] - CERES_2020).max() < 1e-10
    assert np.abs(velocity[0] - CERES_VELOCITY).max() < 1e-12


def test_five_years_on_ceres_is_where_horizons_has_it_if_the_planets_pull():
    x, y, z = np.array(CERES_2025) / 149597870.7
    sine, cosine = np.sin(J2000_OBLIQUITY), np.cos(J2000_OBLIQUITY)
    sun = get_body_barycentric("sun", Time(DATE_2025, format="mjd", scale="tdb"), ephemeris="builtin").xyz.to_value(
        "au"
    )
    truth = np.array([x, cosine * y - sine * z, sine * y + cosine * z]) - sun
    assert apart(perturbed(orbit(**CERES), DATE_2025)[0], truth[None])[0] < 0.5
    assert apart(two_body(orbit(**CERES), DATE_2025)[0], truth[None])[0] > 600


def test_without_planets_an_orbit_is_that_of_a_numerical_integration():
    rows, days = population(20, seed=1, eccentricity=0.3), 400.0
    place, velocity = two_body(rows, 60000.0)

    def pull(_, state):
        r = state[: 3 * len(rows)].reshape(-1, 3)
        return np.concatenate([state[3 * len(rows) :], (-GM_SUN * r / np.linalg.norm(r, axis=1)[:, None] ** 3).ravel()])

    start = np.concatenate([place.ravel(), velocity.ravel()])
    end = solve_ivp(pull, (0, days), start, rtol=1e-12, atol=1e-14, method="DOP853").y[:, -1]
    there, speed = two_body(rows, 60000.0 + days)
    assert np.abs(there.ravel() - end[: 3 * len(rows)]).max() < 1e-8
    assert np.abs(speed.ravel() - end[3 * len(rows) :]).max() < 1e-9


# What is seen -----------------------------------------------------------------------------------------------


def test_encke_is_where_meeus_has_it():
    """Meeus 1998, Astronomical Algorithms, example 33.b: comet Encke on 1990 October 6.0 TD, seen from the Earth's centre."""
    encke = orbit(
        epoch=Time("1990-10-28").mjd + 0.54502, perihelion=186.23352, node=334.75006, inclination=11.94524,
        eccentricity=0.8502196, semi_major_axis=2.2091404,
    )  # fmt: skip
    found = ephemeris(encke, Time("1990-10-06", scale="tt").utc.mjd, None, places=two_body)
    assert found["ra"][0] == pytest.approx(158.558965, abs=0.1 / 3600)
    assert found["dec"][0] == pytest.approx(19.158496, abs=0.1 / 3600)
    assert found["distance"][0] == pytest.approx(0.8242811, abs=2e-7)


def test_ceres_of_the_minor_planet_center_is_where_another_program_has_it():
    """Elements of MPCORB.DAT of epoch K205V; the place is that of Skyfield with DE421, 17 days later, as it tests it."""
    ceres = orbit(
        epoch=59000.0, mean_anomaly=162.68631, perihelion=73.73161, node=80.28698, inclination=10.58862,
        eccentricity=0.0775571, semi_major_axis=2.7676569, h=3.4, g=0.15,
    )  # fmt: skip
    found = ephemeris(ceres, Time("2020-06-17").mjd, None)
    assert found["ra"][0] / 15 == pytest.approx(23.1437, abs=0.00005)
    assert found["dec"][0] == pytest.approx(-17.323, abs=0.0005)
    assert 8.5 < found["magnitude"][0] < 8.9


@pytest.mark.parametrize("site", [None, TOLOLO])
def test_places_and_motions_are_those_of_a_slower_way(site):
    """Light time by a root, places by an integration, the Earth and the site by astropy."""
    rows, mjd = population(30, seed=2), 60010.3
    found = ephemeris(rows, mjd, site, places=two_body)

    def seen(row: np.ndarray, at: float) -> np.ndarray:
        time = Time(at, format="mjd", scale="utc")
        here = get_body_barycentric("earth", time, ephemeris="builtin") - get_body_barycentric(
            "sun", time, ephemeris="builtin"
        )
        here = here.xyz.to_value("au")
        if site is not None:
            place = EarthLocation.from_geodetic(site.longitude, site.latitude, site.height * units.m)
            here = here + place.get_gcrs_posvel(time)[0].xyz.to_value("au")
        now = time.tt.mjd
        back = brentq(lambda b: np.linalg.norm(two_body(row, now - b)[0][0] - here) / LIGHT_DAY - b, 0, 0.1, xtol=1e-13)
        return two_body(row, now - back)[0][0] - here

    for index in range(0, len(rows), 3):
        row, one = rows[index : index + 1], found[index]
        truth, later = seen(row, mjd), seen(row, mjd + 1 / 24)
        a, d = np.radians([one["ra"], one["dec"]])
        assert apart(np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)]), truth) < 0.02
        assert apart(truth, later) == pytest.approx(one["rate"], abs=0.25)  # over an hour the Earth turns


def test_the_site_moves_what_is_near():
    rows = population(200, seed=3)
    here, there = (ephemeris(rows, 60010.3, site) for site in (None, TOLOLO))
    moved = np.hypot((here["ra"] - there["ra"]) * np.cos(np.radians(here["dec"])), here["dec"] - there["dec"]) * 3600
    assert np.all(moved <= 8.8 / here["distance"] + 0.01) and moved.max() > 3


def test_the_observer_is_where_astropy_has_it():
    time = Time("2023-11-22T04:30:00")
    place = EarthLocation.from_geodetic(TOLOLO.longitude, TOLOLO.latitude, TOLOLO.height * units.m)
    truth, speed = (part.xyz for part in place.get_gcrs_posvel(time))
    (here, moving), (earth, orbiting) = observer(time.mjd, TOLOLO), observer(time.mjd, None)
    assert np.abs((here - earth) * units.au - truth).max() < 0.6 * units.km
    assert np.abs((moving - orbiting) * units.au / units.day - speed).max() < 1 * units.m / units.s
    assert terrestrial_time(time.mjd) == pytest.approx(time.tt.mjd, abs=1e-9)


def test_what_is_in_a_circle_is_not_missed_whatever_the_planets_did():
    rows = population(20000, seed=4)
    for days, where in ((5.0, (30.0, 12.0)), (150.0, (0.2, -3.0)), (300.0, (200.0, -10.0))):
        mjd, cap = 60000.0 + days, Cap(*where, 3.0)
        kept = near(rows, mjd, cap)
        everything = ephemeris(rows, mjd, TOLOLO)
        v = np.stack([np.cos(np.radians(everything["dec"])) * np.cos(np.radians(everything["ra"])),
                      np.cos(np.radians(everything["dec"])) * np.sin(np.radians(everything["ra"])),
                      np.sin(np.radians(everything["dec"]))], axis=1)  # fmt: skip
        a, d = np.radians(where)
        inside = apart(v, np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])) < 3 * 3600
        assert inside.sum() > 5 and set(np.flatnonzero(inside)) <= set(kept)
        assert len(kept) < 0.05 * len(rows)
        separation = apart(v, np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])) / 3600
        for row in np.argsort(separation)[:20]:  # circles whose rims go just outside of a body
            assert row in near(rows, mjd, Cap(*where, separation[row] + 1e-4))


def test_the_phase_function_is_that_of_bowell():
    """At 20°, by hand: Φ₁ = exp(−3.33 tan(10°)^0.63) = 0.3276, Φ₂ = exp(−1.87 tan(10°)^1.22) = 0.7984."""
    assert phase_dimming(np.zeros(1), np.array([0.15]))[0] == pytest.approx(0, abs=1e-12)
    dimming = -phase_dimming(np.radians([20.0, 20.0, 20.0]), np.array([0.15, 0.25, np.nan]))
    by_hand = [-2.5 * np.log10((1 - g) * 0.3276 + g * 0.7984) for g in (0.15, 0.25)]
    assert list(dimming[:2]) == pytest.approx(by_hand, abs=1e-3)
    assert dimming[2] == dimming[0]


def test_a_place_is_as_sure_as_its_orbit():
    rows = population(3, seed=5)
    rows["runoff"], rows["observed"] = [0.0, 20.0, np.nan], 60000.0 - 3652.5
    found = ephemeris(rows, 60000.0, None, floor=0.5)["uncertainty"]
    assert found[0] == 0.5 and found[1] == pytest.approx(np.hypot(0.5, 20.0)) and found[2] > 1e5


def test_no_orbits_have_no_places():
    empty = np.zeros(0, ORBIT)
    assert ephemeris(empty, 60000.0, TOLOLO).shape == (0,) and ephemeris(empty, 60000.0, None).dtype == EPHEMERIS
    assert len(near(empty, 60000.0, Cap(0, 0, 1))) == 0
