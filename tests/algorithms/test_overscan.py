"""Overscan: the level of each amplifier goes, row by row, and the data sections meet in one image."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.overscan import (
    Amplifier,
    fits_section,
    parse_section,
    subtract_overscan,
    trim,
    trimmed_shape,
)
from processing.errors import BadInput

ROWS, HALF, STRIP = 400, 60, 24
NOISE = 3.0  # ADU


def amplifier(name: str, data: slice, bias: slice | None, target: slice) -> Amplifier:
    rows = slice(0, ROWS)
    strip = None if bias is None else (rows, bias)
    return Amplifier(name, (rows, data), strip, (rows, target), 1.5, 5.0, 60000.0)


AMPLIFIERS = (
    amplifier("A", slice(0, HALF), slice(HALF, HALF + STRIP), slice(0, HALF)),
    amplifier(
        "B", slice(HALF + 2 * STRIP, 2 * (HALF + STRIP)), slice(HALF + STRIP, HALF + 2 * STRIP), slice(HALF, 120)
    ),
)


def raw(light: float = 0.0, seed: int = 1) -> np.ndarray:
    """Two amplifiers whose levels differ, drift along the rows, and scatter."""
    rng, rows = np.random.default_rng(seed), np.arange(ROWS)[:, None] / ROWS
    image = rng.normal(0, NOISE, (ROWS, 2 * (HALF + STRIP)))
    image[:, : HALF + STRIP] += 1010 + 8 * rows
    image[:, HALF + STRIP :] += 985 - 5 * rows**2
    for one in AMPLIFIERS:
        image[one.data] += light
    return np.rint(image).astype(np.uint16)


def test_what_is_left_of_the_levels_is_less_than_the_noise_of_their_overscan():
    found = subtract_overscan(raw(light=200.0), AMPLIFIERS)
    assert found.shape == trimmed_shape(AMPLIFIERS) == (ROWS, 2 * HALF)
    assert found.dtype == np.float32
    # A median over 51 rows of means over 24 columns; its neighbours are one measurement.
    error = 1.25 * NOISE / np.sqrt(51 * STRIP)
    for half in (found[:, :HALF], found[:, HALF:]):
        rows = half.mean(axis=1) - 200
        assert abs(rows.mean()) < 4 * error / np.sqrt(ROWS / 51) + 4 * NOISE / np.sqrt(half.size)
        assert rows.std() < 1.1 * np.hypot(error, NOISE / np.sqrt(HALF)) + 0.02  # the slopes of the levels are gone


def test_a_hit_in_the_overscan_does_not_shift_its_row():
    clean, hit = raw(), raw()
    hit[200:203, HALF + 5 : HALF + 9] += 5000
    np.testing.assert_allclose(
        subtract_overscan(hit, AMPLIFIERS), subtract_overscan(clean, AMPLIFIERS), atol=4 * NOISE / np.sqrt(STRIP)
    )


def test_an_amplifier_without_overscan_is_only_put_in_its_place():
    plain = amplifier("A", slice(0, HALF), None, slice(30, 30 + HALF))
    found = subtract_overscan(raw(), [plain])
    np.testing.assert_array_equal(found[:, 30:], raw()[:, :HALF])
    assert not found[:, :30].any()


def test_amplifiers_may_lie_in_any_order_in_the_raw_image():
    swapped = (
        amplifier("A", AMPLIFIERS[0].data[1], AMPLIFIERS[0].bias[1], slice(HALF, 2 * HALF)),
        amplifier("B", AMPLIFIERS[1].data[1], AMPLIFIERS[1].bias[1], slice(0, HALF)),
    )
    there, here = subtract_overscan(raw(), swapped), subtract_overscan(raw(), AMPLIFIERS)
    np.testing.assert_array_equal(there, np.hstack([here[:, HALF:], here[:, :HALF]]))


def test_trimmed_pixels_are_those_that_were_read():
    image = raw(light=100.0)
    found = trim(image, AMPLIFIERS)
    for one in AMPLIFIERS:
        np.testing.assert_array_equal(found[one.target], image[one.data])


def test_a_section_beyond_the_raw_image_is_refused_with_its_name():
    with pytest.raises(BadInput, match=r"amplifier B.*108 x 400"):
        subtract_overscan(raw()[:, :108], AMPLIFIERS)


def test_an_overscan_of_other_rows_than_the_data_is_refused():
    one = AMPLIFIERS[0]
    with pytest.raises(BadInput, match=r"amplifier A.*same rows"):
        subtract_overscan(raw(), [Amplifier("A", one.data, (slice(0, 10), one.bias[1]), one.target, 1.5, 5.0, 6e4)])


def test_sections_are_read_and_written_as_fits_counts():
    assert parse_section("[1081:2104,51:4146]") == (slice(50, 4146), slice(1080, 2104))
    assert fits_section(parse_section(" [ 7 : 56 , 1:4096 ] ")) == "[7:56,1:4096]"


@pytest.mark.parametrize("text", ["", "[1:2]", "[0:5,1:5]", "[5:1,1:5]", "[1:5,1:5", "[a:b,1:2]", None])
def test_what_is_no_section_is_refused(text):
    with pytest.raises(BadInput, match="section"):
        parse_section(text)
