"""Astrometry finds its field, fits it to the noise, and refuses what it cannot trust."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS
from numpy.polynomial.polynomial import polyval2d

from processing.algorithms.sky import apply_proper_motion, from_tangent_plane, tangent_plane
from processing.algorithms.wcs_fit import (
    AstrometryParameters,
    PixelStars,
    SkyStars,
    footprint,
    pixel_scale_arcsec,
    solve_wcs,
    wcs_from_header,
)
from processing.errors import BadInput, NoSolution
from tests.benchmarks import _astrometry_fields as fields

SHAPE = (1024, 1024)
SCALE = 0.4
PARAMETERS = AstrometryParameters()
CAMERAS = ("decam", "ls4")


def tan(ra=150.0, dec=-30.0, *, rotation=0.0, scale=SCALE, shape=SHAPE):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = scale / 3600 * np.array([[-c, s], [s, c]])
    return wcs


def distorted(xy, strength):
    """Radial distortion of `strength` px at the corner."""
    centre = (np.array(SHAPE[::-1]) - 1) / 2
    r2 = np.sum((xy - centre) ** 2, axis=1, keepdims=True) / np.sum(centre**2)
    return xy + (xy - centre) / np.hypot(*centre) * r2 * strength


def field(seed, *, n=250, spurious=0.3, noise=0.03, distortion=0.0, ra=150.0, dec=-30.0, rotation=0.0, scale=SCALE):
    """Detections and catalogue of one field; `true` maps pixels without noise to the sky."""
    rng = np.random.default_rng(seed)
    true = tan(ra, dec, rotation=rotation, scale=scale)
    margin = 200
    xy = rng.uniform(-margin, SHAPE[0] + margin, (int(n * (1 + 2 * margin / SHAPE[0]) ** 2), 2))
    mag = rng.exponential(1.5, len(xy)) * -1 + 20
    sky = true.all_pix2world(distorted(xy, distortion), 0)
    seen = np.all((xy > 0) & (xy < SHAPE[0] - 1), axis=1)
    here = xy[seen] + rng.normal(0, noise, (seen.sum(), 2))
    extra = rng.uniform(0, SHAPE[0], (int(spurious / (1 - spurious) * seen.sum()), 2))
    flux = 10 ** (-0.4 * (np.r_[mag[seen], rng.choice(mag, len(extra))] - 25))
    both = np.r_[here, extra]
    stars = PixelStars(both[:, 0], both[:, 1], flux, np.full(len(both), noise))
    return stars, SkyStars(sky[:, 0], sky[:, 1], mag), lambda p: true.all_pix2world(distorted(p, distortion), 0)


def error_arcsec(solution, true, *, shape=SHAPE):
    grid = np.stack(np.meshgrid(np.linspace(20, shape[1] - 20, 9), np.linspace(20, shape[0] - 20, 9)), -1).reshape(
        -1, 2
    )
    found, truth = solution.wcs.all_pix2world(grid, 0), true(grid)
    xi, eta = tangent_plane(found[:, 0], found[:, 1], *truth[40])
    xi0, eta0 = tangent_plane(truth[:, 0], truth[:, 1], *truth[40])
    return float(np.sqrt(np.mean((xi - xi0) ** 2 + (eta - eta0) ** 2) / 2))


@pytest.mark.parametrize("seed", range(6))
def test_a_field_with_a_wrong_pointing_and_rotation_is_solved_to_the_noise(seed):
    rng = np.random.default_rng(seed + 100)
    ra, dec = rng.uniform(0, 360), rng.uniform(-70, 70)
    rotation = rng.uniform(-0.5, 0.5)
    stars, catalog, true = field(seed, ra=ra, dec=dec, rotation=rotation)
    dx, dy = rng.uniform(-50, 50, 2)
    guess = tan(*map(float, from_tangent_plane(dx, dy, ra, dec)))
    found = solve_wcs(stars, catalog, guess, SHAPE, PARAMETERS)
    assert found.n_matches > 200
    # 250 stars of 0.03 px and a cubic with 10 terms: 0.03 · √(10 / 250) px on average, more at the edge
    assert error_arcsec(found, true) < 3 * 0.03 * np.sqrt(10 / 250) * SCALE
    assert found.rms_arcsec == pytest.approx(0.03 * SCALE, rel=0.25)


def test_distortion_is_fitted():
    stars, catalog, true = field(3, distortion=4.0)
    found = solve_wcs(stars, catalog, tan(), SHAPE, PARAMETERS)
    assert found.order == 3
    assert error_arcsec(found, true) < 0.02 * SCALE


@pytest.mark.parametrize("seed", range(4))
def test_few_stars_among_many_spurious_detections_are_enough(seed):
    stars, catalog, true = field(seed, n=60, spurious=0.85)
    found = solve_wcs(stars, catalog, tan(150.006, -30.004), SHAPE, PARAMETERS)
    assert error_arcsec(found, true) < 0.05 * SCALE


def test_a_wrong_pixel_scale_is_found():
    stars, catalog, true = field(1, scale=SCALE * 1.015)
    assert error_arcsec(solve_wcs(stars, catalog, tan(), SHAPE, PARAMETERS), true) < 0.03 * SCALE


def test_pixels_come_back_through_the_sky():
    stars, catalog, _ = field(5, distortion=3.0)
    wcs = solve_wcs(stars, catalog, tan(), SHAPE, PARAMETERS).wcs
    xy = np.random.default_rng(0).uniform(0, SHAPE[0] - 1, (200, 2))
    u, v = (wcs.wcs_world2pix(wcs.all_pix2world(xy, 0), 0) - (wcs.wcs.crpix - 1)).T
    back = np.stack([polyval2d(u, v, wcs.sip.ap) + u, polyval2d(u, v, wcs.sip.bp) + v], axis=1) + wcs.wcs.crpix - 1
    assert np.abs(back - xy).max() < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_field_is_refused(seed):
    stars, _, _ = field(seed)
    _, other, _ = field(seed + 50)
    with pytest.raises(NoSolution, match="stars match"):
        solve_wcs(stars, other, tan(), SHAPE, PARAMETERS)


def test_too_few_detections_are_refused_with_their_number():
    stars, catalog, _ = field(0)
    few = PixelStars(stars.x[:4], stars.y[:4], stars.flux[:4], stars.error[:4])
    with pytest.raises(NoSolution, match="4 detections"):
        solve_wcs(few, catalog, tan(), SHAPE, PARAMETERS)


def test_a_field_on_ra_0_and_one_at_the_pole_are_no_special_cases():
    for ra, dec in ((0.0, 10.0), (40.0, 89.95)):
        stars, catalog, true = field(2, ra=ra, dec=dec)
        assert error_arcsec(solve_wcs(stars, catalog, tan(ra, dec), SHAPE, PARAMETERS), true) < 0.03 * SCALE


@pytest.mark.parametrize("key", ["CRVAL1", "CD1_1", "CRPIX2"])
def test_a_wcs_with_a_number_that_is_not_finite_is_refused(key):
    header = tan().to_header()
    header["CD1_1"] = header["CD2_2"] = 1e-4
    cards = {name: header[name] for name in header}
    for value in (float("nan"), "west", ""):
        cards[key] = value
        with pytest.raises(BadInput, match=key):
            wcs_from_header(cards)


def test_a_header_without_a_wcs_is_refused():
    from astropy.io import fits

    with pytest.raises(BadInput, match="no celestial"):
        wcs_from_header(fits.Header())


def test_scale_and_footprint_are_those_of_the_wcs():
    assert pixel_scale_arcsec(tan(), SHAPE) == pytest.approx(SCALE, rel=1e-6)
    corners = footprint(tan(), SHAPE)
    assert np.ptp(corners[:, 1]) == pytest.approx(SHAPE[0] * SCALE / 3600, rel=1e-3)


def test_the_tangent_plane_and_its_inverse_agree():
    rng = np.random.default_rng(1)
    xi, eta = rng.uniform(-3000, 3000, (2, 50))
    for ra0, dec0 in ((0.0, 0.0), (10.0, 89.9), (200.0, -60.0)):
        back = tangent_plane(*from_tangent_plane(xi, eta, ra0, dec0), ra0, dec0)
        np.testing.assert_allclose(back, (xi, eta), atol=1e-6)


def test_proper_motion_moves_along_the_sky():
    ra, dec = apply_proper_motion(
        np.array([10.0]), np.array([60.0]), np.array([1000.0]), np.array([-500.0]), 2016.0, 61041.0
    )
    years = 2000 + (61041.0 - 51544.5) / 365.25 - 2016
    assert (ra[0] - 10.0) * 3600 * np.cos(np.radians(60)) == pytest.approx(years, rel=1e-9)
    assert (dec[0] - 60.0) * 3600 == pytest.approx(-0.5 * years, rel=1e-9)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("seed", range(6))
def test_a_ccd_is_solved_whose_header_is_off_in_everything(camera, seed):
    """By 60 arcsec, half a degree, two per cent and any declared flip; what hundreds give, the benchmark tells."""
    field = fields.list_field(camera, seed)
    found = solve_wcs(field.stars, field.catalog, field.guess, fields.SHAPE, PARAMETERS, flips=field.flips)
    assert field.worst(found) < 0.5
    assert field.rms(found) < 3 * 1000 * found.error_arcsec  # what it says of itself
    assert field.worst(found) * field.projection.scale < 8 * found.largest_error_arcsec + 0.01


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("seed", range(3))
def test_forty_stars_are_found_where_nine_of_ten_detections_are_spurious(camera, seed):
    field = fields.list_field(camera, 100 + seed, in_image=40, spurious=0.9)
    assert len(field.stars.x) > 250
    found = solve_wcs(field.stars, field.catalog, field.guess, fields.SHAPE, PARAMETERS, flips=field.flips)
    assert field.worst(found) < 1


def test_a_flip_that_the_instrument_does_not_declare_is_left_to_the_blind_search():
    mirrored = next(f for f in (fields.list_field("decam", seed) for seed in range(5, 30)) if is_mirrored(f))
    believed = AstrometryParameters(is_blind_allowed=False)
    with pytest.raises(NoSolution):
        solve_wcs(mirrored.stars, mirrored.catalog, mirrored.guess, fields.SHAPE, believed)
    found = solve_wcs(mirrored.stars, mirrored.catalog, mirrored.guess, fields.SHAPE, believed, flips=mirrored.flips)
    assert mirrored.worst(found) < 0.5 and "counted the other way" in found.warnings[-1]


def is_mirrored(field):
    """Whether the parity of the header is wrong: the truth has east to the left where north is up."""
    return np.linalg.det(field.guess.pixel_scale_matrix) > 0


def refused(field, match, **changed):
    field = replace(field, **changed)
    with pytest.raises(NoSolution, match=match) as caught:
        solve_wcs(field.stars, field.catalog, field.guess, fields.SHAPE, PARAMETERS, flips=field.flips)
    assert {"detections", "catalog_stars"} <= set(caught.value.details)


def test_a_wrong_pixel_scale_is_refused():
    field = fields.list_field("ls4", 3, in_image=300, spurious=0.3)
    for factor in (0.5, 1.3, 2.0):
        wrong = field.guess.deepcopy()
        wrong.wcs.cd = wrong.wcs.cd * factor
        refused(field, "stars match", guess=wrong)


def test_a_header_that_points_elsewhere_is_refused_with_how_many_stars_are_there():
    field = fields.list_field("decam", 4, in_image=300, spurious=0.3)
    elsewhere = field.guess.deepcopy()
    elsewhere.wcs.crval = [(field.projection.ra + 90) % 360, -field.projection.dec / 2]
    refused(field, "0 catalogue stars are near", guess=elsewhere)


def test_pure_noise_is_refused():
    field = fields.list_field("decam", 6, in_image=500, spurious=0.3)
    rng = np.random.default_rng(1)
    for count in (30, 3000):
        xy = rng.uniform(0, 1, (2, count)) * np.array(fields.SHAPE[::-1])[:, None]
        noise = PixelStars(*xy, rng.pareto(2, count) + 1, np.full(count, 0.2))
        refused(field, "stars match", stars=noise)


def test_stars_that_are_crowded_to_confusion_are_refused():
    """So dense on both sides that everything has a neighbour, whatever the shift."""
    field = fields.list_field("ls4", 7, in_image=300, spurious=0.0)
    rng = np.random.default_rng(2)
    count = 60_000
    xy = rng.uniform(0, 1, (2, count)) * np.array(fields.SHAPE[::-1])[:, None]
    crowd = PixelStars(*xy, rng.pareto(2, count) + 1, np.full(count, 0.3))
    sky = field.guess.all_pix2world(*(rng.uniform(0, 1, (2, count)) * np.array(fields.SHAPE[::-1])[:, None]), 0)
    refused(field, "by chance|match", stars=crowd, catalog=SkyStars(*sky, rng.uniform(15, 20, count)))


def test_positions_that_are_not_finite_are_left_out():
    field = fields.list_field("decam", 8, in_image=200, spurious=0.2)
    x, ra = field.stars.x.copy(), field.catalog.ra.copy()
    x[::7], ra[::5] = np.nan, np.inf
    spoiled = replace(field, stars=replace(field.stars, x=x), catalog=replace(field.catalog, ra=ra))
    found = solve_wcs(spoiled.stars, spoiled.catalog, field.guess, fields.SHAPE, PARAMETERS, flips=field.flips)
    assert field.worst(found) < 0.5
    refused(field, "0 detections", stars=replace(field.stars, x=np.full(len(x), np.nan)))


def test_matches_in_a_corner_of_the_image_only_are_no_solution_for_all_of_it():
    field = fields.list_field("decam", 9, in_image=400, spurious=0.0)
    ny, nx = fields.SHAPE
    here = (field.stars.x < 0.25 * nx) & (field.stars.y < 0.25 * ny)
    stars = PixelStars(*(values[here] for values in vars(field.stars).values()))
    noise = np.random.default_rng(1).normal(0, 0.3, here.sum())
    refused(field, "cover 2.% of the columns", stars=replace(stars, x=stars.x + noise, error=np.full(here.sum(), 0.3)))


def test_catalogue_errors_weigh_the_stars():
    """Half of the catalogue is a hundred times worse and says so."""
    field = fields.list_field("decam", 10, in_image=400, spurious=0.0)
    rng = np.random.default_rng(3)
    n = len(field.catalog.ra)
    error = np.where(rng.uniform(size=n) < 0.5, 0.06, 0.0005)
    dec = field.catalog.dec + rng.normal(0, 1, n) * error / 3600
    told, silent = (
        solve_wcs(
            field.stars,
            replace(field.catalog, dec=dec, error=one),
            field.guess,
            fields.SHAPE,
            PARAMETERS,
            flips=field.flips,
        )
        for one in (error, None)
    )
    assert field.rms(told) < 0.7 * field.rms(silent)


def test_refraction_by_colour_is_fitted_and_the_solution_is_that_of_the_reference_colour():
    field = fields.list_field("decam", 12, in_image=600, spurious=0.2)
    rng = np.random.default_rng(4)
    zenith = 1.2 * np.array([0.6, 0.8])
    color = np.where(rng.uniform(size=len(field.catalog.ra)) < 0.9, rng.normal(0.9, 0.5, len(field.catalog.ra)), np.nan)
    # Blue stars are seen nearer to the zenith: -0.03 arcsec per magnitude and tan z.
    shift = -0.03 * np.nan_to_num(color - PARAMETERS.reference_color)[:, None] * zenith
    seen = from_tangent_plane(*shift.T, field.catalog.ra, field.catalog.dec)
    x, y = field.projection.pixels(*seen)
    snr_error = 0.01
    ny, nx = fields.SHAPE
    inside = (x > 0) & (y > 0) & (x < nx - 1) & (y < ny - 1)
    here = np.c_[x, y][inside] + rng.normal(0, snr_error, (inside.sum(), 2))
    stars = PixelStars(
        here[:, 0], here[:, 1], 10 ** (-0.4 * field.catalog.mag[inside]), np.full(inside.sum(), snr_error)
    )
    catalog = replace(field.catalog, color=color)
    found = solve_wcs(stars, catalog, field.guess, fields.SHAPE, PARAMETERS, flips=field.flips, zenith=zenith)
    assert found.refraction == pytest.approx(-0.03, abs=5 * found.refraction_error)
    assert found.refraction_error < 0.001
    without = solve_wcs(stars, catalog, field.guess, fields.SHAPE, PARAMETERS, flips=field.flips)
    assert without.refraction is None
    assert field.rms(found) < 0.7 and field.rms(without) > 2  # mas; the stars are redder than the reference by 0.1 mag
    assert found.rms_arcsec < 0.8 * without.rms_arcsec


def test_spellings_of_degrees_that_wcslib_refuses_are_read():
    header = tan().to_header()
    header["CUNIT1"] = header["CUNIT2"] = "degree"
    assert pixel_scale_arcsec(wcs_from_header(header), SHAPE) == pytest.approx(SCALE, rel=1e-6)
    assert header["CUNIT1"] == "degree"  # what was given stays as it was
