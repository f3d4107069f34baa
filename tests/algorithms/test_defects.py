"""Bad pixels: those that are there are found, and hardly any others; tests that flag too much are refused."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.defects import (
    DefectParameters,
    bad_columns,
    bad_response,
    filled_columns,
    hot_pixels,
    odd_bias,
    refuse_too_many,
    unstable_ratio,
)
from processing.errors import BadInput

SHAPE = 384, 320
P = DefectParameters()


@pytest.fixture(scope="module")
def flat() -> np.ndarray:
    """An uneven response with 1 % from pixel to pixel."""
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    rng = np.random.default_rng(1)
    return ((1 - 0.1 * x**2 - 0.08 * y**2) * rng.normal(1, 0.01, SHAPE)).astype(np.float32)


def test_pixels_that_see_too_little_or_too_much_are_found(flat):
    spoiled, places = flat.copy(), ([10, 200, 300], [20, 100, 310])
    spoiled[places] *= [0.05, 0.6, 1.4]
    found = bad_response(spoiled, P)
    assert found[places].all() and found.sum() == 3
    assert not bad_response(flat, P).any()


def test_a_shallow_part_of_a_column_is_found_and_good_columns_are_not(flat):
    spoiled = flat.copy()
    spoiled[128:320, 77] *= 0.93
    found = bad_columns(spoiled, P)
    assert found[128:320, 77].all() and np.delete(found, 77, axis=1).sum() == 0
    assert not found[:64, 77].any() and not bad_columns(flat, P).any()


def test_pixels_whose_response_depends_on_the_level_are_found(flat):
    rng = np.random.default_rng(2)
    low, high = (flat * rng.normal(1, 0.004, SHAPE).astype(np.float32) for _ in range(2))
    high[50, 60] *= 1.2
    found = unstable_ratio(high, low, 0.0057, P)
    assert found[50, 60] and found.sum() == 1


def test_hot_pixels_and_an_odd_bias_are_found():
    rng = np.random.default_rng(3)
    dark = rng.normal(0.01, 0.02, SHAPE).astype(np.float32)
    dark[7, 8] += 5
    assert hot_pixels(dark, 0.02, P)[7, 8] and hot_pixels(dark, 0.02, P).sum() == 1
    bias = (rng.normal(0, 2, SHAPE[1]) + rng.normal(0, 2, SHAPE) + np.linspace(0, 8, SHAPE[0])[:, None]).astype("f4")
    bias[3, 4] += 100
    assert odd_bias(bias, P)[3, 4] and odd_bias(bias, P).sum() == 1


def test_a_column_with_many_defects_is_one_as_a_whole():
    mask = np.zeros(SHAPE, bool)
    mask[64:128:3, 9] = True
    mask[300, 9] = True
    found = filled_columns(mask, P)
    assert found[64:128, 9].all() and found.sum() == 64 + 1


def test_a_test_that_flags_a_fiftieth_of_the_pixels_is_refused():
    mask = np.zeros(SHAPE, bool)
    mask[:10] = True
    with pytest.raises(BadInput, match=r"response.*would flag 2\.6%"):
        refuse_too_many({"response": mask})
