"""Cards and checksums, for any bytes."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.admission.checksums import sum_of
from processing.admission.headers import NoValue, read_header, value_of
from processing.admission.reading import Budget, Contents
from processing.admission.rules import Limits
from processing.errors import BadExposureFile
from tests.admission.files import card

seeded = settings(derandomize=True, deadline=None, max_examples=200, database=None)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


def contents_of(data: bytes) -> Contents:
    return Contents(io.BytesIO(data), len(data), Budget(20))


@seeded
@given(
    st.one_of(
        st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), printable
    )
)
def test_what_astropy_writes_in_a_card_is_read_as_it_was(value):
    image = fits.Card("KEYWORD", value, "what it is").image
    if len(image) > 80:  # a long text goes on in another card
        return
    found = value_of(image.encode())
    if isinstance(value, str):
        assert (found or "") == value.rstrip(" ")
    elif isinstance(value, float):
        assert found == pytest.approx(value, rel=1e-12)
    else:
        assert found == value and type(found) is type(value)


@seeded
@given(st.binary(min_size=80, max_size=80))
def test_any_card_has_a_value_or_none(card):
    found = value_of(card)
    assert found is None or isinstance(found, NoValue | str | int | float | bool)
    assert not (isinstance(found, float) and math.isnan(found))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("+1", 1), ("-0", 0), ("1.", 1.0), (".5", 0.5), ("1D3", 1000.0), ("1e-3", 0.001), ("T", True),
        ("'it''s'", "it's"), ("''", ""), ("", None), ("'12'", "12"),
    ],
)  # fmt: skip
def test_a_value_has_its_type(text, value):
    assert value_of(card("X", text)) == value and type(value_of(card("X", text))) is type(value)


@pytest.mark.parametrize("text", ["NaN", "inf", "0x10", "1,5", "'open", "'a' b", "TRUE", "1 2", "(1,2)", "-", "1_000"])
def test_what_is_no_value_says_what_it_is(text):
    found = value_of(card("X", text))
    assert isinstance(found, NoValue) and text.strip("'")[:3] in repr(found)


@seeded
@given(
    st.lists(
        st.sampled_from([b"END".ljust(80), b"SIMPLE  =                    T".ljust(80), b" " * 80, b"\xff" * 80]),
        max_size=80,
    ),
    st.integers(0, 79),
)
def test_any_bytes_are_a_header_or_refused(cards, missing):
    data = b"".join(cards)
    data = data[: len(data) - missing]
    try:
        found = read_header(contents_of(data), 0, 0, Limits())
    except BadExposureFile as error:
        assert error.code in ("truncated", "no-end")
    else:
        assert 0 < found.length <= len(data) and found.length % 2880 == 0


@seeded
@given(st.binary(max_size=40_000))
def test_the_sum_is_that_of_32_bit_words_with_the_carry_brought_around(data):
    data = data[: len(data) // 4 * 4]
    words = np.frombuffer(data, ">u4").astype(np.uint64).sum()
    assert sum_of(data) == int(words) % 0xFFFFFFFF


@pytest.mark.parametrize("length", [4, 512, 516, 2880, 1 << 18])
def test_the_sum_of_the_largest_words_is_zero(length):
    assert sum_of(b"\xff" * length) == 0
    assert sum_of(bytes(length - 1) + b"\x07") == 7
    assert sum_of(b"\x00\x00\x00\x05".ljust(length, b"\0")) == 5
