"""The sphere: proper motion with cos δ, and the tangent plane, compared with Astropy."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Distance, SkyCoord, get_body_barycentric, solar_system_ephemeris
from astropy.time import Time
from astropy.wcs import WCS

from processing.algorithms.sky import apply_proper_motion, from_tangent_plane, stars_at, tangent_plane


def test_proper_motion_is_that_of_astropy_near_the_equator_and_at_high_declination():
    rng = np.random.default_rng(1)
    dec = np.concatenate([rng.uniform(-80, 80, 40), [84.0, -84.0]])
    ra = rng.uniform(0, 360, len(dec))
    pmra, pmdec = rng.normal(0, 60, (2, len(dec)))
    start, end = Time(2016.0, format="jyear", scale="tcb"), Time(61000.0, format="mjd", scale="utc")
    far = Distance(np.full(len(dec), 500.0) * u.pc)
    stars = SkyCoord(
        ra * u.deg, dec * u.deg, distance=far, pm_ra_cosdec=pmra * u.mas / u.yr, pm_dec=pmdec * u.mas / u.yr,
        radial_velocity=np.zeros(len(dec)) * u.km / u.s, obstime=start,
    )  # fmt: skip
    there = stars.apply_space_motion(new_obstime=end)
    found = SkyCoord(*apply_proper_motion(ra, dec, pmra, pmdec, 2016.0, 61000.0), unit="deg")
    # Straight lines on the sphere against straight lines in ra and dec: a few tens of μas in ten years.
    assert found.separation(there).to_value(u.mas).max() < 0.1


def test_a_motion_in_ra_is_as_long_on_the_sky_whatever_the_declination():
    dec = np.array([0.0, 45.0, 80.0, -89.0])
    ra, same = apply_proper_motion(np.full(4, 10.0), dec, np.full(4, 1000.0), np.zeros(4), 2000.0, 51544.5 + 365.25)
    np.testing.assert_allclose((ra - 10) * np.cos(np.radians(dec)) * 3600, 1.0, rtol=1e-9)
    np.testing.assert_array_equal(same, dec)


def test_motions_that_are_not_known_are_none_and_ra_stays_below_a_turn():
    ra, dec = apply_proper_motion(
        np.array([12.0, 359.9999]), np.array([5.0, 0.0]), np.array([np.nan, 5000.0]), np.array([np.nan, 0]), 2016, 62000
    )
    assert (ra[0], dec[0]) == (12.0, 5.0)
    assert 0 <= ra[1] < 0.1


def test_nothing_moves_beyond_the_pole():
    _, dec = apply_proper_motion(
        np.zeros(2), np.array([89.99999, -90.0]), np.zeros(2), np.array([1e5, -1e5]), 2000, 70000
    )
    np.testing.assert_array_equal(dec, [90, -90])


@pytest.mark.parametrize("centre", [(10.0, 0.0), (359.99, -45.0), (180.0, 89.9), (77.0, -90.0)])
def test_the_plane_is_the_gnomonic_one_and_its_inverse_comes_back(centre):
    rng = np.random.default_rng(2)
    xi, eta = rng.uniform(-3600, 3600, (2, 300))
    ra, dec = from_tangent_plane(xi, eta, *centre)
    assert np.all((ra >= 0) & (ra < 360))
    there, back = tangent_plane(ra, dec, *centre)
    np.testing.assert_allclose(there, xi, atol=1e-6)
    np.testing.assert_allclose(back, eta, atol=1e-6)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], centre, [1, 1]
    wcs.wcs.cdelt = [1 / 3600, 1 / 3600]
    np.testing.assert_allclose(wcs.wcs_world2pix(np.c_[ra, dec], 0), np.c_[xi, eta], atol=1e-5)


def test_what_lies_behind_the_plane_has_no_place_on_it():
    xi, eta = tangent_plane(np.array([100.0, 280.0]), np.array([0.0, 0.0]), 10.0, 0.0)
    assert np.isnan(xi).all() and np.isnan(eta).all()


def catalog(n: int, **columns) -> np.ndarray:
    rng = np.random.default_rng(3)
    given = {
        "ra": rng.uniform(0, 360, n), "dec": rng.uniform(-89, 89, n), "pmra": np.zeros(n), "pmdec": np.zeros(n),
        "mag_g": np.full(n, 14.0), **columns,
    }  # fmt: skip
    table = np.zeros(n, [(name, "f8") for name in given])
    for name, values in given.items():
        table[name] = values
    return table


@pytest.mark.parametrize("mjd", [59000.2, 59091.5, 60900.7])
def test_a_near_star_is_seen_from_where_the_earth_is(mjd):
    n = 60
    stars = catalog(n, parallax=np.full(n, 300.0), parallax_error=np.full(n, 0.1))
    found = stars_at(stars, 2016.0, mjd)
    with solar_system_ephemeris.set("builtin"):
        earth = get_body_barycentric("earth", Time(mjd, format="mjd", scale="utc")).xyz
    far = Distance(parallax=np.full(n, 300.0) * u.mas)
    seen = SkyCoord(stars["ra"] * u.deg, stars["dec"] * u.deg, distance=far).cartesian.xyz - earth[:, None]
    there = SkyCoord(*seen, representation_type="cartesian").represent_as("unitspherical")
    off = SkyCoord(found["ra"], found["dec"], unit="deg").separation(SkyCoord(there.lon, there.lat))
    assert off.to_value(u.mas).max() < 0.1
    moved = SkyCoord(stars["ra"], stars["dec"], unit="deg").separation(SkyCoord(there.lon, there.lat)).to_value(u.mas)
    assert 280 < moved.max() < 306


def test_a_parallax_that_is_not_measured_moves_nothing():
    stars = catalog(3, parallax=[0.5, np.nan, -3.0], parallax_error=[0.4, np.nan, 0.2])
    found = stars_at(stars, 2016.0, 60000.0)
    np.testing.assert_allclose(found["ra"], stars["ra"], atol=1e-12)
    assert found.dtype.names == (*stars.dtype.names, "position_error")


def test_errors_of_position_and_motion_add_and_what_is_not_known_costs():
    ten_years = 51544.5 + 365.25 * 26
    errors = {"ra_error": 0.3, "dec_error": 0.4, "pmra_error": 0.03, "pmdec_error": 0.04}
    known = catalog(2, **{name: np.full(2, value) for name, value in errors.items()})
    found = stars_at(known, 2016.0, ten_years)["position_error"]
    assert found == pytest.approx(np.sqrt((0.3**2 + 0.4**2 + 0.3**2 + 0.4**2) / 2), rel=1e-5)
    without = stars_at(catalog(2, pmra=np.full(2, np.nan)), 2016.0, ten_years)["position_error"]
    assert without == pytest.approx(50, rel=1e-3)  # 5 mas a year
    faint = stars_at(catalog(2, mag_g=np.array([14.0, 20.0])), 2016.0, ten_years)["position_error"]
    assert faint[1] == pytest.approx(10 * faint[0], rel=1e-5)
    nameless = stars_at(catalog(2, mag_g=np.full(2, np.nan)), 2016.0, ten_years)["position_error"]
    assert np.all(nameless > faint)
