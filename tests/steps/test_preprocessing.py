"""Preprocessing: a raw frame becomes electrons, with a weight and flags that tell what is of no use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.masks import grow
from processing.algorithms.readout import Frames
from processing.algorithms.simulation_render import background
from processing.algorithms.statistics import difference_noise
from processing.errors import BadInput, BadPixels
from processing.pipelines import Preprocessing
from processing.providers import Calibrators
from processing.simulated_night import clear_zero_point, conditions_of, detector_of, frame_of
from products.pixel_flags import PixelFlag
from tests.steps.night import NIGHT, SECTION, exposure_of, raw_of


@pytest.fixture(scope="module")
def image(ccd):
    return ccd.new["image"]


def test_the_sky_is_as_bright_as_it_was_in_electrons(ccd, image):
    expected = background(frame_of(NIGHT, ccd.late, SECTION))
    ratio = np.median(image.data[image.weight > 0] / expected[image.weight > 0])
    assert ratio == pytest.approx(1, abs=0.01)  # the flat is 1 in the median, the response of the CCD nearly so


def test_the_amplifiers_meet_without_a_step(image):
    good, half = image.weight > 0, image.width // 2
    left, right = (
        np.median(image.data[:, part][good[:, part]]) for part in (slice(half - 25, half), slice(half, half + 25))
    )
    assert abs(left - right) < 0.002 * left + 4 * 1.25 * np.sqrt(2 * left / (25 * image.height))


def test_weights_are_the_inverse_variance_of_the_pixels(ccd, image):
    signal = image.data - ccd.new["background"].level
    busy = grow(signal > 4 * ccd.new["background"].noise, 6) | (image.weight <= 0)
    pull = difference_noise(signal * np.sqrt(image.weight), busy)
    assert pull == pytest.approx(1, abs=0.03)  # five flats and sources too faint to be left out add to the noise


def test_flagged_pixels_have_no_weight_and_dead_columns_are_flagged(ccd, image):
    unusable = (image.flags & int(PixelFlag.UNUSABLE)) != 0
    assert not image.weight[unusable].any()
    assert np.all(image.weight[~unusable] > 0)
    dead = detector_of(NIGHT, SECTION, ccd.late.band).response < 0.1
    assert np.all(image.flags[dead] & int(PixelFlag.BAD))
    for plane in (image.data, image.weight):
        assert np.isfinite(plane).all() and plane.dtype == np.float32


def test_saturated_stars_are_flagged(ccd, image):
    assert image.data.max() > 0.98 * image.saturation  # the night has such stars
    full = image.data > 0.98 * image.saturation
    assert np.all(image.flags[full] & int(PixelFlag.SATURATED | PixelFlag.BLEED | PixelFlag.BAD))


def test_the_row_says_what_the_image_is(ccd, image):
    assert image.shape == image.data.shape == image.weight.shape == image.flags.shape == NIGHT.shape
    assert image.preprocessing == ["overscan", "bias", "gain", "flat", "trails", "cosmic_rays"]
    assert (image.filter, image.instrument, image.telescope, image.section) == ("r", "demo", "small", SECTION)
    assert image.mjd_end - image.mjd == pytest.approx(ccd.late.exposure_time / 86400)
    assert image.pixel_scale == pytest.approx(1.0, rel=0.001)
    assert len(image.corners) == 4


def test_the_first_look_is_close_to_what_the_stars_say_later(ccd, image):
    new = ccd.new
    assert image.background_level == pytest.approx(new["background"].value, rel=0.003)
    assert image.background_noise == pytest.approx(new["background"].noise, rel=0.02)
    # A Gaussian matched to a star with wings is wider than the star at half its height, by some 12 %.
    assert image.fwhm == pytest.approx(1.12 * new["psf"].fwhm_pixels * image.pixel_scale, rel=0.06)
    conditions = conditions_of(NIGHT, ccd.late)
    clouds = clear_zero_point(ccd.late.band, conditions.airmass) - conditions.zero_point
    assert image.zero_point_estimate - new["zero_point"].zp == pytest.approx(clouds, abs=0.05)
    # Without clouds only the wings, which the Gaussian has not, are between the two limits: 0.1 to 0.2 mag.
    deeper = image.limiting_magnitude_estimate - new["zero_point"].limiting_magnitude
    assert deeper - clouds == pytest.approx(0.15, abs=0.1)


def test_without_a_zero_point_in_the_file_there_is_a_seeing_and_no_limit(ccd):
    raw = replace(raw_of(ccd.late), zero_point=None)
    row = Preprocessing().run(exposure=exposure_of(ccd.late), raw=raw, calibrators=ccd.calibrators)
    assert row.fwhm == ccd.new["image"].fwhm and row.background_noise > 0
    assert row.zero_point_estimate is None and row.limiting_magnitude_estimate is None


def test_an_image_of_which_most_is_unusable_is_refused(ccd):
    raw = raw_of(ccd.late)
    data = raw.data.copy()
    for amplifier in raw.amplifiers:
        data[amplifier.data] = 65535
    full = replace(raw, data=data)
    with pytest.raises(BadPixels, match=ccd.late.name):
        Preprocessing().run(exposure=exposure_of(ccd.late), raw=full, calibrators=ccd.calibrators)


def test_frames_of_another_shape_are_refused(ccd):
    wrong = Calibrators(Frames(bias=np.zeros((10, 10), np.float32)), ("overscan", "bias"))
    with pytest.raises(BadInput, match="bias"):
        Preprocessing().run(exposure=exposure_of(ccd.late), raw=raw_of(ccd.late), calibrators=wrong)


def test_an_image_that_comes_calibrated_keeps_its_weight_and_flags(ccd, image):
    """No overscan, a pedestal, and planes of its own, as instruments that deliver reduced images have."""
    raw = raw_of(ccd.late)
    whole = (slice(0, image.height), slice(0, image.width))
    amplifier = replace(raw.amplifiers[0], data=whole, bias=None, target=whole, gain=2.0)
    weight = np.full(image.shape, 0.01, np.float32)
    flags = np.zeros(image.shape, np.uint16)
    flags[5, 6], flags[7, 8] = int(PixelFlag.COSMIC_RAY), int(PixelFlag.INTERPOLATED)
    given = replace(
        raw, data=np.full(image.shape, 1100, np.float32), amplifiers=(amplifier,), pedestal=100.0, weight=weight,
        flags=flags, done=("flat",),
    )  # fmt: skip
    found = Preprocessing().run(exposure=exposure_of(ccd.late), raw=given, calibrators=Calibrators())
    assert found.data[0, 0] == 2000
    assert found.weight[0, 0] == np.float32(0.01)
    assert found.weight[5, 6] == 0 and found.weight[7, 8] == np.float32(0.01)
    assert found.flags[7, 8] == int(PixelFlag.INTERPOLATED)
    assert found.preprocessing == ["flat", "gain"]  # there is no noise to look for trails in


def test_exposures_of_another_filter_in_each_section_get_theirs(ccd):
    found = Preprocessing().run(
        exposure=exposure_of(ccd.late), raw=replace(raw_of(ccd.late), filter="i"), calibrators=ccd.calibrators
    )
    assert found.filter == "i"
