"""Cosmic rays in single exposures: hits are flagged, stars and galaxies are not, at any sampling."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.cosmic_rays import find_cosmic_rays
from processing.algorithms.simulation_detector import cosmic_rays
from tests.algorithms.starfields import light_of_stars

SHAPE, SKY, READ_NOISE = (600, 500), 400.0, 5.0
SIGMA = np.sqrt(SKY + READ_NOISE**2)


def observed(light: np.ndarray, hits: np.ndarray | float = 0.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(SKY + light) + rng.normal(0, READ_NOISE, SHAPE) + hits
    weight = 1 / (READ_NOISE**2 + np.maximum(electrons, 0))
    return (electrons - SKY).astype(np.float32), weight.astype(np.float32)


@pytest.mark.parametrize("fwhm", [1.7, 2.0, 2.8, 4.2])
def test_stars_of_any_brightness_are_no_cosmic_rays(fwhm):
    light = light_of_stars(SHAPE, 800, seed=3, fwhm=fwhm)
    found = find_cosmic_rays(*observed(light), fwhm)
    bright = light > 6 * SIGMA
    assert bright.sum() > 3000
    assert found.sum() < 2e-3 * bright.sum()
    assert found.mean() < 1e-4


@pytest.mark.parametrize("fwhm", [2.0, 4.2])
def test_most_hits_are_found_among_stars(fwhm):
    hits = cosmic_rays(SHAPE, 60, np.random.default_rng(4))
    data, weight = observed(light_of_stars(SHAPE, 300, seed=3, fwhm=fwhm), hits)
    found = find_cosmic_rays(data, weight, fwhm)
    charge = hits > 20 * SIGMA
    assert found[charge].mean() > 0.9
    assert np.mean(found & (hits < 0.5 * SIGMA)) < 2e-4


def test_without_a_known_seeing_only_what_is_sharper_than_any_star_is_found():
    light = light_of_stars(SHAPE, 800, seed=3, fwhm=1.7)
    assert find_cosmic_rays(*observed(light), None).mean() < 1e-4
    hits = np.zeros(SHAPE)
    hits[100, 100] = 50 * SIGMA
    assert find_cosmic_rays(*observed(np.zeros(SHAPE), hits), None)[100, 100]


def test_beside_pixels_of_no_use_nothing_is_decided_with_them():
    hits = np.zeros(SHAPE)
    hits[100, 100], hits[200, 200] = 50 * SIGMA, 50 * SIGMA
    data, weight = observed(np.zeros(SHAPE), hits)
    weight[99:102, 99:102] = 0
    weight[100, 100] = 1 / SIGMA**2
    found = find_cosmic_rays(data, weight, 2.0)
    assert not found[100, 100] and found[200, 200]
    assert not find_cosmic_rays(data, np.zeros_like(weight), 2.0).any()
