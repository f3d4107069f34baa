"""Crosstalk from bright stars: the true coefficient within its error, mirrored as the amplifiers read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.crosstalk import CrosstalkParameters, Samples, fit_coefficient, light_of, samples_of
from processing.algorithms.overscan import Amplifier

SIDE, P = 256, CrosstalkParameters()
LEFT = Amplifier("A", (slice(0, SIDE), slice(0, SIDE)), None, (slice(0, SIDE), slice(0, SIDE)), 2.0, 6.0, 55_000.0)
RIGHT = replace(
    LEFT, name="B", data=(LEFT.data[0], slice(SIDE, 2 * SIDE)), target=(LEFT.data[0], slice(SIDE, 2 * SIDE)),
    backwards=(False, True),
)  # fmt: skip


def stars(rng, number: int) -> np.ndarray:
    """ADU (side, 2 side) of stars, bright and faint."""
    image = np.zeros((SIDE, 2 * SIDE))
    y, x = np.mgrid[:SIDE, : 2 * SIDE]
    for _ in range(number):
        at = rng.uniform(0, SIDE), rng.uniform(0, 2 * SIDE)
        peak = 10 ** rng.uniform(2, 4.6)
        image += peak * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * 1.8**2))
    return image


def exposure(seed: int, coefficient: float) -> np.ndarray:
    """ADU above the bias: what B reads shows up in A, where they are read at the same moment."""
    rng = np.random.default_rng(seed)
    image = 800 + stars(rng, 40)
    image[:, :SIDE] += coefficient * image[:, SIDE:][:, ::-1]
    return (image + rng.normal(0, 20, image.shape)).astype(np.float32)


@pytest.mark.parametrize("coefficient", [0.0, 4e-4, -3e-4, 2e-3])
def test_the_coefficient_is_found_within_its_error(coefficient):
    samples = {"A": [], "B": []}
    for seed in range(6):
        adu = exposure(seed, coefficient)
        own = {one.amplifier.name: one for one in light_of(adu, adu + 1000, [LEFT, RIGHT], P)}
        samples["A"].append(samples_of(own["A"], own["B"], P))
        samples["B"].append(samples_of(own["B"], own["A"], P))
    found = fit_coefficient(samples["A"], P)
    assert abs(found.value - coefficient) < 3.5 * found.error
    assert found.error < 1e-4
    back = fit_coefficient(samples["B"], P)
    assert abs(back.value) < 3.5 * back.error


def test_too_few_bright_pixels_tell_nothing():
    few = Samples(np.full(20, 1e4), np.full(20, 5.0), np.arange(20), 10.0)
    assert fit_coefficient([few], P) is None


def test_saturated_pixels_are_sources_but_those_at_the_end_of_the_converter_are_not():
    adu = exposure(1, 1e-3)
    adu[100, SIDE + 50], adu[200, SIDE + 50] = 60_000, 65_535
    own = {one.amplifier.name: one for one in light_of(adu, adu, [LEFT, RIGHT], P)}
    assert own["B"].is_full[100, 50] and not own["B"].is_clipped[100, 50] and own["B"].is_clipped[200, 50]
    brightest = samples_of(own["A"], own["B"], P).source.max()
    assert brightest == pytest.approx(own["B"].signal[100, 50])
