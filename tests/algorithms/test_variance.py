"""The variance of pixels: unbiased on empty sky, whole in sources, and never of what an unusable pixel says."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.variance import total_variance

SKY, READ_NOISE = 100.0, 5.0


def exposed(light: np.ndarray, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight as an image has it, from its own counts; the rms of its sky; the true variance."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(SKY + light)
    weight = 1 / (np.maximum(counts, 0.25 * SKY) + READ_NOISE**2)
    return weight.astype(np.float32), np.full(light.shape, np.sqrt(SKY + READ_NOISE**2), np.float32), SKY + light + 25


def blob(shape: tuple[int, int], peak: float, fwhm: float) -> np.ndarray:
    y, x = np.indices(shape) - np.array(shape)[:, None, None] // 2
    return peak * np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)


def test_the_noise_of_empty_sky_does_not_get_into_its_variance():
    weight, rms, truth = exposed(np.zeros((400, 500)))
    found = total_variance(weight, rms)
    assert found.dtype == np.float32
    assert abs(found.mean() / truth.mean() - 1) < 0.002
    assert np.std(found) < 0.01 * truth.mean()


@pytest.mark.parametrize("fwhm", [2.0, 4.0])
def test_the_light_of_a_source_counts(fwhm):
    light = blob((101, 101), 400.0, fwhm)
    found = np.mean([total_variance(*exposed(light, seed)[:2]) for seed in range(40)], axis=0)
    core = light > 100
    assert np.mean(found[core] / (SKY + light + 25)[core]) == pytest.approx(1, abs=0.03)


def test_faint_light_that_only_many_pixels_together_show_counts():
    light = np.zeros((200, 200))
    light[60:140, 60:140] = 15.0
    weight, rms, truth = exposed(light)
    inner = np.s_[70:130, 70:130]
    assert np.mean(total_variance(weight, rms)[inner]) == pytest.approx(truth[inner].mean(), rel=0.02)


def test_unusable_pixels_add_nothing():
    weight, rms, _ = exposed(blob((60, 60), 1e5, 4.0))
    weight[20:40, 20:40] = 0
    found = total_variance(weight, rms)
    np.testing.assert_array_equal(found[23:37, 23:37], rms[23:37, 23:37] ** 2)
    assert np.isfinite(found).all()


def test_an_image_that_is_noisier_than_its_sky_looks_keeps_its_own_variance():
    """Resampling takes from the scatter of pixels, not from their noise."""
    rms = np.full((300, 300), 10.0, np.float32)
    found = total_variance(np.full((300, 300), 1 / 115, np.float32), rms)
    np.testing.assert_allclose(found, 115, rtol=1e-4)


@pytest.mark.parametrize("shape", [(4, 4), (7, 300), (300, 6)])
def test_small_images_have_a_variance_too(shape):
    weight, rms, _ = exposed(np.zeros(shape))
    assert total_variance(weight, rms).shape == shape
