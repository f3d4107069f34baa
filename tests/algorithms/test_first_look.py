"""The first look at an image, held against what was put into it."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.first_look import FirstLook, first_look
from tests.algorithms.pairs import MoffatPSF, render

SKY, SIGMA = 300.0, 12.0


def field(size: int = 400, fwhm: float = 3.4, stars: int = 60) -> np.ndarray:
    rng = np.random.default_rng(4)
    image = render(size, MoffatPSF(fwhm), rng.uniform(10, size - 10, (stars, 2)), 10 ** rng.uniform(3.5, 4.7, stars))
    return rng.normal(image + SKY, SIGMA).astype(np.float32)


def test_sky_noise_and_seeing_are_those_of_the_image():
    data = field()
    found = first_look(data, np.zeros(data.shape, bool))
    assert found.level == pytest.approx(SKY, abs=0.2 * SIGMA)
    assert found.noise == pytest.approx(SIGMA, rel=0.02)
    assert found.fwhm == pytest.approx(1.1 * 3.4, rel=0.05)  # of the Gaussian that matches a star with wings


def test_the_limit_is_five_sigma_in_the_matched_filter():
    look = FirstLook(level=SKY, noise=SIGMA, fwhm=4.0)
    offset = np.arange(-20, 21)
    sigma = 4.0 / 2.3548
    stamp = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * sigma**2))
    stamp /= stamp.sum()
    expected = 28.0 - 2.5 * np.log10(5 * SIGMA / np.sqrt(np.sum(stamp**2)))
    assert look.limiting_magnitude(28.0) == pytest.approx(expected, abs=0.002)
    assert look.limiting_magnitude(None) is None
    assert FirstLook(level=SKY, noise=SIGMA).limiting_magnitude(28.0) is None


def test_only_the_middle_of_a_large_image_is_looked_at():
    data = np.random.default_rng(1).normal(SKY, SIGMA, (1400, 1300)).astype(np.float32)
    data[:100], data[-100:] = 5 * SKY, 7 * SKY
    assert first_look(data, np.zeros(data.shape, bool)).level == pytest.approx(SKY, abs=0.2 * SIGMA)


def test_what_an_image_does_not_show_is_none():
    empty = np.random.default_rng(1).normal(SKY, SIGMA, (300, 300)).astype(np.float32)
    found = first_look(empty, np.zeros(empty.shape, bool))
    assert found.noise == pytest.approx(SIGMA, rel=0.02) and found.fwhm is None
    assert first_look(empty, np.ones(empty.shape, bool)) == FirstLook()
    assert first_look(np.zeros((300, 300), np.float32), np.zeros((300, 300), bool)) == FirstLook()
