"""Points and galaxies told apart: SPREAD_MODEL is 0 with its error for points, and the probability means what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from processing.algorithms.psf_model import moffat_model
from processing.algorithms.star_galaxy import spread_model, star_probability

SIZE, STEP, NOISE = 900, 36, 10.0
BLANK = np.zeros((SIZE, SIZE), bool)


def lattice(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    at = np.arange(STEP, SIZE - STEP, STEP)
    x, y = (part.ravel() + rng.uniform(-0.5, 0.5, part.size) for part in np.meshgrid(at, at))
    return x, y


def exposed(model, wide: float, flux: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points at even places of the lattice, and at odd ones profiles that are wider by `wide`."""
    x, y = lattice(seed)
    sigma = model.fwhm / 2.3548 * np.sqrt((1 + wide) ** 2 - 1) * 2  # nodes
    blurred = np.stack([ndimage.gaussian_filter(plane.astype(float), sigma) for plane in model.planes])
    galaxy = replace(model, planes=blurred.astype(np.float32))
    galaxy = replace(galaxy, planes=(blurred / galaxy.plane_sums[0]).astype(np.float32))
    light, half = np.zeros((SIZE, SIZE)), model.half_size
    for k, (a, b) in enumerate(zip(x, y)):
        i, j = round(a), round(b)
        stamp = (galaxy if k % 2 else model).stamp(a, b, a - i, b - j)
        light[j - half : j + half + 1, i - half : i + half + 1] += flux * stamp
    variance = (NOISE**2 + np.maximum(light, 0)).astype(np.float32)
    return np.random.default_rng(seed).normal(light, np.sqrt(variance)).astype(np.float32), variance, x, y


@pytest.mark.parametrize("fwhm", [2.0, 4.2])
def test_points_have_no_spread_within_its_error_at_every_place_in_a_pixel(fwhm):
    model = moffat_model(fwhm, (SIZE, SIZE), half_size=14)
    data, variance, x, y = exposed(model, 0.0, 20_000.0, seed=1)
    spread, error = spread_model(data, variance, BLANK, model, x, y)
    pull, n = spread / error, len(x)
    assert abs(pull.mean()) < 4 / np.sqrt(n)
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * n) + 0.02)


@pytest.mark.parametrize("fwhm", [2.0, 4.2])
@pytest.mark.parametrize("flux", [1500.0, 4000.0, 20_000.0])
def test_the_probability_is_calibrated_and_separates(fwhm, flux):
    model = moffat_model(fwhm, (SIZE, SIZE), half_size=14)
    data, variance, x, y = exposed(model, 0.25, flux, seed=2)
    spread, error = spread_model(data, variance, BLANK, model, x, y)
    is_point = np.arange(len(x)) % 2 == 0
    stars = np.flatnonzero(is_point)[:30]
    probability = star_probability(spread, error, np.full(len(x), 50.0), stars)
    assert probability.mean() == pytest.approx(0.5, abs=0.12)
    apart = (np.median(spread[~is_point]) - np.median(spread[is_point])) / np.median(error)
    if apart > 5:
        assert np.mean((probability > 0.5) == is_point) > 0.97
    for low, high in ((0.0, 0.2), (0.8, 1.01)):
        chosen = (probability >= low) & (probability < high)
        count = chosen.sum()
        if count > 30:
            assert abs(is_point[chosen].mean() - probability[chosen].mean()) < 0.08 + 3 * 0.4 / np.sqrt(count)


def test_what_is_not_seen_has_no_opinion():
    model = moffat_model(3.0, (SIZE, SIZE), half_size=14)
    empty = np.zeros((SIZE, SIZE), np.float32)
    spread, error = spread_model(empty, empty + 1, BLANK, model, [100.0, -40.0], [100.0, 20.0])
    assert np.all(spread == 0) and np.all(np.isinf(error))
    np.testing.assert_array_equal(star_probability(spread, error, np.array([9.0, 9.0]), np.zeros(0, int)), 0.5)
    assert len(star_probability(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, int))) == 0
