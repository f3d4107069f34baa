"""Robust statistics: unbiased on noise, on integers too, and blind to outliers and gradients."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.statistics import (
    clipped_mean,
    clipped_std,
    difference_noise,
    half_sample_mode,
    mad_std,
    truncation_factor,
)

N = 400_000


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1, N)


@pytest.mark.parametrize("sigma", [2.5, 3.0, 4.0])
def test_clipping_takes_from_the_spread_what_the_formula_says(noise, sigma):
    kept = noise[np.abs(noise) <= sigma]
    assert truncation_factor(sigma) == pytest.approx(kept.std(), abs=3 / np.sqrt(2 * N))


def test_the_clipped_statistics_of_noise_are_its_own(noise):
    assert abs(clipped_mean(noise + 7) - 7) < 4 / np.sqrt(N)
    assert clipped_std(noise) == pytest.approx(1, abs=4 / np.sqrt(2 * N) + 0.001)


def test_outliers_hardly_move_the_clipped_statistics(noise):
    spoiled = noise.copy()
    spoiled[: N // 20] += 50
    assert abs(clipped_mean(spoiled)) < 0.01
    assert clipped_std(spoiled) == pytest.approx(1, abs=0.01)


def test_means_of_integer_data_are_not_quantised(noise):
    integers = np.rint(5 * noise + 100.3).astype(np.int16)
    assert clipped_mean(integers) == pytest.approx(100.3, abs=4 * 5 / np.sqrt(N))
    assert clipped_std(integers) == pytest.approx(np.sqrt(25 + 1 / 12), rel=0.005)


def test_rows_and_nan_are_treated_by_themselves(noise):
    table = noise[:4000].reshape(4, 1000) + np.arange(4)[:, None]
    table[2, 10], table[3] = np.nan, np.nan
    found = clipped_mean(table, axis=1)
    assert found.shape == (4,)
    np.testing.assert_allclose(found[:3], [0, 1, 2], atol=4 / np.sqrt(1000))
    assert np.isnan(found[3])


def test_nothing_has_no_statistics():
    for function in (clipped_mean, clipped_std, mad_std, half_sample_mode):
        assert np.isnan(function(np.zeros(0)))


def test_the_median_absolute_deviation_is_a_standard_deviation(noise):
    assert mad_std(3 * noise) == pytest.approx(3, abs=3 * 4 * 1.17 / np.sqrt(2 * N))


def test_the_mode_is_that_of_the_crowd_and_not_of_the_tail():
    rng = np.random.default_rng(2)
    widths = np.concatenate([rng.normal(4.2, 0.05, 200), rng.uniform(4.5, 12, 180)])
    assert half_sample_mode(widths) == pytest.approx(4.2, abs=0.05)
    assert half_sample_mode([3.0]) == 3.0
    assert half_sample_mode([1.0, 1.1, 5.0]) == pytest.approx(1.05)


def test_pixel_differences_tell_the_noise_under_a_gradient(noise):
    image = 20 * noise[:360_000].reshape(600, 600)
    rows, columns = np.indices(image.shape)
    image += 3 * columns + 0.01 * (rows - 300) ** 2  # 12 electrons over the distance of a pair
    mask = np.zeros(image.shape, bool)
    image[100:140, 200:300] += 1e4
    mask[100:140, 200:300] = True
    assert difference_noise(image, mask) == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize("sigma", [0.7, 1.5, 5.0])
def test_pixel_differences_are_unbiased_on_integers(noise, sigma):
    image = np.rint(sigma * noise[:360_000].reshape(600, 600) + 40.2)
    assert difference_noise(image, np.zeros(image.shape, bool)) == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.01)


def test_without_a_pair_of_good_pixels_there_is_no_noise():
    assert np.isnan(difference_noise(np.ones((20, 20)), np.ones((20, 20), bool)))
