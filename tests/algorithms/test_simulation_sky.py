"""The endless simulated sky, the optics before a camera, and the weather above it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.utils import iers

from processing.algorithms.horizon import Site
from processing.algorithms.simulation import SkyParameters, magnitudes
from processing.algorithms.simulation_optics import Optics
from processing.algorithms.simulation_tiles import AREA, Tiles, sky_around, star_tiles, tiles_within
from processing.algorithms.simulation_weather import Photometry, best_time, horizontal, weather_of
from processing.algorithms.sky import tangent_plane

LA_SILLA = Site(-29.2553, -70.7377, 2347.0)
MJD = 61383.1
PARAMETERS = SkyParameters(seed=8, stars=2000.0, star_slope=0.25, faintest=21.0, galaxies=500.0, faintest_galaxy=20.5)
TILES = Tiles(PARAMETERS)
LIMITS = {"fwhm_low": 2.2, "fwhm_high": 3.2, "pointing": 6.0, "rotation": 0.02}


@pytest.fixture(scope="module")
def sky():
    return sky_around(TILES, 52.1, -27.8, 0.4, MJD)


def places(table) -> set[tuple[float, float]]:
    return set(zip(table["ra"].tolist(), table["dec"].tolist()))


def within(table, ra: float, dec: float, radius: float):
    return table[np.hypot(*tangent_plane(table["ra"], table["dec"], ra, dec)) < 3600 * radius]


def test_neighbouring_fields_share_what_lies_in_both(sky):
    other = sky_around(TILES, 52.5, -27.6, 0.4, MJD)
    middle = 52.3, -27.7, 0.1
    for name in ("stars", "galaxies", "transients"):
        first, second = (within(getattr(one, name), *middle) for one in (sky, other))
        assert places(first) == places(second)
        assert len(first)


def test_transients_come_and_go_while_the_rest_stays(sky):
    later = sky_around(TILES, 52.1, -27.8, 0.4, MJD + 40)
    assert places(later.galaxies) == places(sky.galaxies)
    assert places(later.stars) == places(sky.stars)
    both = places(later.transients) & places(sky.transients)
    assert 0 < len(both) < min(len(later.transients), len(sky.transients))
    assert (sky.transients["start"] < MJD).all()
    shared = [row for row in later.transients if (row["ra"], row["dec"]) in both]
    assert all(row["start"] < MJD for row in shared)


def test_the_rate_of_transients_is_that_which_was_asked_for():
    tiles = Tiles(PARAMETERS, rate=400.0)
    numbers = tiles_within(52.1, -27.8, 1.0)
    found = sky_around(tiles, 52.1, -27.8, 1.0, 61380.0)  # the first day of a month of 30 days
    last = found.transients[(found.transients["start"] >= 61320) & (found.transients["start"] < 61380)]
    expected = 400.0 * len(numbers) * AREA * 60 / 365.25
    assert len(last) == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_hosts_and_knots_belong_to_their_galaxies(sky):
    hosted = sky.transients[sky.transients["host"] >= 0]
    hosts = sky.galaxies[hosted["host"]]
    away = np.hypot((hosted["ra"] - hosts["ra"]) * np.cos(np.radians(hosts["dec"])), hosted["dec"] - hosts["dec"])
    assert len(hosted) > 5
    assert np.median(away * 3600 / hosts["r50"]) < 3
    light = np.bincount(sky.knots["galaxy"], sky.knots["share"])
    assert light == pytest.approx(1)
    owner = sky.galaxies[sky.knots["galaxy"]]
    assert np.median(np.abs(sky.knots["dec"] - owner["dec"]) * 3600 / owner["r50"]) < 2


def test_stars_fill_tiles_evenly_and_as_densely_as_asked():
    numbers = tiles_within(52.1, -27.8, 1.2)
    stars = star_tiles(TILES, numbers)
    expected = 2000.0 * 10**0.25 * AREA * len(numbers)
    assert len(stars) == pytest.approx(expected, rel=0.01)  # counts are rounded in each tile
    inner = within(stars, 52.1, -27.8, 1.0)
    xi, eta = tangent_plane(inner["ra"], inner["dec"], 52.1, -27.8)
    quadrants = np.bincount(2 * (xi > 0) + (eta > 0))
    assert np.ptp(quadrants) < 6 * np.sqrt(quadrants.mean())


def test_tiles_work_across_the_zero_of_right_ascension():
    found = sky_around(TILES, 0.0, 40.0, 0.3, MJD)
    assert (found.stars["ra"] > 350).any() and (found.stars["ra"] < 10).any()
    assert len(within(found.stars, 0.0, 40.0, 0.3)) == pytest.approx(0.28 * 2000 * 10**0.25, rel=0.2)


def test_magnitudes_in_z_and_y_follow_the_colour(sky):
    stars = sky.stars
    assert (magnitudes(stars, "g") == stars["mag_g"]).all()
    red = stars["mag_g"] - stars["mag_r"] > 1.2
    i_z = stars["mag_i"] - magnitudes(stars, "z")
    assert np.median(i_z[red]) > np.median(i_z[~red]) > 0
    assert (magnitudes(stars, "Y") < magnitudes(stars, "z")).mean() > 0.95


def test_optics_are_the_header_and_a_smooth_distortion_of_the_whole_field():
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = 52.1, -27.8, 500.0, 600.0
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -3e-4, 0.0, 0.0, 3e-4
    axis = (-4000.0, 100.0)
    plain, bent = Optics(header, axis), Optics(header, axis, radial=0.02)
    ra, dec = plain.sky(np.array([0.0, 900.0]), np.array([100.0, 100.0]))
    assert plain.pixels(ra, dec)[0] == pytest.approx([0.0, 900.0], abs=1e-6)
    x, y = bent.pixels(ra, dec)
    assert x - [0.0, 900.0] == pytest.approx([0.02 * 4**3, 0.02 * 4.9**3], abs=1e-6)
    assert y == pytest.approx(100.0, abs=1e-6)
    assert len(plain.pixels(np.zeros(0), np.zeros(0))[0]) == 0


@pytest.mark.parametrize(("ra", "dec", "mjd"), [(52.1, -27.8, 61383.2), (200.0, -60.0, 60500.3), (10.0, 20.0, 59000.1)])
def test_altitude_and_azimuth_are_those_of_astropy(ra, dec, mjd):
    place = EarthLocation.from_geodetic(LA_SILLA.longitude, LA_SILLA.latitude, LA_SILLA.height)
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        with iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
            frame = AltAz(obstime=Time(mjd, format="mjd"), location=place)
            there = SkyCoord(ra * units.deg, dec * units.deg).transform_to(frame)
    altitude, azimuth, _ = horizontal(LA_SILLA, ra, dec, mjd)
    found = SkyCoord(azimuth * units.deg, altitude * units.deg)
    assert found.separation(SkyCoord(there.az, there.alt)).arcsec < 30


def test_the_best_time_is_in_the_night_and_the_field_is_high():
    best = best_time(LA_SILLA, 52.1, -27.8, 61382.0)
    assert 61382.9 < best < 61383.5
    altitude, _, hour_angle = horizontal(LA_SILLA, 52.1, -27.8, best)
    assert altitude > 85
    assert abs(hour_angle) < 2
    setting = best_time(LA_SILLA, 300.0, -27.8, 61382.0)  # already in the west when it becomes dark
    assert horizontal(LA_SILLA, 300.0, -27.8, setting)[2] > 30


def test_the_sky_is_brighter_near_a_full_moon_and_low_down():
    blue, red = Photometry(24.1, 22.0, 0.18), Photometry(23.2, 19.0, 0.06)

    def weather(mjd, ra=52.1):
        return weather_of(LA_SILLA, ra, -27.8, mjd, np.random.default_rng(1), limits=LIMITS)

    dark, bright = weather(61383.17), weather(61368.17)  # new and full moon
    assert dark.moon_phase < 0.05 < 0.95 < bright.moon_phase
    ratios = [bright.sky(band, 60.0, 1.0) / dark.sky(band, 60.0, 1.0) for band in (blue, red)]
    assert ratios[0] > 4 > ratios[1] > 1
    low = weather(61383.17, ra=115.0)
    assert low.airmass > 1.25 > dark.airmass
    assert low.sky(red, 60.0, 1.0) > dark.sky(red, 60.0, 1.0)
    assert low.zero_point(blue, 60.0) == pytest.approx(
        dark.zero_point(blue, 60.0) - 0.18 * (low.airmass - dark.airmass)
    )
    assert dark.sky(blue, 60.0, 1.0) == pytest.approx(60 * 10 ** (0.4 * (24.1 - 22.0)), rel=0.1)


def test_the_pointing_is_wrong_by_some_arcsec():
    errors = [
        np.hypot(
            *tangent_plane(
                *weather_of(LA_SILLA, 52.1, -27.8, MJD, np.random.default_rng(n), limits=LIMITS).pointing, 52.1, -27.8
            )
        )
        for n in range(40)
    ]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(6 * np.sqrt(2), rel=0.3)
