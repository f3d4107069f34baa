"""Pixels that are no picture of the sky are refused when a CCD is read."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from processing.admission.codes import Code
from processing.errors import BadExposureFile
from processing.instruments.base import RawSection
from processing.providers import _refuse_unusable
from products.pixel_flags import PixelFlag
from tests.admission.files import SHAPE, noise


def section(data: np.ndarray, flags: np.ndarray | None = None) -> RawSection:
    return RawSection(section="N1", filter="r", data=data, amplifiers=(), wcs=fits.Header(), flags=flags)


def spoiled(value: float, fraction: float) -> np.ndarray:
    """Noise with one value in a part of its pixels."""
    data = noise(np.float32)
    data.flat[: round(fraction * data.size)] = value
    return data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (spoiled(np.nan, 1.0), Code.NO_VALUES),
        (spoiled(np.nan, 0.51), Code.NO_VALUES),
        (spoiled(np.inf, 0.9), Code.NO_VALUES),
        (np.zeros((0, 5), np.int16), Code.NO_VALUES),
        (spoiled(np.inf, 0.01), Code.ABSURD_VALUES),
        (spoiled(1.1e12, 0.001), Code.ABSURD_VALUES),
        (spoiled(-3e30, 0.001), Code.ABSURD_VALUES),
        (np.full(SHAPE, 7, np.uint16), Code.CONSTANT),
        (np.full(SHAPE, 7.5, np.float32), Code.CONSTANT),
    ],
)
def test_pixels_that_are_no_picture_have_a_code(data, code):
    with pytest.raises(BadExposureFile) as caught:
        _refuse_unusable(section(data), "field_1 N1")
    assert caught.value.code is code and str(caught.value).startswith("field_1 N1: ")


@pytest.mark.parametrize(
    "data", [noise(np.uint16), noise(np.float32), spoiled(np.nan, 0.49), spoiled(9.9e11, 0.01), spoiled(-5.0, 0.9)]
)
def test_a_picture_with_some_bad_pixels_is_let_through(data):
    _refuse_unusable(section(data), "field_1 N1")


def test_pixels_that_are_all_flagged_are_no_picture():
    flags = np.full(SHAPE, int(PixelFlag.BAD), np.uint16)
    with pytest.raises(BadExposureFile) as caught:
        _refuse_unusable(section(noise(), flags), "field_1 N1")
    assert caught.value.code is Code.NO_VALUES
    flags[0, 0] = 0
    _refuse_unusable(section(noise(), flags), "field_1 N1")
