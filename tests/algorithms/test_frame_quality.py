"""Which raw frames are left out of a master frame, and that the others are not."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.frame_quality import (
    AcceptanceParameters,
    Expected,
    frame_figures,
    refused_alone,
    refused_among,
)

SHAPE = 128, 128
ACCEPT = AcceptanceParameters()
BIAS = Expected(read_variance=9.0, shot=0.5, full=60_000.0)
FLAT = Expected(read_variance=36.0, shot=1.0, full=100_000.0)


def bias_figures(frames, saturated=0.0):
    return [frame_figures(frame, np.zeros(SHAPE, bool), saturated, BIAS) for frame in frames]


def biases(number: int = 7, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    column = rng.normal(0, 1, SHAPE[1])
    return [rng.normal(column, 3, SHAPE).astype(np.float32) for _ in range(number)]


def flat_figures(levels, shape_of=lambda number: 1.0, seed: int = 2):
    rng = np.random.default_rng(seed)
    frames = [rng.poisson(level * shape_of(n) * np.ones(SHAPE)).astype(np.float32) for n, level in enumerate(levels)]
    return [frame_figures(frame, np.zeros(SHAPE, bool), 0.0, FLAT) for frame in frames]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("number", [3, 5, 12])
def test_good_frames_are_kept(number, seed):
    assert refused_among(bias_figures(biases(number, seed)), ACCEPT, has_light=False) == {}
    levels = np.random.default_rng(seed).uniform(2e4, 3e4, number)
    assert refused_among(flat_figures(levels, seed=seed), ACCEPT, has_light=True, is_lamp=True) == {}


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda frame: frame + 10, "level"),
        (lambda frame: frame * 2, "noise"),
        (lambda frame: frame + np.linspace(-8, 8, SHAPE[0])[:, None], "large-scale structure"),
    ],
)
def test_a_bias_that_deviates_is_left_out_with_its_reason(spoil, reason):
    frames = biases()
    frames[4] = spoil(frames[4]).astype(np.float32)
    found = refused_among(bias_figures(frames), ACCEPT, has_light=False)
    assert list(found) == [4] and reason in found[4]


def test_a_flat_of_a_lamp_that_was_off_is_left_out_and_one_of_the_sky_is_as_bright_as_it_is():
    figures = flat_figures([2e4, 2.1e4, 5e3, 1.9e4, 2e4])
    found = refused_among(figures, ACCEPT, has_light=True, is_lamp=True)
    assert list(found) == [2] and "near which most" in found[2]
    assert refused_among(figures, ACCEPT, has_light=True) == {}


def test_a_flat_with_light_from_the_side_is_left_out():
    side = np.linspace(0.94, 1.06, SHAPE[1])[None, :]
    figures = flat_figures([2e4] * 6, lambda number: side if number == 3 else 1.0)
    found = refused_among(figures, ACCEPT, has_light=True, is_lamp=True)
    assert list(found) == [3] and "structure" in found[3]


def test_flats_of_several_levels_have_the_noise_of_their_level_and_of_fixed_structure():
    response = np.random.default_rng(5).normal(1, 0.01, SHAPE)
    levels = [15e3, 2e4, 2.2e4, 2.5e4, 2.8e4]
    assert refused_among(flat_figures(levels, lambda number: response), ACCEPT, has_light=True, is_lamp=True) == {}
    noisy = np.random.default_rng(6).normal(1, 0.008, SHAPE)
    figures = flat_figures(levels, lambda number: response * (noisy if number == 2 else 1))
    found = refused_among(figures, ACCEPT, has_light=True, is_lamp=True)
    assert list(found) == [2] and "noise" in found[2]


def test_levels_and_saturation_refuse_a_frame_by_themselves():
    low, high, good = flat_figures([100, 9e4, 3e4])
    assert "below" in refused_alone(low, ACCEPT, has_light=True)
    assert "above 85%" in refused_alone(high, ACCEPT, has_light=True)
    assert refused_alone(good, ACCEPT, has_light=True) == ""
    [full] = bias_figures(biases(1), saturated=0.2)
    assert "20.0% of the pixels are saturated" in refused_alone(full, ACCEPT, has_light=False)
