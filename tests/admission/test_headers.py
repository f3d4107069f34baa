"""Cards and checksums, for any bytes."""

from __future__ import annotations

import gzip
import io
import math
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.card import Undefined
from astropy.io.fits.header import _BasicHeader
from astropy.io.fits.verify import VerifyError
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.admission.checksums import sum_of
from processing.admission.compression import _unpacked_size
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
    found = value_of(image.partition("= ")[2].encode())
    if isinstance(value, str):
        assert (found or "") == value.rstrip(" ")
    elif isinstance(value, float):
        assert found == pytest.approx(value, rel=1e-12)
    else:
        assert found == value and type(found) is type(value)


@seeded
@given(st.binary(max_size=72))
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
    assert value_of(card("X", text)[10:]) == value and type(value_of(card("X", text)[10:])) is type(value)


@pytest.mark.parametrize("text", ["NaN", "inf", "0x10", "1,5", "'open", "'a' b", "TRUE", "1 2", "(1,2)", "-", "1_000"])
def test_what_is_no_value_says_what_it_is(text):
    found = value_of(card("X", text)[10:])
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


odd_cards = st.tuples(
    st.sampled_from(
        ["NAXIS1  ", "naxis1  ", " NAXIS1 ", "NAXIS1", "HIERARCH NAXIS1 ", "HIERARCH  naxis1", "CONTINUE", "COMMENT ", "END",
         "A_ORDER ", "a_order", "HIERARCH A_ORDER ", "BITPIX  ", "ENDING  ", "        ", "NAXIS1=", "A= NAXIS1", "HIERARCH", "GAIN"]
    ),
    st.sampled_from(["= ", "=", " = ", "  = ", ": ", " ", ""]),
    st.sampled_from(["5", "-1", "'a'", "'a&'", "T", "1.5", "NaN", "/ nothing", "6 / six", "", "= 7", "'open", "1 2"]),
).map(lambda parts: "".join(parts).ljust(80)[:80].encode())  # fmt: skip


def as_astropy_has_it(header: object, keyword: str) -> object:
    """A value; None where it has none, or none that it can read."""
    try:
        value = header[keyword]
    except (KeyError, VerifyError):
        return None
    return None if isinstance(value, Undefined) else value


@settings(seeded, max_examples=600)
@given(st.lists(odd_cards, min_size=1, max_size=4), st.booleans(), st.integers(0, 1))
def test_a_header_that_is_let_in_says_the_same_to_both_parsers_of_astropy(cards, is_last, behind):
    """What one reader takes for a keyword and another does not would pass the guard and do its harm."""
    ends = [b"END".ljust(80), *cards[:behind]] if is_last else [*cards[:behind], b"END".ljust(80)]
    block = b"".join([*cards, *ends]).ljust(2880)
    try:
        ours = read_header(contents_of(block), 1, 0, Limits())
    except BadExposureFile:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = fits.Header.fromfile(io.BytesIO(block), endcard=False)
        _, fast = _BasicHeader.fromfile(io.BytesIO(block))
        for keyword in ("NAXIS1", "BITPIX", "A_ORDER"):
            found = ours.get(keyword)
            for theirs in (whole, fast):
                if theirs is fast and keyword == "A_ORDER":
                    continue  # the fast one is only for what describes the data
                value = as_astropy_has_it(theirs, keyword)
                if isinstance(value, str) and keyword == "A_ORDER":
                    continue  # a text is no number of coefficients to anybody
                if isinstance(found, NoValue):
                    assert value is None or isinstance(value, str)
                elif value is not None:
                    assert found == value


@pytest.mark.parametrize("over", [-1, 0, 1, 2, 100, 258, 300])
@pytest.mark.parametrize("level", [1, 9])
def test_a_gzip_stream_that_ends_about_where_a_piece_does_is_whole(over, level):
    for pieces in (1, 2):
        content = (b"abc" * 90_000 * pieces)[: (1 << 18) * pieces + over]
        stream = gzip.compress(content, level)
        assert _unpacked_size([stream], 10**7) == len(content)
        assert _unpacked_size([stream[:50], stream[50:]], 10**7) == len(content)
        assert _unpacked_size([stream], len(content) - 1) == len(content)  # one more than is allowed
        assert _unpacked_size([stream[:-1]], 10**7) == -1
