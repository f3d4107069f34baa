"""The vote: offset, rotation and scale of a field among spurious detections, and no confidence where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.asterisms import vote

SIDE = 4000.0
CENTRE = np.array([SIDE / 2, SIDE / 2])
BOX = 12.0  # px, half of the 3 × 3 bins that are summed: pairs that agree within it look alike
LEVER = SIDE / np.sqrt(6)  # px, typical distance from the centre
GRID = {"reach": 160.0, "rotations": np.arange(-1, 1.05, 0.1), "scales": np.ones(1)}


def moved(xy: np.ndarray, rotation: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.radians(rotation)
    matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return (xy - CENTRE) @ matrix + CENTRE + shift


def lists(true: int, spurious: int, *, rotation=0.0, scale=1.0, shift=(0.0, 0.0), seed: int = 1):
    rng = np.random.default_rng(seed)
    stars = rng.uniform(0, SIDE, (2 * true, 2))  # half of the catalogue is not detected
    seen = moved(stars[:true], rotation, scale, shift) + rng.normal(0, 0.1, (true, 2))
    return np.vstack([seen, rng.uniform(0, SIDE, (spurious, 2))]), stars


@pytest.mark.parametrize("seed", range(4))
def test_most_pairs_agree_on_offset_and_rotation(seed):
    detected, stars = lists(60, 60, rotation=0.62, shift=(73.0, -51.0), seed=seed)
    found = vote(detected, stars, CENTRE, **GRID)
    assert found.rotation == pytest.approx(0.62, abs=np.degrees(BOX / LEVER))
    assert found.shift == pytest.approx((73.0, -51.0), abs=4)
    assert found.significance > 8
    apart = np.abs(found.apply(stars[:60], CENTRE) - detected[:60])
    assert np.median(apart) < BOX / 2


def test_a_wrong_scale_is_found_where_it_is_looked_for():
    detected, stars = lists(80, 20, scale=1.012, shift=(20.0, 30.0))
    found = vote(detected, stars, CENTRE, reach=100, rotations=np.zeros(1), scales=np.arange(0.98, 1.021, 0.004))
    assert found.scale == pytest.approx(1.012, abs=BOX / LEVER)
    assert found.significance > 8


@pytest.mark.parametrize("seed", range(4))
def test_lists_that_have_nothing_in_common_win_no_confidence(seed):
    rng = np.random.default_rng(seed)
    found = vote(rng.uniform(0, SIDE, (150, 2)), rng.uniform(0, SIDE, (300, 2)), CENTRE, **GRID)
    assert found.significance < 8


def test_nine_of_ten_detections_may_be_spurious():
    detected, stars = lists(30, 270, shift=(-40.0, 12.0))
    found = vote(detected, stars, CENTRE, reach=80, rotations=np.zeros(1), scales=np.ones(1))
    assert found.shift == pytest.approx((-40.0, 12.0), abs=3)


def test_a_shift_on_the_edge_of_a_bin_is_not_split():
    detected, stars = lists(50, 0, shift=(4.0, 4.0))
    found = vote(detected, stars, CENTRE, reach=40, rotations=np.zeros(1), scales=np.ones(1), bin_size=8.0)
    assert found.votes >= 50
    assert found.shift == pytest.approx((4.0, 4.0), abs=0.3)


def test_empty_lists_win_nothing():
    found = vote(np.zeros((0, 2)), np.zeros((0, 2)), CENTRE, **GRID)
    assert found.votes == 0 and found.significance <= 0
