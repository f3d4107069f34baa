"""Fluxes brought from one zero point to another, which may vary over the images."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from processing.algorithms.resampling import pixel_map
from processing.steps.flux_scale import FluxScale
from products.models import ZeroPoint

SHAPE = (300, 200)
TILTED = {"shape": [300, 200], "coefficients": [[0.0, 0.1], [0.05, 0.0]]}


def wcs(shift: float) -> WCS:
    found = WCS(naxis=2)
    found.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    found.wcs.crval, found.wcs.cdelt = [30.0, -20.0], [-1e-4, 1e-4]
    found.wcs.crpix = [100 + shift, 150]
    return found


@pytest.fixture(scope="module")
def shifted():
    """From an image to one of the same sky in which everything lies 10 px further along x."""
    return pixel_map(wcs(0), SHAPE, wcs(10), SHAPE)


def test_zero_points_that_do_not_vary_give_one_number(shifted):
    scale = FluxScale(ZeroPoint(zp=28.0), ZeroPoint(zp=27.5), shifted)
    assert scale.plane(SHAPE) == scale.at(3, 4) == pytest.approx(10**0.2)


@pytest.mark.parametrize("which", ["here", "there"])
def test_a_source_has_one_magnitude_in_both_images(which, shifted):
    points = {"here": ZeroPoint(zp=28.0), "there": ZeroPoint(zp=27.5)}
    points[which].surface = TILTED
    scale = FluxScale(**points, mapping=shifted)
    x, y = np.array([20.0, 100.0, 150.0]), np.array([30.0, 80.0, 290.0])
    flux_there = np.array([100.0, 1000.0, 5000.0])
    magnitude = points["there"].at(x + 10, y) - 2.5 * np.log10(flux_there)
    flux_here = flux_there * scale.at(x, y)
    np.testing.assert_allclose(points["here"].at(x, y) - 2.5 * np.log10(flux_here), magnitude, atol=1e-6)
    plane = scale.plane(SHAPE)
    assert plane.shape == SHAPE and plane.dtype == np.float32
    np.testing.assert_allclose(plane[y.astype(int), x.astype(int)], scale.at(x, y), rtol=1e-4)


def test_beyond_the_image_the_zero_point_is_that_of_its_edge():
    point = ZeroPoint(zp=28.0, surface=TILTED)
    assert point.at(-50, 0) == point.at(0, 0) == pytest.approx(28 - 0.15)
    assert point.at(199, 9999) == pytest.approx(28.15)


def test_a_magnitude_is_that_of_its_place():
    point = ZeroPoint(zp=28.0, zp_error=0.0, surface=TILTED)
    assert point.magnitude(100.0, 1.0, 0, 0)[0] == pytest.approx(23 - 0.15)
    assert point.magnitude(100.0, 1.0, 199, 0)[0] == pytest.approx(23 - 0.05)
    assert point.magnitude(-1.0, 1.0, 0, 0) == (None, None)
