"""Astrometry finds its field, fits it to the noise, and refuses what it cannot trust."""

from __future__ import annotations

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

SHAPE = (1024, 1024)
SCALE = 0.4
PARAMETERS = AstrometryParameters()


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
