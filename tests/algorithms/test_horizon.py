"""Altitude and air mass, held against an independent transformation."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from processing.algorithms.horizon import Site, airmass, altitude, towards_zenith
from processing.algorithms.sky import from_tangent_plane

LA_SILLA = Site(latitude=-29.2553, longitude=-70.7377, height=2347.0)


@pytest.fixture
def no_network():
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        yield


@pytest.mark.usefixtures("no_network")
def test_altitudes_and_air_masses_are_those_of_astropy():
    rng = np.random.default_rng(1)
    ra, dec, mjd = rng.uniform(0, 360, 150), rng.uniform(-90, 40, 150), rng.uniform(58000, 61300, 150)
    place = EarthLocation.from_geodetic(LA_SILLA.longitude * u.deg, LA_SILLA.latitude * u.deg, LA_SILLA.height * u.m)
    frame = AltAz(obstime=Time(mjd, format="mjd", scale="utc"), location=place)
    expected = SkyCoord(ra, dec, unit="deg").transform_to(frame)
    found = np.array([altitude(*where, LA_SILLA) for where in zip(ra, dec, mjd)])
    np.testing.assert_allclose(found, expected.alt.deg, atol=15 / 3600)
    high = expected.alt.deg > 40
    assert high.sum() > 15
    np.testing.assert_allclose([airmass(value) for value in found[high]], expected.secz[high], atol=0.005)


def test_air_mass_is_one_in_the_zenith_and_finite_at_the_horizon():
    assert airmass(90.0) == 1.0
    assert airmass(30.0) == pytest.approx(1.994, abs=0.001)  # Kasten & Young, table 2
    assert airmass(1.0) == pytest.approx(26.3, abs=0.1)
    assert airmass(0.0) is None and airmass(-10.0) is None and airmass(np.nan) is None


@pytest.mark.usefixtures("no_network")
def test_the_zenith_is_where_the_altitude_grows():
    """A small step along the vector rises by as much as it is long; one across it does not rise."""
    rng = np.random.default_rng(2)
    for ra, dec, mjd in zip(rng.uniform(0, 360, 60), rng.uniform(-80, 30, 60), rng.uniform(58000, 61300, 60)):
        height = altitude(ra, dec, mjd, LA_SILLA)
        if not 15 < height < 85:
            continue
        found = towards_zenith(ra, dec, mjd, LA_SILLA)
        assert np.hypot(*found) == pytest.approx(1 / np.tan(np.radians(height)), rel=1e-9)
        for step, rise in ((found, 1.0), (found[::-1] * [1, -1], 0.0)):
            there = from_tangent_plane(*(20 * step / np.hypot(*step)), ra, dec)
            assert (altitude(*map(float, there), mjd, LA_SILLA) - height) * 3600 == pytest.approx(
                20 * rise, abs=0.3
            )  # north is that of date
