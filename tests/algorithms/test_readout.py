"""The readout undone: ghosts of crosstalk go, the response becomes straight, levels jump where they are said to."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from processing.algorithms.overscan import Amplifier, subtract_overscan
from processing.algorithms.readout import (
    CROSSTALK,
    LINEARITY,
    Exposed,
    Frames,
    RawCcd,
    correct_adu,
    crosstalk_victims,
    linearity_lut,
)
from processing.errors import BadInput

ROWS, HALF, STRIP = 300, 40, 20
FULL = 60_000.0


def amplifiers(mirrored: bool = True) -> tuple[Amplifier, ...]:
    """Left data, left overscan, right overscan, right data; the right half is read from its far end."""
    rows = slice(0, ROWS)
    edges = np.cumsum([0, HALF, STRIP, STRIP, HALF])
    left, left_bias, right_bias, right = (slice(int(a), int(b)) for a, b in pairwise(edges))
    return (
        Amplifier("L", (rows, left), (rows, left_bias), (rows, slice(0, HALF)), 2.0, 5.0, FULL),
        Amplifier(
            "R", (rows, right), (rows, right_bias), (rows, slice(HALF, 2 * HALF)), 2.0, 5.0, FULL, (False, mirrored)
        ),
    )


def read(trimmed: np.ndarray, level: float = 1000.0) -> np.ndarray:
    raw = np.full((ROWS, 2 * (HALF + STRIP)), level, np.float32)
    for one in amplifiers():
        raw[one.data] += trimmed[one.target]
    return raw


def crosstalk(*rows: tuple) -> np.ndarray:
    return np.array([(*row, 1e-5) for row in rows], CROSSTALK)


def test_a_ghost_lies_where_it_was_read_at_the_same_moment_as_its_source():
    scene = np.full((ROWS, 2 * HALF), 50, np.float32)
    scene[100:104, 3:6] = 40_000  # near the end of the left half that is read first
    with_ghost = scene.copy()
    with_ghost[:, HALF:] += 2e-3 * scene[:, HALF - 1 :: -1]
    table = crosstalk(("R", "", "L", 2e-3))
    found = correct_adu(read(with_ghost), amplifiers(), Frames(crosstalk=table), ("overscan", "crosstalk"))
    np.testing.assert_allclose(found, scene, atol=0.01)
    assert with_ghost[101, 2 * HALF - 1 - 4] - 50 > 79  # mirrored
    wrong = correct_adu(
        read(with_ghost), amplifiers(mirrored=False), Frames(crosstalk=table), ("overscan", "crosstalk")
    )
    assert np.abs(wrong - scene).max() > 79


def test_ghosts_of_both_halves_are_of_what_was_read_and_not_of_each_other():
    rng = np.random.default_rng(1)
    scene = rng.uniform(0, 30_000, (ROWS, 2 * HALF)).astype(np.float32)
    ghosts = np.hstack([-1e-3 * scene[:, : HALF - 1 : -1], 3e-3 * scene[:, HALF - 1 :: -1]])
    table = crosstalk(("L", "", "R", -1e-3), ("R", "N1", "L", 3e-3))
    found = correct_adu(
        read(scene + ghosts), amplifiers(), Frames(crosstalk=table), ("overscan", "crosstalk"), Exposed(section="N1")
    )
    assert np.abs(found - scene).max() < 2 * 3e-3 * 1e-3 * 30_000 + 0.02  # the second order is left


def test_another_ccd_leaves_ghosts_too():
    scene, other = np.full((ROWS, 2 * HALF), 200, np.float32), np.zeros((ROWS, 2 * HALF), np.float32)
    other[50, 60] = 50_000
    ghost = scene.copy()
    ghost[:, :HALF] += 1e-3 * other[:, : HALF - 1 : -1]
    table = crosstalk(("L", "N7", "R", 1e-3))
    beside = Exposed("N1", neighbours={"N7": RawCcd(read(other, 700.0), amplifiers())})
    found = correct_adu(read(ghost), amplifiers(), Frames(crosstalk=table), ("overscan", "crosstalk"), beside)
    np.testing.assert_allclose(found, scene, atol=0.01)
    with pytest.raises(BadInput, match="L from N7 R"):
        correct_adu(read(ghost), amplifiers(), Frames(crosstalk=table), ("overscan", "crosstalk"), Exposed("N1"))


def test_the_ghost_of_a_full_source_is_marked_and_that_of_others_is_not():
    scene = np.full((ROWS, 2 * HALF), 1100, np.float32)
    scene[10, 7], scene[20, 8] = 0.97 * FULL, 0.9 * FULL
    found = crosstalk_victims(scene, amplifiers(), crosstalk(("R", "", "L", 1e-3)), Exposed(), 0.95)
    assert list(zip(*np.nonzero(found))) == [(10, 2 * HALF - 1 - 7)]
    assert not crosstalk_victims(scene, amplifiers(), crosstalk(("R", "", "L", 1e-5)), Exposed(), 0.95).any()


def test_amplifiers_of_unequal_size_cannot_have_crosstalk():
    left, right = amplifiers()
    short = {name: (slice(0, 100), getattr(right, name)[1]) for name in ("data", "bias", "target")}
    small = replace(right, **short)
    with pytest.raises(BadInput, match=r"crosstalk table.*pixels"):
        frames = Frames(crosstalk=crosstalk(("L", "", "R", 1e-3)))
        correct_adu(read(np.ones((ROWS, 2 * HALF))), (left, small), frames, ("overscan", "crosstalk"))


def bent(linear: np.ndarray, strength: float) -> np.ndarray:
    """What an amplifier measures that loses `strength` at 60,000 ADU."""
    return linear * (1 - strength * linear / FULL)


def linearity() -> np.ndarray:
    true = np.linspace(0, FULL, 121)
    return np.concatenate(
        [
            np.array([(name, m, t) for m, t in zip(bent(true, s), true)], LINEARITY)
            for name, s in (("L", 0.03), ("R", 0.01))
        ]
    )


def test_each_amplifier_is_made_straight_with_its_own_curve():
    true = np.linspace(0, 0.9 * FULL, ROWS * 2 * HALF, dtype=np.float32).reshape(ROWS, -1)
    measured = np.hstack([bent(true[:, :HALF], 0.03), bent(true[:, HALF:], 0.01)])
    found = correct_adu(read(measured), amplifiers(), Frames(linearity=linearity()), ("overscan", "linearity"))
    np.testing.assert_allclose(found, true, rtol=2e-4, atol=0.05)  # of the interpolation between 500 ADU


def test_noise_below_zero_and_light_beyond_the_table_go_on_straight():
    lut = linearity_lut(linearity(), "L")
    assert lut.shape == (65537,) and lut[0] == 0
    measured = np.zeros((ROWS, 2 * HALF), np.float32)
    measured[0, 0], measured[0, 1], measured[0, 2] = -20, 64_000, np.nan
    frames = Frames(linearity=linearity())
    found = correct_adu(read(measured), amplifiers(), frames, ("overscan", "linearity"))
    assert found[0, 0] == pytest.approx(-20 * lut[1], rel=1e-3)
    assert found[0, 1] == pytest.approx(lut[64_000], rel=1e-6) and lut[64_000] > lut[60_000] + 4000
    assert np.isnan(found[0, 2])


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (linearity()[:121], "amplifier R"), (linearity()[:1], "at least 2"),
        (linearity()[::-1], "must rise"),
    ],
)  # fmt: skip
def test_a_linearity_table_that_does_not_fit_is_refused(table, what):
    with pytest.raises(BadInput, match=what):
        correct_adu(read(np.ones((ROWS, 2 * HALF))), amplifiers(), Frames(linearity=table), ("overscan", "linearity"))


def test_bias_and_dark_are_taken_off_in_the_order_that_is_asked_for():
    ones = np.ones((ROWS, 2 * HALF), np.float32)
    frames = Frames(bias=30 * ones, dark=2 * ones, linearity=linearity())
    found = correct_adu(
        read(10_000 * ones), amplifiers(), frames, ("overscan", "bias", "linearity", "dark", "flat"),
        Exposed(exposure_time=10),
    )  # fmt: skip
    lut = linearity_lut(linearity(), "L")
    assert found[5, 5] == pytest.approx(lut[9970] - 20, abs=0.01)
    other = correct_adu(
        read(10_000 * ones), amplifiers(), frames, ("overscan", "bias", "dark", "linearity"), Exposed(exposure_time=10)
    )
    assert other[5, 5] == pytest.approx(lut[9950], abs=0.01) and other[5, 5] != found[5, 5]


@pytest.mark.parametrize("name", ["bias", "dark", "linearity", "crosstalk"])
def test_a_correction_without_its_frame_is_an_error_and_never_passed_over(name):
    with pytest.raises(BadInput, match=f"the {name} correction"):
        correct_adu(read(np.ones((ROWS, 2 * HALF))), amplifiers(), Frames(), ("overscan", name))


def test_the_raw_pixels_stay_as_they_were():
    raw = read(np.full((ROWS, 2 * HALF), 100, np.float32))
    before = raw.copy()
    frames = Frames(bias=np.ones((ROWS, 2 * HALF), np.float32), linearity=linearity())
    correct_adu(raw, amplifiers(), frames, ("overscan", "bias", "linearity"))
    np.testing.assert_array_equal(raw, before)


def test_the_level_is_not_smoothed_across_a_row_where_it_jumps():
    rng = np.random.default_rng(3)
    raw = rng.normal(1000, 3, (ROWS, 2 * (HALF + STRIP)))
    raw[137:] += 25
    plain = subtract_overscan(raw, amplifiers())
    told = subtract_overscan(raw, [replace(one, jumps=(137,)) for one in amplifiers()])
    rows = slice(130, 144)  # a median follows an edge too, but noise decides on which side the row of the edge falls
    expected = 4 * 3 / np.sqrt(HALF) + 1
    assert np.abs(told[rows].mean(axis=1)).max() < expected
    assert np.abs(told.mean(axis=1)).std() <= np.abs(plain.mean(axis=1)).std()
