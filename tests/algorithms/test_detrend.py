"""From raw ADU to electrons: amplifiers meet without a step, the flat is the response, flags are where charge is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from processing.algorithms.detrend import FlagBits, Frames, amplifier_plane, calibrate
from processing.algorithms.master_stacking import MasterStackParameters, MemoryStore, ReadNoise, combine
from processing.algorithms.overscan import Amplifier, subtract_overscan
from processing.algorithms.simulation_detector import (
    Detector,
    DetectorParameters,
    bias_frame,
    flat_frame,
    make_detector,
    read_out,
)
from processing.errors import BadInput

BITS = FlagBits(bad=1, saturated=4, bleed=16, no_weight=2)
SHAPE = (160, 192)
BIASES, FLATS, FLAT_LEVEL, SKY = 12, 40, 30_000.0, 2_000.0
CCD = DetectorParameters(hot_pixels=0, cosmic_rays=0)


def two_amplifiers(shape: tuple[int, int] = (64, 64), **right) -> tuple[Amplifier, ...]:
    rows, half = slice(0, shape[0]), shape[1] // 2
    left = (rows, slice(0, half))
    a = Amplifier("A", left, None, left, 1.5, 4.0, 50_000.0)
    other = (rows, slice(half, shape[1]))
    return a, replace(a, name="B", data=other, target=other, **right)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return make_detector(SHAPE, CCD, seed=3)


@pytest.fixture(scope="module")
def frames(detector) -> Frames:
    """Master frames as the calibration makes them."""
    rng, gain = np.random.default_rng(4), amplifier_plane(detector.amplifiers, SHAPE, "gain")
    bias = stacked([bias_frame(detector, rng) for _ in range(BIASES)], detector, in_electrons=False)
    flats = [flat_frame(detector, FLAT_LEVEL, rng) for _ in range(FLATS)]
    flat = stacked(flats, detector, bias, gain / np.float32(FLAT_LEVEL))
    return Frames(bias=bias, flat=flat / np.median(flat))


def stacked(raws, detector, bias=0.0, factor=1.0, in_electrons=True) -> np.ndarray:
    """The clipped mean of frames without overscan and bias, times a factor."""
    store = MemoryStore()
    for raw in raws:
        store.add((subtract_overscan(raw, detector.amplifiers) - bias) * factor)
    noise = ReadNoise.of(detector.amplifiers, SHAPE, in_electrons=in_electrons)
    scale = FLAT_LEVEL if in_electrons else 1.0
    return combine(store, range(len(raws)), [scale] * len(raws), noise, MasterStackParameters()).data


@pytest.fixture(scope="module")
def sky(detector, frames):
    """A calibrated exposure of an even sky."""
    raw = read_out(np.full(SHAPE, SKY, np.float32), detector, exposure_time=60, rng=np.random.default_rng(9))
    trimmed = subtract_overscan(raw, detector.amplifiers)
    return calibrate(trimmed - frames.bias, detector.amplifiers, frames, BITS, exposure_time=60)


def good(detector: Detector) -> np.ndarray:
    """Pixels outside the bad columns."""
    return detector.response > 0.5


def test_the_flat_is_the_response_to_the_noise_of_its_photons(detector, frames):
    ratio = (frames.flat / detector.response)[good(detector)]
    expected = np.median(1 / np.sqrt(FLATS * FLAT_LEVEL * detector.response[good(detector)]))
    error = ratio.std() / ratio.mean()
    assert error == pytest.approx(expected, rel=0.05)  # clipping and read noise cost a few percent
    assert error < 1e-3


def test_the_two_amplifiers_meet_without_a_step(detector, sky):
    usable, half, strip = (sky.flags == 0), SHAPE[1] // 2, 20
    left, right = (
        sky.data[:, part][usable[:, part]].mean() for part in (slice(half - strip, half), slice(half, half + strip))
    )
    noise = np.sqrt(2 * SKY / (strip * SHAPE[0]))
    assert abs(left - right) < 3 * noise + 0.0005 * SKY
    assert abs(left - right) < 0.002 * SKY


def test_a_flattened_sky_is_even_in_blocks_to_its_noise(sky):
    usable = sky.flags == 0
    blocks, weights = (plane.reshape(10, 16, 12, 16).swapaxes(1, 2) for plane in (sky.data, usable))
    means = (blocks * weights).sum(axis=(2, 3)) / weights.sum(axis=(2, 3))
    # Half an electron more for the overscan of one frame.
    assert means.std() < 1.1 * np.sqrt(SKY + 30) / 16 + 0.5
    assert means.mean() == pytest.approx(SKY, rel=0.005)  # the median of the flat, not of the sky, is 1


def test_the_weight_is_the_inverse_of_the_scatter(sky):
    usable = sky.weight > 0
    pull = ((sky.data - SKY) * np.sqrt(sky.weight))[usable]
    assert pull.std() == pytest.approx(1, abs=0.01 + 3 / np.sqrt(2 * usable.sum()))


def test_dead_columns_are_flagged_bad_and_have_no_weight(detector, sky):
    dead = detector.response < 0.1
    assert dead.any()
    assert np.all(sky.flags[dead] & BITS.bad)
    assert not sky.weight[sky.flags != 0].any()
    assert not sky.weight[sky.flags != 0].any()
    assert np.mean(sky.flags[~dead] != 0) == 0


def test_each_amplifier_has_its_gain_read_noise_and_saturation():
    amplifiers = two_amplifiers(gain=2.0, read_noise=8.0, saturation=20_000.0)
    adu = np.full((64, 64), 1000, np.float32)
    adu[10, 10] = adu[10, 50] = 25_000
    found = calibrate(adu, amplifiers, Frames(), BITS, exposure_time=1)
    assert found.data[0, 0] == 1500 and found.data[0, 63] == 2000
    assert 1 / found.weight[0, 0] == pytest.approx(16 + 1500) and 1 / found.weight[0, 63] == pytest.approx(64 + 2000)
    assert not found.flags[10, 10]
    assert found.flags[10, 50] & BITS.saturated


def test_saturated_pixels_are_grown_by_two_and_their_trail_is_flagged_as_bleeding():
    adu = np.full((64, 64), 100, np.float32)
    adu[30:33, 20] = 49_000  # above 95 % of 50,000
    adu[20:45, 20] = np.maximum(adu[20:45, 20], 40_000)  # the trail does not reach full well
    adu[5, 20] = 40_000  # the same level, but not connected to it
    found = calibrate(adu, two_amplifiers(), Frames(), BITS, exposure_time=1)
    core = np.zeros((64, 64), bool)
    core[28:35, 18:23] = True
    np.testing.assert_array_equal((found.flags & BITS.saturated) != 0, core)
    trail = np.zeros((64, 64), bool)
    trail[19:46, 19:22] = True
    np.testing.assert_array_equal((found.flags & BITS.bleed) != 0, trail & ~core)
    assert found.flags[5, 20] == 0
    assert not found.weight[found.flags != 0].any()


def test_saturation_is_judged_before_the_overscan_was_subtracted():
    """A full well of 10,000 as read is 8,800 above a bias of 1,200: less than 95 % of it."""
    amplifiers = two_amplifiers(saturation=10_000.0)
    amplifiers = (replace(amplifiers[0], saturation=10_000.0), amplifiers[1])
    read = np.full((64, 64), 1300, np.float32)
    read[30, 30] = read[40, 50] = 10_000
    found = calibrate(read - 1200, amplifiers, Frames(), BITS, exposure_time=1, as_read=read)
    assert found.flags[30, 30] & BITS.saturated and found.flags[40, 50] & BITS.saturated
    assert found.data[0, 0] == 150
    assert not calibrate(read - 1200, amplifiers, Frames(), BITS, exposure_time=1).flags.any()


def test_no_pixel_of_a_bleeding_star_stays_unflagged(detector):
    expected = np.full(SHAPE, 300, np.float32)
    rows, columns = np.indices(SHAPE)
    expected += 4e5 * np.exp(-((rows - 80) ** 2 + (columns - 60) ** 2) / (2 * 2.5**2))
    raw = read_out(expected, detector, exposure_time=1, rng=np.random.default_rng(2), has_cosmic_rays=False)
    trimmed = subtract_overscan(raw, detector.amplifiers)
    found = calibrate(trimmed, detector.amplifiers, Frames(), BITS, exposure_time=1)
    full = trimmed > 0.9 * (CCD.saturation - max(CCD.bias_levels))
    assert full.sum() > 30
    lost = full & (found.flags == 0)
    grown = ndimage.binary_dilation(found.flags != 0, iterations=1)
    assert not lost.any(), f"{lost.sum()} full pixels, {(lost & grown).sum()} of them beside a flag"


def test_electrons_of_the_dark_current_are_noise_though_they_were_subtracted():
    adu = np.full((64, 64), 750, np.float32)
    ones = np.ones((64, 64), np.float32)
    frames = Frames(dark=2 * ones, flat=0.5 * ones, illumination=0.8 * ones)
    found = calibrate(adu, two_amplifiers(), frames, BITS, exposure_time=100)
    assert found.data[0, 0] == pytest.approx(750 * 1.5 / 0.4)
    assert 1 / found.weight[0, 0] == pytest.approx((16 + (750 + 200) * 1.5) / 0.4**2)


def test_a_dim_ccd_is_not_taken_for_a_dead_one():
    """A flat has the level 1 over the focal plane: in the vignetted corner it is far below."""
    flat = np.full((64, 64), 0.15, np.float32)
    flat[10, 10], flat[20, 20] = 0.02, 0.9
    found = calibrate(np.full((64, 64), 100, np.float32), two_amplifiers(), Frames(flat=flat), BITS)
    assert list(zip(*np.nonzero(found.flags))) == [(10, 10), (20, 20)]


def test_the_flags_of_a_mask_of_bad_pixels_are_kept_as_they_are():
    listed = np.zeros((64, 64), np.uint16)
    listed[3, 4], listed[5, 6] = BITS.bad, 128
    found = calibrate(np.full((64, 64), 100, np.float32), two_amplifiers(), Frames(bad_pixels=listed), BITS)
    assert found.flags[3, 4] == BITS.bad and found.flags[5, 6] == 128 and np.count_nonzero(found.flags) == 2


def test_what_is_not_finite_or_listed_as_bad_has_no_weight_and_no_nan_comes_out():
    adu = np.full((64, 64), 1000, np.float32)
    adu[3, 3], adu[4, 4] = np.nan, np.inf
    flat = np.ones((64, 64), np.float32)
    flat[5, 5], flat[6, 6], flat[7, 7] = np.nan, 0.05, 9.0
    listed = np.zeros((64, 64), bool)
    listed[8, 8] = True
    found = calibrate(adu, two_amplifiers(), Frames(flat=flat, bad_pixels=listed), BITS, exposure_time=1)
    diagonal = np.arange(3, 9)
    assert np.all(found.flags[diagonal, diagonal] & BITS.bad)
    assert np.count_nonzero(found.flags) == 6
    for plane in (found.data, found.weight):
        assert np.isfinite(plane).all()


def test_a_frame_of_another_shape_is_refused_by_its_name():
    with pytest.raises(BadInput, match="flat frame"):
        calibrate(np.zeros((64, 64), np.float32), two_amplifiers(), Frames(flat=np.ones((8, 8))), BITS, exposure_time=1)


def test_the_raw_pixels_are_left_as_they_were(detector, frames):
    trimmed = np.full(SHAPE, 3000, np.float32)
    before = trimmed.copy()
    calibrate(trimmed, detector.amplifiers, frames, BITS, exposure_time=1)
    np.testing.assert_array_equal(trimmed, before)
