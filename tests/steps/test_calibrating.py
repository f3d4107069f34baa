"""Master frames: less noise than one frame, the structure of the detector, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.readout import Frames
from processing.errors import BadInput, TooFewFrames
from processing.pipelines import BiasMaking, FlatMaking
from processing.simulated_night import detector_of
from processing.steps.raw_stack import Corrections
from tests.steps.night import FLAT_LEVEL, NIGHT, SECTION, stack_of


def test_the_master_bias_is_the_structure_under_the_overscan(ccd):
    detector = detector_of(NIGHT, SECTION)
    left = ccd.bias.data - detector.structure
    amplifier = detector.amplifiers[0]
    expected = np.hypot(amplifier.read_noise / amplifier.gain, np.sqrt(1 / 12)) / np.sqrt(NIGHT.biases)
    assert np.median(np.abs(left[:, :200])) / 0.6745 == pytest.approx(expected, rel=0.15)
    assert abs(np.median(left)) < 0.3  # ADU, of the overscan of five frames


def test_the_master_flat_is_the_response_with_the_median_1(ccd):
    response = detector_of(NIGHT, SECTION, "r").response
    good = response > 0.5
    ratio = ccd.flat.data[good] / response[good]
    assert np.median(ccd.flat.data) == pytest.approx(1, abs=0.002)
    assert ratio.std() / ratio.mean() == pytest.approx(1 / np.sqrt(FLAT_LEVEL * NIGHT.flats), rel=0.1)


def test_masters_say_of_which_frames_they_are(ccd):
    raw = stack_of("bias")
    assert ccd.bias.shape == NIGHT.shape
    assert (ccd.bias.section, ccd.bias.filter, ccd.bias.instrument) == (SECTION, "", "demo")
    assert ccd.flat.filter == "r"
    assert ccd.bias.mjd == min(row.mjd for row in raw.exposures)
    assert len(ccd.bias.related["raw_exposures"]) == NIGHT.biases


def test_the_digest_is_of_the_set_of_frames_whatever_their_order():
    raw = stack_of("bias")
    turned = replace(raw, exposures=raw.exposures[::-1])
    assert raw.facts()["components_digest"] == turned.facts()["components_digest"]
    fewer = replace(raw, exposures=raw.exposures[1:])
    assert raw.facts()["components_digest"] != fewer.facts()["components_digest"]


@pytest.mark.parametrize("step, kind", [(BiasMaking, "bias"), (FlatMaking, "flat")])
def test_too_few_frames_are_refused_with_their_number(ccd, step, kind):
    raw = stack_of(kind)
    few = replace(raw, frames=raw.frames[:2], exposures=raw.exposures[:2])
    with pytest.raises(TooFewFrames, match=f"2 usable {kind} frames.*at least 3"):
        step().run(raw=few, corrections=Corrections())
    step(min_frames=2).run(raw=few, corrections=Corrections())


def test_a_dark_flat_is_refused(ccd):
    raw = stack_of("flat")
    dark = replace(raw, frames=stack_of("bias").frames)
    with pytest.raises(BadInput, match="flat"):
        FlatMaking().run(raw=dark, corrections=Corrections(Frames(bias=ccd.bias.data + 50), ("bias",)))
