"""Fringes: the fitted amplitude is that of the image, whatever stars and gradients are on it."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.fringe import fit_fringe
from tests.algorithms.starfields import light_of_stars

SHAPE, SKY = (512, 512), 2000.0


def pattern(period: float = 40.0) -> np.ndarray:
    y, x = np.indices(SHAPE)
    phase = 2 * np.pi * (x + 0.4 * y + 15 * np.sin(y / 90)) / period
    return (np.sin(phase) + 0.3 * np.sin(2.7 * phase)).astype(np.float32) * np.float32(0.02)


@pytest.mark.parametrize("amplitude", [0.0, 400.0, 3000.0])
def test_the_amplitude_is_found_among_stars_on_an_uneven_sky(amplitude):
    light = light_of_stars(SHAPE, 150, seed=2, fwhm=3.0)
    gradient = np.linspace(-20, 20, SHAPE[1])[None, :]
    rng = np.random.default_rng(3)
    expected = SKY + gradient + light + amplitude * pattern()
    data = (rng.poisson(expected) - SKY - gradient).astype(np.float32)
    weight = (1 / expected).astype(np.float32)
    fit = fit_fringe(data, weight, pattern())
    assert fit.amplitude == pytest.approx(amplitude, abs=max(4 * fit.error, 0.02 * amplitude))
    assert 0.5 < fit.error / (np.sqrt(SKY) / (pattern().std() * np.sqrt(data.size))) < 2


def test_pixels_that_the_pattern_or_the_image_does_not_know_are_left_out():
    data, known = (1000 * pattern()).astype(np.float32), pattern()
    weight = np.full(SHAPE, 1 / SKY, np.float32)
    known[100:120] = np.nan
    data[200:220], weight[200:220] = 1e6, 0
    assert fit_fringe(data, weight, known).amplitude == pytest.approx(1000, rel=0.02)
    assert fit_fringe(data, np.zeros_like(weight), known).amplitude == 0
    assert fit_fringe(data, weight, np.zeros(SHAPE, np.float32)).amplitude == 0
