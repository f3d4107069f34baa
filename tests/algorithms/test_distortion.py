"""A distortion that a header knows is kept where few stars match, and a telescope moves without it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from processing.algorithms.distortion import (
    displacements,
    fit_kept,
    has_distortion,
    local_matrix,
    pointed_at,
    polynomial_of,
    with_distortion,
)
from processing.algorithms.sip import tan_header
from processing.algorithms.sky import from_tangent_plane, tangent_plane
from processing.algorithms.wcs_fit import AstrometryParameters, PixelStars, SkyStars, solve_wcs

SHAPE = (4096, 2048)
CENTRE = np.array([1023.5, 2047.5])
# Like the edge of a camera of two degrees: cubic terms of the distance (degrees) from the boresight, far off the CCD.
TPV = {1: {0: 6e-4, 1: 1.006, 2: -2e-4, 4: 1.5e-3, 5: 2e-4, 7: -2.4e-3, 9: -3.5e-3},
       2: {0: 3e-4, 1: 1.006, 2: 3e-4, 4: -1.7e-3, 6: 1e-4, 7: -1e-2, 9: -3.8e-3}}  # fmt: skip
POLYNOMIAL = {
    (2, 0): (2e-7, 1e-7),
    (1, 1): (0.0, -3e-7),
    (0, 2): (1e-7, 0.0),
    (3, 0): (3e-10, 0.0),
    (1, 2): (3e-10, 0.0),
}


def tpv(ra: float = 187.0, dec: float = 25.5, *, rotation: float = 0.0) -> WCS:
    """A CCD 0.8° from its boresight."""
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    header = tan_header((ra, dec), (-9000.0, 6000.0), 0.263 / 3600 * np.array([[-c, s], [s, c]]))
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    for axis, values in TPV.items():
        for number, value in values.items():
            header[f"PV{axis}_{number}"] = value
    return WCS(header)


def sip(ra: float = 187.0, dec: float = 25.5) -> WCS:
    header = tan_header((ra, dec), CENTRE, 0.263 / 3600 * np.array([[-1.0, 0.0], [0.0, 1.0]]))
    return WCS(with_distortion(WCS(header), POLYNOMIAL, SHAPE))


def stars_of(true: WCS, count: int, seed: int, noise: float = 0.02) -> tuple[PixelStars, SkyStars]:
    rng = np.random.default_rng(seed)
    xy = rng.uniform([0, 0], [2047, 4095], (count, 2))
    sky = true.all_pix2world(xy, 0)
    flux = rng.pareto(1.0, count) + 1
    here = xy + rng.normal(0, noise, xy.shape)
    stars = PixelStars(here[:, 0], here[:, 1], flux, np.full(count, noise))
    return stars, SkyStars(sky[:, 0], sky[:, 1], 20 - 2.5 * np.log10(flux))


def off(found: WCS, true: WCS) -> float:
    """The largest difference on the CCD, px."""
    x, y = (part.ravel() for part in np.meshgrid(np.linspace(0, 2047, 9), np.linspace(0, 4095, 9)))
    back = np.array(true.all_world2pix(*found.all_pix2world(x, y, 0), 0))
    return float(np.hypot(*(back - [x, y])).max())


@pytest.mark.parametrize("make", [tpv, sip])
@pytest.mark.parametrize("seed", range(3))
def test_with_few_stars_the_distortion_of_the_header_is_kept(make, seed):
    true = make()
    stars, catalog = stars_of(true, 11, seed)
    xi, eta = np.random.default_rng(seed).uniform(-40, 40, 2)
    guess = make(*map(float, from_tangent_plane(xi, eta, *true.wcs.crval)))
    found = solve_wcs(stars, catalog, guess, SHAPE, AstrometryParameters())
    assert found.kind == "kept" and not found.warnings
    # An affine transformation of eleven stars of 0.02 px; without the distortion it would be off by pixels.
    assert off(found.wcs, true) < 0.15
    assert found.header["CTYPE1"] == ("RA---TPV" if make is tpv else "RA---TAN-SIP")
    plane = WCS(tan_header(local_matrix(guess, *CENTRE)[0], CENTRE, local_matrix(guess, *CENTRE)[1] / 3600))
    assert off(plane, guess) > 1


def test_tpv_cards_are_written_as_they_were_read():
    true = tpv(rotation=0.2)
    stars, catalog = stars_of(true, 30, 5, noise=0.001)
    guess = tpv(187.004, 25.497)
    kept = fit_kept(guess, np.c_[stars.x, stars.y], catalog.ra, catalog.dec, np.full(30, 1e-3), centre=CENTRE)
    header = kept.header(SHAPE)
    for axis, values in TPV.items():
        assert {number: header[f"PV{axis}_{number}"] for number in values} == pytest.approx(values, rel=1e-12)
    pixels = np.random.default_rng(1).uniform(0, 2000, (50, 2))
    np.testing.assert_allclose(WCS(header).all_pix2world(pixels, 0), kept.sky(pixels), atol=1e-10)


def test_where_many_stars_know_better_the_distortion_of_the_header_is_replaced():
    true = sip()
    stars, catalog = stars_of(true, 400, 7)
    wrong = dict(POLYNOMIAL)
    wrong[(3, 0)] = (-6e-10, 0.0)
    header = tan_header(true.wcs.crval, CENTRE, 0.263 / 3600 * np.array([[-1.0, 0.0], [0.0, 1.0]]))
    guess = WCS(with_distortion(WCS(header), wrong, SHAPE))
    found = solve_wcs(stars, catalog, guess, SHAPE, AstrometryParameters())
    assert found.kind != "kept" and off(found.wcs, true) < 0.03


@pytest.mark.parametrize("dec", [0.0, 60.0, 89.9])
def test_a_telescope_moves_without_turning_its_camera(dec):
    wcs = tpv(187.0, dec)
    here, before = local_matrix(wcs, *CENTRE)
    ra, there = map(float, from_tangent_plane(120.0, 90.0, *here))
    moved = pointed_at(wcs, CENTRE, ra, there)
    assert moved.all_pix2world([CENTRE], 0)[0] == pytest.approx((ra, there), abs=1e-9)
    # Beside the pole ra and dec turn quickly, what is seen does not: two pixels lie as they did, moved by the same.
    pair = CENTRE + np.array([[0.0, 0.0], [0.0, 500.0]])
    old = np.array(tangent_plane(*wcs.all_pix2world(pair, 0).T, *here))
    new = np.array(tangent_plane(*moved.all_pix2world(pair, 0).T, *here))
    assert new[:, 1] - new[:, 0] == pytest.approx(old[:, 1] - old[:, 0], abs=0.002)
    assert np.linalg.det(local_matrix(moved, *CENTRE)[1]) == pytest.approx(np.linalg.det(before), rel=1e-6)


def test_a_polynomial_comes_back_from_the_header_that_it_was_written_to():
    found = polynomial_of(sip(), SHAPE, 3)
    assert np.abs(displacements(found, SHAPE) - displacements(POLYNOMIAL, SHAPE)).max() < 1e-4
    assert has_distortion(sip()) and has_distortion(tpv())
    assert with_distortion(tpv(), POLYNOMIAL, SHAPE) is None  # what a header knows goes before
