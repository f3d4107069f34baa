"""TAN-SIP: a polynomial solution is what its header says, forth and back."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from processing.algorithms.polynomials import Basis, terms
from processing.algorithms.sip import SipModel, fit_sip
from processing.algorithms.sky import from_tangent_plane

SHAPE = (1024, 2048)
CENTRE = np.array([1023.5, 511.5])
SCALE = 0.6  # arcsec a pixel


def truth(xy: np.ndarray, order: int, crval: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A rotated plane with distortion up to `order`, some pixels at the corners."""
    u, v = ((xy - CENTRE) / 1000).T
    bend = np.zeros((2, len(xy)))
    if order > 1:
        bend += np.array([2.0 * u * v, 1.5 * u**2 - v**2])
    if order > 2:
        bend += np.array([1.2 * u**3, -0.8 * u * v**2 + 0.5 * v**3])
    turn = np.radians(12.0)
    xi = -((xy[:, 0] - CENTRE[0] + bend[0]) * np.cos(turn) - (xy[:, 1] - CENTRE[1] + bend[1]) * np.sin(turn))
    eta = (xy[:, 0] - CENTRE[0] + bend[0]) * np.sin(turn) + (xy[:, 1] - CENTRE[1] + bend[1]) * np.cos(turn)
    return from_tangent_plane(xi * SCALE, eta * SCALE, *crval)


def fitted(
    order: int, crval: tuple[float, float] = (150.0, -33.0), noise: float = 0.0, count: int = 400, seed: int = 1
):
    rng = np.random.default_rng(seed)
    xy = rng.uniform([0, 0], [SHAPE[1], SHAPE[0]], (count, 2))
    ra, dec = truth(xy, order, crval)
    seen = xy + rng.normal(0, noise, xy.shape) if noise else xy
    start = np.array(crval) + np.array([0.003, -0.002])  # the header is ten arcsec off
    return (
        xy,
        ra,
        dec,
        fit_sip(
            seen, ra, dec, np.full(count, max(noise, 1e-6) * SCALE), centre=CENTRE, crval=start, basis=Basis(order)
        ),
    )


def corners() -> np.ndarray:
    x, y = np.meshgrid(np.linspace(-0.5, SHAPE[1] - 0.5, 30), np.linspace(-0.5, SHAPE[0] - 0.5, 20))
    return np.c_[x.ravel(), y.ravel()]


def test_terms_begin_with_the_constant_and_the_linear_ones():
    assert terms(2) == [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    assert len(terms(3)) == 10


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("crval", [(150.0, -33.0), (0.01, 0.0), (200.0, 84.0)])
def test_the_header_is_the_solution_and_pixels_come_back(order, crval):
    model = fitted(order, crval)[-1]
    wcs = WCS(model.header(SHAPE))
    pixels = corners()
    sky = wcs.all_pix2world(pixels, 0)
    ra, dec = truth(pixels, order, crval)
    distance = np.hypot((sky[:, 0] - ra + 180) % 360 - 180, 0) * np.cos(np.radians(dec))
    assert np.max(np.hypot(distance, sky[:, 1] - dec)) * 3600 / SCALE < 1e-4  # px
    assert np.max(np.abs(wcs.all_world2pix(sky, 0) - pixels)) < 1e-4


@pytest.mark.parametrize("order", [2, 3])
def test_the_inverse_polynomial_brings_pixels_back_to_a_hundredth(order):
    model = fitted(order)[-1]
    header = model.header(SHAPE)
    assert header["CTYPE1"] == "RA---TAN-SIP" and header["AP_ORDER"] == order + 1
    wcs, pixels = WCS(header), corners()
    u, v = (wcs.wcs_world2pix(wcs.all_pix2world(pixels, 0), 0) - CENTRE).T  # without distortion
    exponents = terms(order + 1)
    back = [
        start + sum(header[f"{name}_{i}_{j}"] * u**i * v**j for i, j in exponents)
        for name, start in (("AP", u), ("BP", v))
    ]
    assert np.max(np.abs(np.transpose(back) + CENTRE - pixels)) < 0.01


def test_the_reference_point_moves_to_where_the_centre_points():
    _, _, _, model = fitted(2)
    np.testing.assert_allclose(model.crval, (150.0, -33.0), atol=1e-8)
    np.testing.assert_array_equal(model.coefficients[0], 0)


def test_residuals_are_the_noise_and_left_out_ones_are_larger():
    noise, count = 0.05, 60
    *_, model = fitted(3, noise=noise, count=count)
    expected = noise * SCALE * np.sqrt(1 - len(terms(3)) / count)
    assert model.residuals.std() == pytest.approx(expected, rel=4 / np.sqrt(4 * count))
    left_out, error = model.fitted.errors()
    assert left_out.std() > noise * SCALE * 0.9
    assert error == pytest.approx(noise * SCALE * np.sqrt(len(terms(3)) / count), rel=0.25)
    assert np.all(np.abs(left_out) >= np.abs(model.residuals))


def test_the_solution_is_better_than_its_stars_by_the_root_of_their_number():
    noise, count = 0.05, 400
    xy, ra, dec, model = fitted(2, noise=noise, count=count)
    sky = WCS(model.header(SHAPE)).all_pix2world(xy, 0)
    error = np.hypot((sky[:, 0] - ra) * np.cos(np.radians(dec)), sky[:, 1] - dec) * 3600 / SCALE
    assert np.sqrt(np.mean(error**2) / 2) < 1.5 * noise * np.sqrt(len(terms(2)) / count)


@pytest.mark.parametrize("told", [True, False])
def test_a_star_with_an_infinite_error_or_far_from_all_others_has_no_say(told):
    xy, ra, dec, model = fitted(1)
    spoiled = dec.copy()
    spoiled[:50] += 0.01
    sigma = np.full(len(dec), 1e-6)
    if told:
        sigma[:50] = np.inf
    other = fit_sip(xy, ra, spoiled, sigma, centre=CENTRE, crval=np.array([150.0, -33.0]), basis=Basis(1))
    np.testing.assert_allclose(other.coefficients, model.coefficients, atol=1e-6)
    assert isinstance(other, SipModel)
