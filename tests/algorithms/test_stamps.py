"""Stamps: where they are cut, what stands beyond the edge, and what lies between their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.stamps import (
    cut_stamps,
    nearest_pixel,
    odd_size,
    psf_stamps,
    sample_stamps,
    shift_stamps,
    spline_coefficients,
    spline_weights,
)
from processing.errors import BadInput
from tests.algorithms.pairs import MoffatPSF

PLANE = np.arange(20 * 30, dtype=np.int32).reshape(20, 30)


def gaussians(fwhm: float, dx: np.ndarray, dy: np.ndarray, half: int = 12) -> np.ndarray:
    v, u = np.indices((2 * half + 1, 2 * half + 1)) - half
    square = (u - dx[:, None, None]) ** 2 + (v - dy[:, None, None]) ** 2
    return np.exp(-4 * np.log(2) * square / fwhm**2)


def test_the_middle_of_a_stamp_is_the_pixel_nearest_to_its_position():
    stamps, centres = cut_stamps(PLANE, [10.4, 15.5, 3.5], [8.6, 4.49, 10.5], size=5)
    np.testing.assert_array_equal(centres, [[10, 9], [16, 4], [4, 11]])
    np.testing.assert_array_equal(stamps[:, 2, 2], PLANE[centres[:, 1], centres[:, 0]])
    np.testing.assert_array_equal(stamps[0], PLANE[7:12, 8:13])
    assert stamps.dtype == PLANE.dtype


def test_halves_go_up_so_that_no_two_of_them_share_a_pixel():
    np.testing.assert_array_equal(nearest_pixel([-0.5, 0.5, 1.5, 2.5]), [0, 1, 2, 3])


@pytest.mark.parametrize("x, y", [(0, 0), (29, 19), (0, 19), (-40, 5), (500, -500)])
def test_beyond_the_edge_stands_the_filling_and_nothing_of_the_other_side(x, y):
    stamp = cut_stamps(PLANE, [x], [y], size=7, fill=-1)[0][0]
    rows, columns = np.mgrid[y - 3 : y + 4, x - 3 : x + 4]
    inside = (rows >= 0) & (rows < 20) & (columns >= 0) & (columns < 30)
    np.testing.assert_array_equal(stamp[inside], PLANE[rows[inside], columns[inside]])
    assert np.all(stamp[~inside] == -1)


@pytest.mark.parametrize("size", [0, 4, -3])
def test_a_size_without_a_middle_pixel_is_refused(size):
    with pytest.raises(BadInput, match="odd"):
        cut_stamps(PLANE, [1], [1], size=size)


def test_no_position_gives_an_empty_stack_of_the_right_shape():
    stamps, centres = cut_stamps(PLANE, np.zeros(0), np.zeros(0), size=9)
    assert stamps.shape == (0, 9, 9) and centres.shape == (0, 2)
    assert sample_stamps(stamps.astype(float), np.zeros(0), np.zeros(0)).shape == (0,)


def test_stamps_are_copies():
    plane = PLANE.copy()
    cut_stamps(plane, [5], [5], size=3)[0][:] = -7
    np.testing.assert_array_equal(plane, PLANE)


@pytest.mark.parametrize("radius, size", [(3.0, 7), (3.1, 9), (0.0, 1)])
def test_an_odd_size_holds_its_circle(radius, size):
    assert odd_size(radius) == size


def test_an_even_psf_is_refused_and_others_sum_to_one():
    with pytest.raises(BadInput, match="even"):
        psf_stamps(lambda x, y: np.ones((4, 4)), np.array([1.0]), np.array([1.0]))
    found = psf_stamps(lambda x, y: np.full((3, 3), x), np.array([1.0, 5.0]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1)


@pytest.mark.parametrize("fwhm, tolerance", [(2.2, 0.008), (3.0, 0.001), (4.2, 2e-4)])
def test_values_between_pixels_are_those_of_the_profile(fwhm, tolerance):
    rng = np.random.default_rng(1)
    dx, dy = rng.uniform(-0.5, 0.5, (2, 60))
    stamps = gaussians(fwhm, np.zeros(60), np.zeros(60))
    expected = np.exp(-4 * np.log(2) * (dx**2 + dy**2) / fwhm**2)
    np.testing.assert_allclose(sample_stamps(stamps, dx, dy), expected, atol=tolerance)


@pytest.mark.parametrize("fwhm, tolerance", [(2.2, 0.02), (3.0, 0.002), (4.2, 2e-4)])
def test_a_shifted_profile_is_the_profile_elsewhere_with_the_same_sum(fwhm, tolerance):
    rng = np.random.default_rng(2)
    dx, dy = rng.uniform(-0.5, 0.5, (2, 40))
    stamps = gaussians(fwhm, np.zeros(40), np.zeros(40))
    moved = shift_stamps(stamps, dx, dy)
    np.testing.assert_allclose(moved, gaussians(fwhm, dx, dy), atol=tolerance)
    np.testing.assert_allclose(moved.sum(axis=(1, 2)), stamps.sum(axis=(1, 2)), rtol=1e-9)


def test_a_shift_of_nothing_changes_nothing():
    stamp = MoffatPSF(3.0).stamp(0, 0)[None]
    np.testing.assert_allclose(shift_stamps(stamp, np.zeros(1), np.zeros(1)), stamp, atol=1e-6)


@pytest.mark.parametrize("order", [3, 5])
def test_spline_weights_sum_to_one_and_pass_through_the_pixels(order):
    rng = np.random.default_rng(3)
    points = rng.uniform(4, 16, 50)
    np.testing.assert_allclose(spline_weights(points, 21, order=order).sum(axis=-1), 1, atol=1e-12)
    line = rng.normal(0, 1, (1, 21, 21))
    weights = spline_weights(np.arange(21.0), 21, order=order)
    inner = (weights @ spline_coefficients(line, order)[0] @ weights.T)[4:-4, 4:-4]
    np.testing.assert_allclose(inner, line[0, 4:-4, 4:-4], atol=0.01 if order == 5 else 0.05)


def test_spline_slopes_are_derivatives():
    points = np.linspace(5, 10, 37)
    step = 1e-5
    slopes = spline_weights(points, 21, derivative=1)
    numeric = (spline_weights(points + step, 21) - spline_weights(points - step, 21)) / (2 * step)
    np.testing.assert_allclose(slopes, numeric, atol=1e-7)
