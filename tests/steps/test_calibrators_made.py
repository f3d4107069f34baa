"""Calibrators of a simulated CCD of a real camera against the truth: what is left of each effect, and what is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.detrend import amplifier_plane
from processing.algorithms.readout import RawCcd
from processing.algorithms.simulation_ccd import Ghost
from processing.algorithms.simulation_readout import (
    Light,
    crosstalk_sources,
    expose,
    measured,
    read_out,
    sky_frame,
)
from processing.errors import BadInput, TooFewFrames
from processing.pipelines import (
    BadPixelMaking,
    BiasMaking,
    CrosstalkMeasuring,
    DarkMaking,
    FlatMaking,
    FringeMaking,
    IlluminationMaking,
    LinearityMaking,
)
from processing.steps.raw_stack import Corrections
from products.pixel_flags import PixelFlag
from tests.algorithms.raw_ccds import small_sky
from tests.steps.calibration_frames import (
    biases,
    ccd_of,
    darks,
    exposures,
    flats,
    night_skies,
    ramp,
    stack,
    starry,
    truly,
)

CCD = ccd_of()
GOOD = ~CCD.defects
GAIN = amplifier_plane(CCD.layout.amplifiers, CCD.shape, "gain")  # of the headers
TRUE_GAIN = CCD.plane([found.gain for found in CCD.electronics])


@pytest.fixture(scope="module")
def flat():
    corrections = truly(CCD, "crosstalk", "bias", "linearity")
    return FlatMaking().run(flats(), corrections)


def test_a_bias_has_the_structure_that_the_overscan_does_not_show():
    made = BiasMaking().run(biases(), Corrections())
    off = made.data - CCD.bias
    assert off.std() == pytest.approx(made.quality["figures"]["noise"], rel=0.08)
    assert abs(off.mean()) < 0.2 and made.quality["figures"]["frames"] == 8
    assert made.quality["figures"]["noise_ratio"] == pytest.approx(1, abs=0.06)


def test_a_dark_is_the_current_of_every_pixel_whatever_the_exposure_times():
    made = DarkMaking().run(darks(), truly(CCD, "bias", "linearity"))
    current = made.data * GAIN
    off = (current - CCD.dark * GAIN / TRUE_GAIN)[~CCD.hot]
    assert np.std(off) == pytest.approx(made.quality["figures"]["noise"] * GAIN.mean(), rel=0.2)
    assert abs(np.median(off)) < 0.003
    np.testing.assert_allclose(current[CCD.hot], CCD.dark[CCD.hot], rtol=0.1, atol=0.2)
    assert made.quality["figures"]["shortest"] == 60 and made.quality["figures"]["longest"] == 600


def test_biases_among_darks_are_left_out_with_the_reason():
    raw = darks()
    times = [row.exposure_time for row in raw.exposures]
    made = DarkMaking().run(replace(raw, exposures=exposures("dark", [0.0, *times[1:]])), truly(CCD, "bias"))
    assert made.quality["rejected"] == {"dark-0": "its exposure time is 0 s: it is a bias"}
    assert len(made.related["raw_exposures"]) == 4


def test_a_dome_flat_is_the_response_to_a_thousandth_with_no_step_between_the_amplifiers(flat):
    truth = CCD.response * CCD.screen * GAIN / TRUE_GAIN
    ratio = flat.data / truth
    assert (ratio[GOOD] / np.mean(ratio[GOOD])).std() < 1.1 / np.sqrt(29e3 * 20)  # photons of all frames
    left, right = (np.median(ratio[a.target][GOOD[a.target]]) for a in CCD.layout.amplifiers)
    assert abs(left / right - 1) < 2e-4
    assert np.median(flat.data) == pytest.approx(1, abs=1e-3)
    assert flat.quality["figures"]["level"] == pytest.approx(29e3, rel=0.02)


def test_flats_of_a_lamp_and_of_twilight_do_not_mix_and_one_of_twilight_has_no_stars():
    raw = flats((2e4, 2.2e4, 1.5e4, 1.8e4, 2.5e4, 2.1e4), "twilight")
    mixed = replace(raw, exposures=(*raw.exposures[:3], *exposures("flat", [5.0] * 3, "dome")))
    corrections = truly(CCD, "crosstalk", "bias", "linearity")
    with pytest.raises(BadInput, match="several lights"):
        FlatMaking().run(mixed, corrections)
    made = FlatMaking().run(raw, corrections)
    ratio = (made.data / (CCD.response * GAIN / TRUE_GAIN))[GOOD]
    expected = made.quality["figures"]["noise"]
    assert ratio.std() / ratio.mean() < 1.15 * expected
    assert np.mean(np.abs(ratio / np.median(ratio) - 1) > 6 * expected) < 1e-4


def test_the_level_of_the_focal_plane_scales_a_flat_and_nothing_else(flat):
    raw = flats()
    levels = tuple(2 * 29e3 for _ in raw.exposures)
    dark_ccd = FlatMaking().run(replace(raw, levels=levels), truly(CCD, "crosstalk", "bias", "linearity"))
    assert np.median(dark_ccd.data) == pytest.approx(0.5, rel=0.03)
    np.testing.assert_allclose(dark_ccd.data / np.median(dark_ccd.data), flat.data / np.median(flat.data), rtol=1e-4)


def test_a_flat_of_the_night_sky_is_the_response_to_the_sky():
    made = FlatMaking().run(night_skies(0.0), truly(CCD, "crosstalk", "bias", "linearity"))
    ratio = made.data / (CCD.response * GAIN / TRUE_GAIN)
    spread = ratio[GOOD].std() / ratio[GOOD].mean()
    assert spread < 1.15 * made.quality["figures"]["noise"]
    blocks = np.where(GOOD, ratio, np.median(ratio)).reshape(16, 32, 16, 32).mean(axis=(1, 3))
    assert blocks.std() / blocks.mean() < 2e-3  # no stars are left in it


def test_an_illumination_correction_is_what_the_screen_does_otherwise_than_the_sky(flat):
    corrections = truly(CCD, "crosstalk", "bias", "linearity", "flat", flat=flat.data)
    made = IlluminationMaking().run(night_skies(0.0), corrections)
    truth = np.median(CCD.screen) / CCD.screen
    off = made.data / truth
    assert np.median(made.data) == pytest.approx(1, abs=1e-3)
    assert off.std() < 0.25 * truth.std()
    assert off.std() < 1.5e-3


def test_a_fringe_pattern_is_the_true_one_with_the_true_amplitude(flat):
    ccd = ccd_of(fringes=0.02)
    truth = ccd.fringe
    corrections = truly(ccd, "crosstalk", "bias", "linearity", "flat", flat=ccd.response)
    made = FringeMaking().run(night_skies(0.02), corrections)
    good = GOOD & (made.flags == 0)
    amplitude = np.sum((made.data * truth)[good]) / np.sum(truth[good] ** 2)
    noise = np.std((made.data - amplitude * truth)[good])
    assert amplitude == pytest.approx(1, abs=0.05)
    assert noise < 1.1 * made.quality["figures"]["noise"]
    assert abs(np.mean(made.data[made.flags == 0], dtype=float)) < 1e-6
    assert made.quality["figures"]["amplitude"] == pytest.approx(truth.std(), rel=0.15)


def test_bad_pixels_are_found_and_good_ones_are_not():
    dark = CCD.dark / TRUE_GAIN
    corrections = truly(CCD, "bias", "linearity", "dark", dark=dark)
    made = BadPixelMaking().run(flats((5e3, 4e4) * 3), corrections)
    bad = made.flags == int(PixelFlag.BAD)
    for name in ("hot", "dead", "bad_columns"):
        kind = getattr(CCD, name)
        assert np.mean(bad[kind]) >= 0.99, name
    assert np.mean(bad[GOOD]) < 1e-3
    assert made.filter == "z" and made.quality["figures"]["by response"] > 0


def test_a_linearity_table_is_the_true_one_to_a_five_hundredth():
    made = LinearityMaking().run(ramp(), truly(CCD, "crosstalk", "bias"))
    truth = CCD.linearity_table()
    for amplifier in CCD.layout.amplifiers:
        found, true = (table[table["amplifier"] == amplifier.name] for table in (made.table, truth))
        adu = np.linspace(100, 0.9 * true["adu"].max(), 100)
        ratio = np.interp(adu, found["adu"], found["linear_adu"]) / np.interp(adu, true["adu"], true["linear_adu"])
        assert np.abs(ratio - 1).max() < 2e-3
    figures = made.quality["figures"]
    assert figures["reach"] > 0.9 and figures["residual"] < 5e-4 and figures["lamp_followed"]


def test_a_crosstalk_table_holds_the_true_coefficients_within_their_errors():
    made = CrosstalkMeasuring().run(starry(), Corrections())
    truth = {(row["amplifier"], row["source_amplifier"]): row["coefficient"] for row in CCD.crosstalk_table()}
    assert {(row["amplifier"], row["source_amplifier"]) for row in made.table} == set(truth)
    for row in made.table:
        off = row["coefficient"] - truth[row["amplifier"], row["source_amplifier"]]
        assert abs(off) < 3 * row["error"] and row["error"] < 6e-4


def test_where_too_few_frames_are_left_every_reason_is_told():
    raw = flats((300.0, 29e3, 29.5e3, 1e5))
    with pytest.raises(TooFewFrames, match=r"2 usable flat frames: at least 3 .*flat-0: level .* below 500") as found:
        FlatMaking().run(raw, truly(CCD, "bias"))
    assert set(found.value.details["rejected"]) == {"flat-0", "flat-3"}
    assert "saturated" in found.value.details["rejected"]["flat-3"]


def test_ghosts_of_another_ccd_are_found_where_they_are_looked_for():
    own, other = (replace(ccd_of(number=number), ghosts=()) for number in (1, 2))
    own = replace(own, ghosts=(Ghost("A", "B", 3e-3, "N2"),))
    frames, others = [], []
    for seed in range(4):
        charge = expose(other, Light(sky=500.0, sources=small_sky(seed=seed + 20)), exposure_time=60.0, seed=seed)
        others.append(RawCcd(read_out(charge, other, seed=seed).raw, other.layout.amplifiers))
        sources = crosstalk_sources(own, measured(charge.electrons, other), "N2")
        frames.append(sky_frame(own, Light(sky=500.0), seed=seed + 50, exposure_time=60.0, others=sources))
    raw = replace(stack(own, frames, "science", [60.0] * 4), neighbours=lambda index: {"N2": others[index]})
    found = CrosstalkMeasuring(all_pairs=True).run(raw, Corrections()).table
    row = found[(found["source_section"] == "N2") & (found["amplifier"] == "A") & (found["source_amplifier"] == "B")]
    assert len(found) == len(row) == 1
    assert abs(row["coefficient"][0] - 3e-3) < max(3 * row["error"][0], 1e-4)
    with pytest.raises(BadInput, match="bright pixels"):
        CrosstalkMeasuring().run(raw, Corrections())
