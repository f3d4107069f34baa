"""What a subtraction leaves of the stars, relative to their flux."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.subtraction.stars import MatchedStars, residual_ratio

SHAPE, COUNT, FLUX, ERROR = (300, 300), 60, 1e4, 50.0


@pytest.fixture
def stars():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(10, 290, (2, COUNT))
    flux, error, none = np.full(COUNT, FLUX), np.full(COUNT, ERROR), np.zeros(COUNT)
    return MatchedStars(x, y, flux, error, flux, error, none, none)


def planes(stars, left):
    """PSF fluxes that are noise, and at the stars their flux times `left` as well."""
    alpha = np.random.default_rng(4).normal(0, ERROR, SHAPE)
    alpha[np.rint(stars.y).astype(int), np.rint(stars.x).astype(int)] += left * FLUX
    return np.zeros(SHAPE, bool), lambda x, y: (alpha[y, x], np.full(len(x), ERROR))


@pytest.mark.parametrize("left", [0.03, 0.1])
def test_it_is_what_is_left_without_the_photon_noise(stars, left):
    signs = np.where(np.arange(COUNT) % 2, 1, -1)
    # The noise of the fluxes is a two hundredth of them, and a robust rms of values of one size is 1.48 of them.
    assert residual_ratio(stars, *planes(stars, left * signs)) == pytest.approx(1.4826 * left, rel=0.1)


def test_noise_alone_is_nothing_left(stars):
    assert residual_ratio(stars, *planes(stars, 0.0)) < 0.002


def test_stars_that_vary_and_masked_ones_do_not_count(stars):
    left = np.where(np.arange(COUNT) < COUNT // 5, 3.0, 0.0)
    mask, flux_at = planes(stars, left)
    mask[:, :40] = True

    def spoiled(x, y):
        flux, error = flux_at(x, y)
        return np.where(mask[y, x], 1e6, flux), error

    assert residual_ratio(stars, mask, spoiled) < 0.005


def test_too_few_stars_say_nothing(stars):
    few = MatchedStars(*(value[:14] for value in vars(stars).values()))
    elsewhere = MatchedStars(stars.x + 1000, *list(vars(stars).values())[1:])
    mask, flux_at = planes(stars, 0.5)
    assert residual_ratio(few, mask, flux_at) == 0
    assert residual_ratio(None, mask, flux_at) == 0
    assert residual_ratio(stars, ~mask, flux_at) == 0
    assert residual_ratio(elsewhere, mask, flux_at) == 0
