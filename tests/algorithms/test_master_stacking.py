"""Master frames: the noise of a mean without its outliers, the same whatever the block, and frames that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.master_stacking import (
    MasterStackParameters,
    MemoryStore,
    ReadNoise,
    combine,
    sorting_network,
)
from processing.algorithms.overscan import Amplifier
from processing.errors import BadInput

SHAPE = 90, 120
READ_NOISE, GAIN = 6.0, 2.0


def amplifier(shape=SHAPE) -> Amplifier:
    box = slice(0, shape[0]), slice(0, shape[1])
    return Amplifier("A", box, None, box, GAIN, READ_NOISE, 60_000.0)


def noise(*, in_electrons: bool) -> ReadNoise:
    return ReadNoise.of([amplifier()], SHAPE, in_electrons=in_electrons)


def store_of(frames) -> MemoryStore:
    store = MemoryStore()
    for frame in frames:
        store.add(frame)
    return store


def flats(levels, rng) -> MemoryStore:
    """Frames over their level, with photon and read noise."""
    return store_of(
        (rng.poisson(level, SHAPE) + rng.normal(0, READ_NOISE, SHAPE)).astype(np.float32) / np.float32(level)
        for level in levels
    )


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 30])
def test_the_network_sorts_any_number_of_values(n):
    values = np.random.default_rng(n).random((n, 50))
    for low, high in sorting_network(n):
        values[[low, high]] = np.sort(values[[low, high]], axis=0)
    assert np.all(np.diff(values, axis=0) >= 0)


@pytest.mark.parametrize("count", [3, 7, 20])
def test_a_master_frame_has_no_cosmic_rays_and_almost_the_noise_of_a_mean(count):
    rng = np.random.default_rng(2)
    sigma = READ_NOISE / GAIN
    frames = rng.normal(0, sigma, (count, *SHAPE)).astype(np.float32)
    hits = rng.random(frames.shape) < 0.002
    hits &= hits.cumsum(axis=0) == 1  # one a pixel
    store = store_of(np.where(hits, 20_000, frames))
    found = combine(store, range(count), [1.0] * count, noise(in_electrons=False), MasterStackParameters())
    assert found.data.dtype == np.float32
    assert np.abs(found.data).max() < 7 * sigma / np.sqrt(count - 1)
    assert found.data.std() < 1.05 * sigma / np.sqrt(count)
    assert np.all(found.number[hits.any(axis=0)] <= count - 1)


def test_the_noise_that_is_foreseen_is_the_one_that_is_found():
    levels = np.linspace(8_000, 30_000, 15)
    store = flats(levels, np.random.default_rng(3))
    found = combine(store, range(15), levels, noise(in_electrons=True), MasterStackParameters())
    assert found.noise_ratio == pytest.approx(1, abs=0.03)
    assert found.data.std() == pytest.approx(np.sqrt(np.median(found.variance)), rel=0.05)
    assert found.data.std() == pytest.approx(1 / np.sqrt(levels.sum()), rel=0.05)  # bright frames count more


def test_hot_pixels_of_a_dark_keep_their_current():
    rng, times = np.random.default_rng(4), np.array([60.0, 300.0, 300.0, 600.0, 600.0])
    current = np.full(SHAPE, 0.01)
    current[10:12, 10:12] = 40.0  # electrons per second
    store = store_of(
        (rng.poisson(current * time) + rng.normal(0, READ_NOISE, SHAPE)).astype(np.float32) / (GAIN * np.float32(time))
        for time in times
    )
    found = combine(store, range(5), times, noise(in_electrons=False), MasterStackParameters())
    np.testing.assert_allclose(found.data[10:12, 10:12] * GAIN, 40.0, rtol=0.03)
    assert found.noise_ratio == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("takes_median", [False, True])
def test_the_result_is_the_same_to_the_bit_whatever_the_block(takes_median):
    store = flats([9e3, 1e4, 1.1e4, 1.2e4], np.random.default_rng(5))
    given = (store, range(4), [9e3, 1e4, 1.1e4, 1.2e4], noise(in_electrons=True))
    whole, parts = (
        combine(*given, MasterStackParameters(block=block), takes_median=takes_median) for block in (SHAPE[0], 7)
    )
    for name in ("data", "variance", "number"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_masked_values_are_left_out_and_pixels_without_any_are_empty():
    store = flats([1e4] * 5, np.random.default_rng(6))
    masked = MemoryStore()
    for index in range(5):
        frame = store.frame(index)
        frame[0, :60] = np.nan
        if index < 3:
            frame[1] = np.nan
        masked.add(frame)
    found = combine(masked, range(5), [1e4] * 5, noise(in_electrons=True), MasterStackParameters())
    assert np.all(found.is_empty[0, :60]) and not found.is_empty[0, 60:].any() and not found.is_empty[1:].any()
    assert found.number[1].max() == 2 and np.all(found.weight[0, :60] == 0)
    assert np.isfinite(found.data).all()
    np.testing.assert_allclose(found.data[1], 1, atol=0.05)


def test_the_median_is_noisier_than_the_mean_by_what_its_variance_says():
    levels = [2e4] * 25
    store = flats(levels, np.random.default_rng(7))
    mean, median = (
        combine(store, range(25), levels, noise(in_electrons=True), MasterStackParameters(), takes_median=which)
        for which in (False, True)
    )
    assert median.data.std() / mean.data.std() == pytest.approx(np.sqrt(np.pi / 2), rel=0.04)
    assert median.data.std() == pytest.approx(np.sqrt(np.median(median.variance)), rel=0.05)


def test_frames_that_do_not_fit_together_are_refused():
    store = store_of([np.zeros((4, 4), np.float32)])
    with pytest.raises(BadInput, match="shape"):
        store.add(np.zeros((4, 5), np.float32))
    with pytest.raises(BadInput, match="no frame"):
        combine(store, [], [], noise(in_electrons=True), MasterStackParameters())
    with pytest.raises(BadInput, match="scale above 0"):
        combine(store, [0], [0.0], noise(in_electrons=True), MasterStackParameters())
