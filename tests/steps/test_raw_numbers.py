"""A raw CCD with every effect of a real camera, calibrated with frames that know it: what is left, and what is flagged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from astropy.io import fits

from processing.algorithms.masks import grow
from processing.algorithms.readout import Frames
from processing.algorithms.simulation_ccd import Ccd
from processing.algorithms.simulation_readout import Light, RawFrame, sky_frame
from processing.errors import BadInput
from processing.instruments.base import RawSection
from processing.pipelines import Preprocessing
from processing.providers import Calibrators
from products.models import Exposure, ScienceImage
from products.pixel_flags import PixelFlag
from tests.algorithms.raw_ccds import small_ccd, small_exposure

SHAPE = 768, 512
ORDER = ("overscan", "crosstalk", "bias", "linearity", "dark", "flat", "fringe", "bad_pixels")


def frames_of(ccd: Ccd) -> Frames:
    """What perfect calibration frames of a CCD would say."""
    defects = ccd.bad_columns | ccd.dead | ccd.hot
    gain = np.zeros(ccd.shape, np.float32)
    for amplifier in ccd.layout.amplifiers:
        gain[amplifier.target] = amplifier.gain
    return Frames(
        bias=ccd.bias.astype(np.float32),
        dark=(ccd.dark / gain).astype(np.float32),
        flat=ccd.response.astype(np.float32),
        fringe=ccd.fringe.astype(np.float32),
        bad_pixels=np.where(defects, int(PixelFlag.BAD), 0).astype(np.uint16),
        linearity=ccd.linearity_table(),
        crosstalk=ccd.crosstalk_table(),
    )


def preprocessed(ccd: Ccd, raw: np.ndarray, corrections: tuple[str, ...] = ORDER, **parameters) -> ScienceImage:
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.0, 2.0
    header["CRPIX1"], header["CRPIX2"] = SHAPE[1] / 2, SHAPE[0] / 2
    header["CD1_1"], header["CD2_2"] = -2.8e-4, 2.8e-4
    section = RawSection("N1", "z", raw, ccd.layout.amplifiers, header)
    exposure = Exposure(name="raw", instrument="ls4", mjd=61000.0, exposure_time=60.0)
    calibrators = Calibrators(frames_of(ccd), corrections)
    return Preprocessing(**parameters).run(exposure=exposure, raw=section, calibrators=calibrators)


@dataclass(frozen=True)
class Result:
    """A calibrated exposure beside what is true of it."""

    ccd: Ccd
    frame: RawFrame
    image: ScienceImage

    @property
    def touched(self) -> np.ndarray:
        """Pixels that hold charge which is not of the sky, or cannot hold it."""
        truth, ccd = self.frame.truth, self.ccd
        hits = (truth.trail_light > 0.1 * np.sqrt(truth.sky)) | (truth.cosmic_rays > 0.5 * np.sqrt(truth.variance))
        return hits | grow(truth.saturated | truth.bleed, 3) | ccd.bad_columns | ccd.dead | ccd.hot

    @property
    def clean(self) -> np.ndarray:
        return (self.image.flags == 0) & ~self.touched

    def flagged(self, bits: PixelFlag) -> np.ndarray:
        return (self.image.flags & int(bits)) != 0


@pytest.fixture(scope="module", params=[3, 4])
def result(request) -> Result:
    ccd = small_ccd(request.param, shape=SHAPE, gain_error=0.0)
    frame = small_exposure(ccd, request.param, sky=2000.0)
    return Result(ccd, frame, preprocessed(ccd, frame.raw))


def test_all_corrections_are_made_in_the_order_of_the_camera(result):
    assert result.image.preprocessing == [
        "overscan", "crosstalk", "bias", "linearity", "dark", "gain", "flat", "bad_pixels", "fringe", "trails",
        "cosmic_rays",
    ]  # fmt: skip


def test_the_weight_tells_the_truth_on_the_sky_and_on_galaxies_and_stars(result):
    expected, sky = result.frame.truth.expected, result.frame.truth.sky
    pull = (result.image.data - expected) * np.sqrt(result.image.weight)
    empty, bright = result.clean & (expected < 1.05 * sky), result.clean & (expected > 1.3 * sky)
    assert bright.sum() > 1000
    assert pull[empty].std() == pytest.approx(1, abs=0.03)
    assert pull[bright].std() == pytest.approx(1, abs=0.03 + 3 / np.sqrt(2 * bright.sum()))
    assert abs(pull[empty].mean()) < 0.02


def test_the_amplifiers_meet_without_a_step(result):
    left = result.image.data - result.frame.truth.expected
    half, strip = SHAPE[1] // 2, 100
    parts = slice(half - strip, half), slice(half, half + strip)
    means = [left[:, part][result.clean[:, part]].mean() for part in parts]
    sky = result.frame.truth.sky
    noise = np.sqrt(2 * sky / (strip * SHAPE[0]))
    assert abs(means[0] - means[1]) < 0.002 * sky + 3 * noise


@pytest.mark.parametrize("electrons", [6e6, 6e7])
def test_what_is_full_or_spilt_is_flagged_along_trails_of_any_length(result, electrons):
    y, x = np.indices(SHAPE)
    light = result.frame.truth.sky * np.ones(SHAPE)
    for column, row in ((60, 200), (200, 500), (330, 380), (450, 90)):
        light += electrons / 20 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * 1.8**2))
    frame = sky_frame(result.ccd, Light(sky=light, is_night=True), seed=3, exposure_time=60.0)
    image = preprocessed(result.ccd, frame.raw)
    lost = frame.truth.saturated | frame.truth.bleed
    assert lost.sum() > 100
    found = (image.flags & int(PixelFlag.SATURATED | PixelFlag.BLEED)) != 0
    assert found[lost].mean() >= 0.99
    assert np.mean(found & ~grow(lost, 4)) <= 1e-3
    assert not image.weight[found].any()


def test_the_trail_is_flagged_and_hardly_a_good_pixel_is(result):
    assert result.flagged(PixelFlag.TRAIL)[result.frame.truth.trail].mean() >= 0.95
    wrongly = result.flagged(PixelFlag.UNUSABLE) & ~result.touched
    assert wrongly.mean() <= 1e-3
    stars = (result.frame.truth.expected > 1.3 * result.frame.truth.sky) & ~result.touched
    assert wrongly[stars].mean() <= 0.01


def test_most_of_the_charge_of_cosmic_rays_is_flagged(result):
    hits = result.frame.truth.cosmic_rays > 20 * np.sqrt(result.frame.truth.variance)
    assert hits.sum() > 50
    assert result.flagged(PixelFlag.UNUSABLE)[hits].mean() > 0.9


def test_fringes_are_gone_to_a_tenth(result):
    left = (result.image.data - result.frame.truth.expected)[result.clean]
    pattern = result.ccd.fringe[result.clean]
    before, after = result.frame.truth.sky, np.sum(left * pattern) / np.sum(pattern**2)
    noise = np.sqrt(before) / np.sqrt(np.sum(pattern**2))
    assert abs(after) < 0.1 * before and abs(after) < 5 * noise
    assert result.image.quality["fringe_amplitude"] == pytest.approx(before, rel=0.1)


def test_ghosts_of_bright_stars_are_below_a_tenth_of_the_noise_of_the_sky(result):
    """Seen in the mean of all pixels with a ghost of at least one ADU, in which the noise averages out."""
    ghosts, sky = result.frame.truth.ghosts, result.frame.truth.sky
    where = result.clean & (np.abs(ghosts) > 0.5)
    assert where.sum() > 20
    left = (result.image.data - result.frame.truth.expected)[where]
    gain = result.ccd.layout.amplifiers[0].gain
    weight = ghosts[where] * gain
    remaining = np.sum(left * weight) / np.sum(weight**2)  # part of each ghost
    noise = np.sqrt(sky / np.sum(weight**2))
    typical = np.sqrt(np.mean(weight**2))
    assert abs(remaining) * typical < 0.1 * np.sqrt(sky) + 3 * noise * typical


def test_the_ghost_of_a_full_source_is_marked_where_it_lies_and_stays_usable(result):
    left, right = result.ccd.layout.amplifiers
    light = np.full(SHAPE, result.frame.truth.sky)
    light[200, 60] = 1e7
    frame = sky_frame(result.ccd, Light(sky=light, is_night=True), seed=3, exposure_time=60.0)
    image = preprocessed(result.ccd, frame.raw)
    assert left.backwards[1] != right.backwards[1]
    ghost = image.flags[200, SHAPE[1] - 1 - 60]
    assert ghost & int(PixelFlag.CROSSTALK) and image.weight[200, SHAPE[1] - 1 - 60] > 0
    assert not image.flags[200, 100] & int(PixelFlag.CROSSTALK)
    without = preprocessed(result.ccd, frame.raw, tuple(name for name in ORDER if name != "crosstalk"))
    assert not (without.flags & int(PixelFlag.CROSSTALK)).any()


def test_fringes_cannot_be_taken_off_where_there_is_no_sky(result):
    alike = tuple(replace(one, gain=2.0) for one in result.ccd.layout.amplifiers)
    ccd = replace(result.ccd, layout=replace(result.ccd.layout, amplifiers=alike))
    with pytest.raises(BadInput, match="fringe"):
        preprocessed(ccd, np.full_like(result.frame.raw, 3000), ("fringe",))


def test_the_response_is_straight_to_nine_tenths_of_the_full_well():
    """Even light of many levels, without photon noise to hide behind: the mean of each level against the truth."""
    ccd = small_ccd(5, shape=SHAPE, gain_error=0.0, cosmic_rays=0.0, crosstalk=0.0)
    amplifier = ccd.layout.amplifiers[0]
    full = (amplifier.saturation - 1000) * amplifier.gain
    for part in (0.02, 0.1, 0.3, 0.6, 0.85):
        frame = sky_frame(ccd, Light(sky=part * full), seed=7, exposure_time=60.0)
        corrections = tuple(name for name in ORDER if name != "fringe")
        image = preprocessed(ccd, frame.raw, corrections, find_trails=False, find_cosmic_rays=False)
        usable = image.weight > 0
        ratio = np.mean(image.data[usable]) / np.mean(frame.truth.expected[usable])
        assert ratio == pytest.approx(1, abs=0.002), part
        plain = preprocessed(
            ccd,
            frame.raw,
            ("overscan", "bias", "dark", "flat", "bad_pixels"),
            find_trails=False,
            find_cosmic_rays=False,
        )
        if part > 0.5:
            assert abs(np.mean(plain.data[usable]) / np.mean(frame.truth.expected[usable]) - 1) > 0.005


def test_corrections_that_are_left_out_stay_in_the_image(result):
    ccd, frame = result.ccd, result.frame
    few = preprocessed(ccd, frame.raw, ("overscan", "bias", "linearity", "dark", "flat"), find_trails=False)
    assert few.preprocessing == ["overscan", "bias", "linearity", "dark", "gain", "flat", "cosmic_rays"]
    assert "fringe_amplitude" not in few.quality and "trails" not in few.quality
    pattern = ccd.fringe[result.clean]
    before = np.sum((few.data - frame.truth.expected)[result.clean] * pattern) / np.sum(pattern**2)
    assert before == pytest.approx(frame.truth.sky, rel=0.1)
    assert not (few.flags & int(PixelFlag.TRAIL)).any()


def test_the_same_pixels_give_the_same_image(result):
    again = preprocessed(result.ccd, result.frame.raw)
    for name in ("data", "weight", "flags"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result.image, name))


def test_a_jump_that_the_instrument_declares_leaves_no_edge(result):
    told = result.ccd.layout.amplifiers
    assert all(one.jumps for one in told)
    row = told[0].jumps[0] - told[0].data[0].start
    left = np.where(result.clean, result.image.data - result.frame.truth.expected, np.nan)
    below, above = np.nanmean(left[row - 3 : row]), np.nanmean(left[row : row + 3])
    noise = np.sqrt(2 * result.frame.truth.sky / (3 * SHAPE[1]))
    assert abs(above - below) < 4 * noise
