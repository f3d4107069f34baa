"""Fitting the PSF: fluxes and positions scatter as their errors say, forced fluxes of nothing are nothing."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.psf_model import PSFModel, moffat_model
from processing.algorithms.psf_photometry import fit_stars, forced_flux

SIZE, STEP, NOISE = 800, 40, 12.0


@pytest.fixture(scope="module", params=[2.0, 4.2], ids="FWHM {} px".format)
def model(request) -> PSFModel:
    return moffat_model(request.param, (SIZE, SIZE))


def places(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    at = np.array([(x, y) for y in range(STEP, SIZE - STEP + 1, STEP) for x in range(STEP, SIZE - STEP + 1, STEP)])
    return at + rng.uniform(-0.5, 0.5, at.shape)


def expose(model: PSFModel, xy: np.ndarray, flux: float | np.ndarray, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Stars on noise, and the true variance."""
    light, half = np.zeros((SIZE, SIZE)), model.half_size
    for (x, y), one in zip(xy, np.broadcast_to(flux, len(xy))):
        i, j = round(x), round(y)
        light[j - half : j + half + 1, i - half : i + half + 1] += one * model.stamp(x, y, x - i, y - j)
    variance = NOISE**2 + np.maximum(light, 0)
    return np.random.default_rng(seed).normal(light, np.sqrt(variance)).astype(np.float32), variance.astype(np.float32)


BLANK = np.zeros((SIZE, SIZE), bool)


def test_fluxes_and_positions_scatter_as_their_errors_say(model):
    xy, rng = places(), np.random.default_rng(3)
    data, variance = expose(model, xy, 20_000.0)
    start = xy + rng.uniform(-0.3, 0.3, xy.shape)
    found = fit_stars(data, variance, BLANK, model, *start.T)
    count = len(xy)
    for pull in (
        (found["flux"] - 20_000) / found["flux_err"],
        (found["x"] - xy[:, 0]) / found["x_err"],
        (found["y"] - xy[:, 1]) / found["y_err"],
    ):
        assert abs(pull.mean()) < 4 / np.sqrt(count)
        assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * count))
    assert not found["flag"].any()
    assert found["chi2"].mean() == pytest.approx(1, abs=0.05)


def test_a_variance_that_has_the_noise_of_its_pixel_in_it_does_not_make_stars_fainter(model):
    """As that of an image is: with weights from single pixels these stars would lose 17 and 67 electrons each, of 4,000."""
    xy, flux = places(), 4000.0
    light = expose(model, xy, flux)[1] - NOISE**2
    data = np.random.default_rng(6).poisson(light + NOISE**2).astype(np.float32) - NOISE**2
    variance = np.maximum(data + NOISE**2, 0.25 * NOISE**2).astype(np.float32)
    found = fit_stars(data, variance, BLANK, model, *xy.T)
    error = found["flux_err"].mean() / np.sqrt(len(xy))
    assert abs(found["flux"].mean() - flux) < 2.5 * error
    pull = (found["flux"] - flux) / found["flux_err"]
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(xy)) + 0.03)


def test_fluxes_without_noise_are_exact_at_every_place_in_a_pixel(model):
    xy = places()
    rng, half = np.random.default_rng(1), model.half_size
    data = np.zeros((SIZE, SIZE), np.float32)
    flux = rng.uniform(1e3, 1e6, len(xy))
    for (x, y), one in zip(xy, flux):
        i, j = round(x), round(y)
        data[j - half : j + half + 1, i - half : i + half + 1] += one * model.stamp(x, y, x - i, y - j)
    found = fit_stars(data, np.full_like(data, 100), BLANK, model, *np.round(xy).T)
    np.testing.assert_allclose(found["flux"], flux, rtol=1e-3)
    np.testing.assert_allclose(found["x"], xy[:, 0], atol=2e-3)
    np.testing.assert_allclose(found["y"], xy[:, 1], atol=2e-3)


def test_forced_fluxes_of_empty_sky_are_zero_within_their_errors(model):
    data, variance = expose(model, np.zeros((0, 2)), 0.0)
    xy = np.random.default_rng(5).uniform(30, SIZE - 30, (1500, 2))
    found = forced_flux(data, variance, BLANK, model, *xy.T)
    pull = found["flux"] / found["flux_err"]
    assert abs(pull.mean()) < 4 / np.sqrt(len(xy))
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(xy)) + 0.01)
    np.testing.assert_array_equal(found["x"], xy[:, 0])  # the positions are held


def test_the_error_on_empty_sky_is_that_of_the_noise_pixels_of_the_psf(model):
    data, variance = expose(model, np.zeros((0, 2)), 0.0)
    error = forced_flux(data, variance, BLANK, model, [400.0], [400.0])["flux_err"][0]
    best = NOISE / np.sqrt((model.stamp(400, 400).astype(float) ** 2).sum())
    # The circle of 1.75 FWHM holds all but a percent of Σ P².
    assert best <= error < 1.01 * best


def test_negative_sources_have_negative_fluxes(model):
    xy = places()
    data, variance = expose(model, xy, -15_000.0)
    found = fit_stars(data, variance, BLANK, model, *xy.T)
    pull = (found["flux"] + 15_000) / found["flux_err"]
    assert abs(pull.mean()) < 4 / np.sqrt(len(xy))


def test_a_masked_pixel_or_one_without_a_variance_does_not_count(model):
    xy = places()
    data, variance = expose(model, xy, 20_000.0)
    mask = BLANK.copy()
    column, row = np.round(xy).astype(int).T
    mask[row, column + 1] = True
    variance = variance.copy()
    variance[row + 1, column] = 0
    data = np.where(mask | (variance <= 0), np.float32(1e6), data)
    found = fit_stars(data, variance, mask, model, *xy.T)
    pull = (found["flux"] - 20_000) / found["flux_err"]
    assert abs(pull.mean()) < 4 / np.sqrt(len(xy))
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(xy)))


def test_a_star_without_pixels_has_no_flux_and_says_so(model):
    data, variance = expose(model, np.zeros((0, 2)), 0.0)
    found = fit_stars(data, variance, ~BLANK, model, [100.0, -50.0], [100.0, 300.0])
    np.testing.assert_array_equal(found["flag"], 1)
    np.testing.assert_array_equal(found["flux"], 0)
    assert all(np.isfinite(found[name]).all() for name in found.dtype.names)


def test_a_position_that_moves_to_its_limit_says_so(model):
    xy = np.array([[400.0, 400.0]])
    data, variance = expose(model, xy, 50_000.0)
    found = fit_stars(data, variance, BLANK, model, [402.4], [400.0])[0]
    assert found["flag"] == 2
    assert abs(found["x"] - 402.4) <= 1.5 + 1e-6


def test_no_star_is_no_row(model):
    data, variance = expose(model, np.zeros((0, 2)), 0.0)
    assert len(fit_stars(data, variance, BLANK, model, [], [])) == 0
