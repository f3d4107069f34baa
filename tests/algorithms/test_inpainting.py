"""Filling: what is masked continues what is around it, what is not stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.inpainting import REACH, fill


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).normal(100, 3, (120, 140)).astype(np.float32)


def test_good_pixels_are_not_touched_and_the_input_stays(image):
    mask = np.random.default_rng(2).random(image.shape) < 0.1
    spoiled = np.where(mask, np.nan, image).astype(np.float32)
    before = spoiled.copy()
    found = fill(spoiled, mask)
    np.testing.assert_array_equal(found[~mask], image[~mask])
    np.testing.assert_array_equal(spoiled, before)
    assert np.isfinite(found).all()
    assert found.dtype == np.float32


def test_without_a_mask_a_copy_comes_back(image):
    found = fill(image, np.zeros(image.shape, bool))
    np.testing.assert_array_equal(found, image)
    assert found is not image


def test_holes_in_noise_are_filled_with_no_more_than_noise(image):
    mask = np.zeros(image.shape, bool)
    mask[:, 70] = mask[40:45, 20:25] = True
    found = fill(np.where(mask, 1e9, image), mask)
    # Four pixels at most are averaged, so that what is filled in scatters no more than a pixel does.
    assert abs(found[mask].mean() - 100) < 4 * 3 / np.sqrt(mask.sum() / 2)
    assert 1 < found[mask].std() < 3.2


def test_a_slope_is_continued_over_a_bad_column():
    rows, columns = np.indices((60, 60))
    slope = (2.0 * columns + 0.5 * rows).astype(np.float32)
    mask = np.zeros(slope.shape, bool)
    mask[:, 30] = True
    np.testing.assert_allclose(fill(np.where(mask, 0, slope), mask)[:, 30], slope[:, 30], atol=1e-4)


def test_nearer_pixels_count_by_the_inverse_square_of_their_distance():
    line = np.zeros((1, 9), np.float32)
    line[0, 2], line[0, 6] = 10, 100
    mask = np.zeros((1, 9), bool)
    mask[0, 3:6] = True
    expected = (10 / 1 + 100 / 9) / (1 + 1 / 9)
    assert fill(line, mask)[0, 3] == pytest.approx(expected, rel=1e-5)


def test_far_inside_a_gap_stands_the_background(image):
    mask = np.zeros((200, 200), bool)
    mask[20:180, 20:180] = True
    found = fill(np.full((200, 200), 50, np.float32), mask, background=7.0)
    assert found[100, 100] == 7.0
    assert found[20 + REACH - 2, 100] == 50.0


def test_an_image_without_good_pixels_is_background():
    found = fill(np.full((10, 10), np.nan, np.float32), np.ones((10, 10), bool), background=3.0)
    assert np.all(found == 3.0)
