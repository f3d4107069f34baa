"""The simulated sky and its CCD: what is rendered and read out is what the truth says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.overscan import subtract_overscan
from processing.algorithms.simulation import Sky, SkyParameters, make_sky
from processing.algorithms.simulation_detector import (
    DetectorParameters,
    bias_frame,
    bleed,
    cosmic_rays,
    flat_frame,
    make_detector,
    read_out,
)
from processing.algorithms.simulation_render import Frame, Projection, Seeing, background, points, render, sources
from processing.algorithms.wcs_fit import wcs_from_header

SIDE = 200
SMALL = SkyParameters(seed=5, width=0.06, height=0.05)
EVEN = DetectorParameters(
    column_structure=0, bias_gradient=0, illumination=0, dust=0, pixel_scatter=0, bad_columns=0, hot_pixels=0
)


def frame(**changes) -> Frame:
    projection = Projection(SMALL.ra, SMALL.dec, (90.3, 104.8), 1.0, rotation=0.4, radial=1.0, tilt=0.3)
    seeing = Seeing(fwhm=2.4, ellipticity=(0.03, -0.02), gradient=0.02, broadening=0.05)
    return replace(Frame((SIDE, SIDE), projection, seeing, "r", zero_point=28.4, sky=0.0), **changes)


def only(sky: Sky, *, stars=(), galaxies=()) -> Sky:
    """The sky with nothing but these rows of it."""
    keep = np.isin(sky.knots["galaxy"], galaxies)
    knots = sky.knots[keep]
    knots["galaxy"] = np.searchsorted(galaxies, knots["galaxy"])
    return Sky(sky.parameters, sky.stars[list(stars)], sky.galaxies[list(galaxies)], knots, sky.transients[:0])


def centroid(image: np.ndarray, x: float, y: float, radius: float) -> tuple[float, float]:
    rows, columns = np.indices(image.shape)
    light = np.where(np.hypot(columns - x, rows - y) < radius, image, 0).astype(float)
    return (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()


@pytest.fixture(scope="module")
def sky() -> Sky:
    return make_sky(SMALL)


def test_the_same_seed_gives_the_same_sky_and_another_seed_another_one(sky):
    again, other = make_sky(SMALL), make_sky(SMALL.model_copy(update={"seed": 6}))
    for name in ("stars", "galaxies", "knots", "transients"):
        np.testing.assert_array_equal(getattr(sky, name), getattr(again, name))
    assert not np.array_equal(sky.stars["ra"], other.stars["ra"])


def test_stars_do_not_move_when_there_are_fewer_galaxies(sky):
    fewer = make_sky(SMALL.model_copy(update={"galaxies": 300.0}))
    assert len(fewer.galaxies) < len(sky.galaxies)
    np.testing.assert_array_equal(fewer.stars, sky.stars)


def test_star_counts_rise_with_the_given_slope():
    wide = make_sky(SkyParameters(seed=2, width=0.6, height=0.6, galaxies=0, transients=0))
    counts = [np.sum(wide.stars["mag_r"] < limit) for limit in (18, 20, 22)]
    expected = 9500 * 0.36 * 10 ** (0.3 * np.array([-2, 0, 2]))
    assert np.abs(counts - expected).max() < 4 * np.sqrt(expected).max()
    np.testing.assert_array_less(np.abs(counts - expected), 4 * np.sqrt(expected))


def test_an_isolated_star_has_the_flux_that_its_magnitude_and_the_zero_point_say(sky):
    stars = sky.stars[:3].copy()
    stars["mag_r"] = 16.0, 18.0, 20.0
    for row in range(3):
        here = Sky(sky.parameters, stars[row : row + 1], sky.galaxies[:0], sky.knots[:0], sky.transients[:0])
        here.stars["ra"], here.stars["dec"], here.stars["amplitude"] = SMALL.ra, SMALL.dec, 0
        image, truth = render(here, frame(), 61360.0)
        assert truth["flux"][0] == pytest.approx(10 ** (0.4 * (28.4 - stars["mag_r"][row])), rel=1e-9)
        assert image.sum() == pytest.approx(truth["flux"][0], rel=0.005)


@pytest.mark.parametrize("fwhm", [2.2, 3.6])
def test_the_truth_is_where_the_light_of_an_isolated_star_is(fwhm):
    seen = frame(seeing=Seeing(fwhm=fwhm, ellipticity=(0.05, 0.03), gradient=0.03))
    rng = np.random.default_rng(3)
    for x, y in rng.uniform(60, 140, (6, 2)):
        image = points(seen, np.array([x]), np.array([y]), np.array([1e6]))
        # Weighing all light within a circle about the truth: pixels cut by the circle hold 1e-3 of it.
        assert centroid(image, x, y, 25.0) == pytest.approx((x, y), abs=0.005)


def test_rendered_profiles_have_the_width_and_the_ellipticity_of_the_seeing():
    seen = frame(seeing=Seeing(fwhm=6.0, ellipticity=(0.1, 0.0)))
    image = points(seen, np.array([100.0]), np.array([100.0]), np.array([1e7]))
    along_x, along_y = (np.sum(line > line.max() / 2) for line in (image[100], image[:, 100]))
    assert image[100, 97] > image[97, 100]  # (a − b)/(a + b) > 0 with φ = 0 is long along x
    assert along_x > along_y
    fine = np.interp(0.5, (image[100, 100:110] / image[100, 100])[::-1], np.arange(10)[::-1])
    assert 2 * fine == pytest.approx(6.0 * np.sqrt(1.1 / 0.9), rel=0.02)


def test_stars_near_the_edge_shine_into_the_image():
    seen = frame()
    image = points(seen, np.array([-3.0]), np.array([100.0]), np.array([1e5]))
    assert 0 < image[:, 0].sum() < 1e5
    assert image[100, 0] == image.max()


def test_a_galaxy_keeps_its_light_and_half_of_it_lies_within_its_half_light_ellipse(sky):
    for row in np.argsort(-sky.galaxies["r50"] * sky.galaxies["axis_ratio"])[:4]:
        here = only(sky, galaxies=[row])
        galaxy = here.galaxies[0]
        scale = 0.2  # arcsec per px, so that neither pixels nor seeing move light across the ellipse
        projection = Projection(galaxy["ra"], galaxy["dec"], (100.0, 100.0), scale)
        image, truth = render(here, frame(projection=projection, seeing=Seeing(fwhm=2.2)), 61360.0)
        assert image.sum() == pytest.approx(truth["flux"][0], rel=0.03)  # the wings end somewhere
        east = (100 - np.arange(SIDE)[None, :]) * scale
        north = (np.arange(SIDE)[:, None] - 100) * scale
        along = east * np.sin(galaxy["angle"]) + north * np.cos(galaxy["angle"])
        aside = (east * np.cos(galaxy["angle"]) - north * np.sin(galaxy["angle"])) / galaxy["axis_ratio"]
        within = image[np.hypot(along, aside) < galaxy["r50"]].sum() / image.sum()
        assert within == pytest.approx(0.5, abs=0.07)


def test_pixels_agree_with_the_header_up_to_the_distortion():
    undistorted = Projection(SMALL.ra, SMALL.dec, (90.3, 104.8), 1.0, rotation=25.0)
    ra, dec = SMALL.ra + np.array([0.0, 0.01, -0.02]), SMALL.dec + np.array([0.0, -0.015, 0.01])
    x, y = wcs_from_header(undistorted.header()).all_world2pix(ra, dec, 0)
    np.testing.assert_allclose(undistorted.pixels(ra, dec), (x, y), atol=1e-6)
    bent = replace(undistorted, radial=1.0, tilt=0.3).pixels(ra, dec)
    assert 1e-4 < np.hypot(bent[0] - x, bent[1] - y).max() < 1.0


def test_transients_rise_from_nothing_and_fade_and_proper_motion_moves_stars(sky):
    event = sky.transients[0]
    dates = event["start"] + np.array([-1.0, 0.5 * event["rise"], event["rise"], event["rise"] + event["decline"]])
    mags = np.array([sky.transient_magnitudes("r", mjd)[0] for mjd in dates]) - event["mag_r"]
    np.testing.assert_allclose(mags, [np.inf, 2.5 * np.log10(4), 0, 2.5 * np.log10(np.e)], atol=1e-9)
    early, late = (sources(sky, frame(), mjd) for mjd in (61041.0, 61041.0 + 3652.5))
    moved = 3.6e6 * (late["dec"] - early["dec"])[: len(sky.stars)]
    np.testing.assert_allclose(moved, 10 * sky.stars["pmdec"], rtol=0.01, atol=0.1)
    assert np.isinf(early["mag"][early["kind"] == "transient"]).all()


def test_most_transients_are_in_galaxies_and_none_are_too_close_to_each_other():
    wide = make_sky(SkyParameters(seed=4, width=0.5, height=0.5, stars=0, variables=0))
    found = wide.transients
    assert len(found) == 95
    assert 0.6 < np.mean(found["host"] >= 0) < 0.9
    xi, eta = (found["ra"] - 52.1) * np.cos(np.radians(27.8)) * 3600, found["dec"] * 3600
    apart = np.hypot(xi[:, None] - xi, eta[:, None] - eta)[np.triu_indices(len(found), 1)]
    assert apart.min() > 0.99 * wide.parameters.separation


def test_overscan_and_gain_and_read_noise_can_be_recovered_from_raw_frames():
    detector = make_detector((120, 160), EVEN, seed=1)
    rng = np.random.default_rng(2)
    flats = [subtract_overscan(flat_frame(detector, 20_000, rng), detector.amplifiers) for _ in range(2)]
    biases = [bias_frame(detector, rng) for _ in range(2)]
    assert biases[0].dtype == np.uint16
    assert biases[0].shape == (120, 160 + 48)
    for amplifier, level in zip(detector.amplifiers, EVEN.bias_levels):
        overscan = biases[0][amplifier.bias]
        assert overscan.mean() == pytest.approx(level, abs=5 * np.hypot(EVEN.drift, EVEN.drift))
        noise = np.std(biases[0][amplifier.data].astype(float) - biases[1][amplifier.data]) / np.sqrt(2)
        # Rounding to ADU adds 1/12 of its square.
        noise = np.sqrt(noise**2 - 1 / 12) * amplifier.gain
        assert noise == pytest.approx(amplifier.read_noise, rel=0.04)
        first, second = (flat[amplifier.target] for flat in flats)
        variance = np.var(first - second) / 2 - (amplifier.read_noise / amplifier.gain) ** 2
        gain = (first.mean() + second.mean()) / 2 / variance
        assert gain == pytest.approx(amplifier.gain, rel=0.06)
        assert first.mean() * amplifier.gain == pytest.approx(20_000, rel=0.005)


def test_the_detector_stays_the_same_and_only_the_illumination_changes_with_the_filter():
    first, again, red = (make_detector((150, 150), seed=7, color=color) for color in (0, 0, 1))
    np.testing.assert_array_equal(first.response, again.response)
    np.testing.assert_array_equal(first.structure, red.structure)
    np.testing.assert_array_equal(first.dark, red.dark)
    ratio = first.response / red.response
    assert 0.01 < ratio.std() < 0.1
    assert np.abs(np.diff(ratio, axis=1)).max() < 0.01  # smooth: defects and pixel scatter are common


def test_dead_columns_hot_pixels_and_dust_are_there():
    p = DetectorParameters(pixel_scatter=0, hot_pixels=5, bad_columns=1, illumination=0)
    detector = make_detector((300, 300), p, seed=3)
    assert ((detector.response < 0.2).any(axis=0)).sum() == 1
    assert np.count_nonzero(detector.dark) == 5
    shaded = (detector.response > 0.5) & (detector.response < 0.995 * np.median(detector.response))
    assert 0.01 < shaded.mean() < 0.5


def test_bleeding_keeps_the_charge_of_each_column_and_fills_pixels_to_the_full_well():
    rng = np.random.default_rng(8)
    electrons = rng.uniform(100, 300, (200, 5)).astype(np.float32)
    electrons[98:102, 2] = 8e5
    full = np.full(5, 1e5, np.float32)
    found = bleed(electrons, full)
    np.testing.assert_allclose(found.sum(axis=0, dtype=float), electrons.sum(axis=0, dtype=float), rtol=1e-6)
    assert found.max() == pytest.approx(1e5)
    trail = np.flatnonzero(found[:, 2] > 0.9e5)
    assert len(trail) in (31, 32, 33)
    assert trail.mean() == pytest.approx(99.5, abs=1)
    np.testing.assert_array_equal(found[:, [0, 1, 3, 4]], electrons[:, [0, 1, 3, 4]])


def test_a_saturated_star_is_read_as_full_well_in_its_core_and_along_its_column():
    detector = make_detector((SIDE, SIDE), EVEN, seed=1)
    seen = frame(sky=500.0)
    expected = background(seen) + points(seen, np.array([50.0]), np.array([100.0]), np.array([2e7]))
    raw = read_out(expected, detector, exposure_time=45.0, rng=np.random.default_rng(1), has_cosmic_rays=False)
    full = raw >= 0.99 * EVEN.saturation
    assert raw.max() < 65535
    assert full[:, 50].sum() > 2 * full[100].sum() > 4
    assert not full[:, 150:].any()


def test_cosmic_rays_hit_few_pixels_and_their_number_grows_with_the_exposure_time():
    hits = cosmic_rays((500, 500), 40, np.random.default_rng(4))
    assert 60 < np.count_nonzero(hits) < 1500
    assert hits.min() == 0 and 5e3 < hits.max() < 1e6
    p = EVEN.model_copy(update={"cosmic_rays": 50.0})
    detector = make_detector((300, 300), p, seed=1)
    sky = np.full((300, 300), 100.0, np.float32)
    touched = []
    for seconds in (5.0, 50.0):
        raw = read_out(sky, detector, exposure_time=seconds, rng=np.random.default_rng(1))
        touched.append(np.sum(subtract_overscan(raw, detector.amplifiers) > 100 / 1.62 + 60))
    assert touched[1] > 4 * max(touched[0], 1)
