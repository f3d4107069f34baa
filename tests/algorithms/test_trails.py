"""Trails: straight ones are flagged in their whole length and width, and stars, steps and short streaks are not."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.trails import find_trails
from tests.algorithms.starfields import light_of_stars

SHAPE, SKY, READ_NOISE = (900, 600), 900.0, 5.0
SIGMA = np.sqrt(SKY + READ_NOISE**2)


def light_of(angle: float, distance: float, brightness: float, fwhm: float = 2.5) -> np.ndarray:
    """Electrons (ny, nx) of a straight line x cos a + y sin a = distance; `brightness` in σ of the sky, at its middle."""
    rows, columns = np.indices(SHAPE)
    across = columns * np.cos(angle) + rows * np.sin(angle) - distance
    return brightness * SIGMA * np.exp(-(across**2) / (2 * (fwhm / 2.355) ** 2))


def observed(light: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Data without sky and their inverse variance."""
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(SKY + light) + rng.normal(0, READ_NOISE, SHAPE)
    weight = 1 / (READ_NOISE**2 + np.maximum(electrons, 0))
    return (electrons - SKY).astype(np.float32), weight.astype(np.float32)


def stars(seed: int, number: int = 120) -> np.ndarray:
    return light_of_stars(SHAPE, number, seed=seed, fwhm=2.2)


@pytest.mark.parametrize("brightness", [2.0, 5.0, 100.0])
@pytest.mark.parametrize(
    ("angle", "distance"), [(0.3, 400.0), (1.5, 500.0), (2.5, -150.0), (0.0, 250.0), (np.pi / 2, 300.0)]
)
def test_a_trail_across_the_image_is_flagged_whatever_its_direction(angle, distance, brightness):
    trail = light_of(angle, distance, brightness)
    mask, found = find_trails(*observed(trail + stars(1), 2))
    assert len(found) == 1
    assert mask[trail > 0.5 * SIGMA].mean() > 0.95
    length = np.count_nonzero(mask) / (2 * found[0].half_width)
    assert np.count_nonzero(mask & (trail < 0.1 * SIGMA)) < 2 * length  # one pixel to either side


@pytest.mark.parametrize("seed", range(4))
def test_stars_and_galaxies_alone_make_no_trail(seed):
    mask, found = find_trails(*observed(stars(seed, 400), seed))
    assert not found and not mask.any()


def test_the_halo_of_a_bright_star_and_stars_in_a_row_are_no_trail():
    rows, columns = np.indices(SHAPE)
    light = 30 * SIGMA / (1 + ((rows - 450) ** 2 + (columns - 300) ** 2) / 20**2)
    for x in range(40, 560, 40):
        light += 300 * SIGMA * np.exp(-((rows - 200) ** 2 + (columns - x) ** 2) / 2)
    assert not find_trails(*observed(light, 5))[1]


def test_a_step_between_amplifiers_is_no_trail():
    data, weight = observed(np.zeros(SHAPE), 6)
    data[:, 300:] += 0.3 * SIGMA
    assert not find_trails(data, weight)[1]


@pytest.mark.parametrize("level", [0.15, 0.3])
def test_rows_of_uneven_level_are_no_trail(level):
    data, weight = observed(stars(3), 10)
    data += np.random.default_rng(11).normal(0, level * SIGMA, (SHAPE[0], 1)).astype(np.float32)
    assert not find_trails(data, weight)[1]


def test_what_is_flagged_already_counts_neither_for_nor_against():
    data, weight = observed(light_of(0.2, 350, 3.0), 7)
    weight[:, 100:110] = 0
    data[:, 100:110] = 1e5
    weight[400:, 420:] = 0
    mask, found = find_trails(data, weight)
    assert len(found) == 1 and mask[:, 100:110].mean() < 0.1


def test_two_trails_are_two():
    mask, found = find_trails(*observed(light_of(0.3, 300, 4.0) + light_of(2.2, 50, 2.0), 8))
    assert len(found) == 2
    assert all(mask[light_of(*line, 1.0) > 0.5 * SIGMA].mean() > 0.95 for line in ((0.3, 300), (2.2, 50)))


def test_a_trail_that_ends_in_the_image_is_flagged_to_its_end_and_not_far_beyond():
    trail = light_of(0.1, 300, 10.0)
    trail[650:] = 0
    mask, found = find_trails(*observed(trail, 9))
    assert len(found) == 1 and mask[trail > 0.5 * SIGMA].mean() > 0.95
    assert not mask[650 + 2 * 64 :].any()


def test_a_small_image_and_one_without_usable_pixels_have_none():
    assert not find_trails(np.ones((100, 100), np.float32), np.ones((100, 100), np.float32))[1]
    assert not find_trails(np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.float32))[1]
