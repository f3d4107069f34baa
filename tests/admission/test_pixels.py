"""Pixels that are no picture of the sky are refused when a CCD is read."""

from __future__ import annotations

import numpy as np
import pytest

from processing.admission.codes import Code
from processing.admission.pixels import check_pixels, check_place
from processing.errors import BadExposureFile, BadInput
from processing.instruments.base import RawSection
from products.models import Exposure
from products.pixel_flags import PixelFlag
from tests.admission.files import SHAPE, header, noise


def section(data: np.ndarray, flags: np.ndarray | None = None, **changes: float) -> RawSection:
    return RawSection(section="N1", filter="r", data=data, amplifiers=(), wcs=header(**changes), flags=flags)


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
        check_pixels(section(data), "field_1 N1")
    assert caught.value.code is code and str(caught.value).startswith("field_1 N1: ")


@pytest.mark.parametrize(
    "data", [noise(np.uint16), noise(np.float32), spoiled(np.nan, 0.49), spoiled(9.9e11, 0.01), spoiled(-5.0, 0.9)]
)
def test_a_picture_with_some_bad_pixels_is_let_through(data):
    check_pixels(section(data), "field_1 N1")


def test_pixels_that_are_all_flagged_are_no_picture():
    flags = np.full(SHAPE, int(PixelFlag.BAD), np.uint16)
    with pytest.raises(BadExposureFile) as caught:
        check_pixels(section(noise(), flags), "field_1 N1")
    assert caught.value.code is Code.NO_VALUES
    flags[0, 0] = 0
    check_pixels(section(noise(), flags), "field_1 N1")


def exposure(ra: float, dec: float, kind: str = "science") -> Exposure:
    return Exposure(name="field_1", kind=kind).set_position(ra, dec)


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (150.0, 6.9), (154.9, 2.0), (-210.0, 2.0)])
def test_an_image_is_within_5_degrees_of_its_exposure(ra, dec):
    check_place(section(noise()), exposure(ra % 360, dec), "field_1 N1")


@pytest.mark.parametrize(
    ("ra", "dec", "changes"), [(150.0, 7.1, {}), (330.0, -2.0, {}), (150.0, 2.0, {"CRPIX1": 40_000.0})]
)
def test_an_image_elsewhere_than_its_exposure_is_refused(ra, dec, changes):
    with pytest.raises(BadExposureFile, match=r"from the position of the exposure \[bad-wcs\]"):
        check_place(section(noise(), **changes), exposure(ra, dec), "field_1 N1")
    check_place(section(noise(), **changes), exposure(ra, dec, "flat"), "field_1 N1")  # which shows no sky


def test_an_image_whose_corners_are_nowhere_is_refused():
    with pytest.raises(BadInput):
        check_place(
            section(noise(), CTYPE1="RA---SIN", CTYPE2="DEC--SIN", CD1_1=0.05, CD2_2=0.05, CRPIX1=5000.0),
            exposure(150, 2),
            "x",
        )
