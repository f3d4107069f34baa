"""Raw files that cannot be used, and what is said of each."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.instruments.test_instruments import image_file, wcs_header


def text_file(path: Path) -> Path:
    path.write_text("this is a letter, not an image\n" * 100)
    return path


def empty_file(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def truncated(path: Path) -> Path:
    whole = image_file(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def truncated_gzip(path: Path) -> Path:
    packed = gzip.compress(image_file(path).read_bytes())
    path = path.with_suffix(".fits.gz")
    path.write_bytes(packed[: len(packed) - 40])
    return path


def wrong_checksum_gzip(path: Path) -> Path:
    packed = bytearray(gzip.compress(image_file(path).read_bytes()))
    packed[-6] ^= 1
    path = path.with_suffix(".fits.gz")
    path.write_bytes(packed)
    return path


def without_image(path: Path) -> Path:
    fits.PrimaryHDU().writeto(path)
    return path


def a_cube(path: Path) -> Path:
    fits.PrimaryHDU(np.zeros((3, 20, 20), np.float32)).writeto(path)
    return path


def nan_position(path: Path) -> Path:
    whole = image_file(path).read_bytes()
    card = b"CRVAL1  =                150.0"
    assert card in whole
    path.write_bytes(whole.replace(card, b"CRVAL1  =                  NaN"))
    return path


def without_wcs(path: Path) -> Path:
    return image_file(path, **dict.fromkeys(wcs_header()))


FILES = {
    "missing": (lambda path: path, "there is no such file|neither a file"),
    "empty": (empty_file, "no FITS file.*fetch it again"),
    "text": (text_file, "not a FITS file.*right file"),
    "truncated": (truncated, "is it whole"),
    "truncated_gzip": (truncated_gzip, "is it whole"),
    "wrong_checksum_gzip": (wrong_checksum_gzip, "is it whole"),
    "without_image": (without_image, "no two-dimensional image"),
    "a_cube": (a_cube, "no two-dimensional image"),
    "without_exposure_time": (lambda path: image_file(path, EXPTIME=None), r"EXPTIME.*--set instrument\.exposure_time"),
    "odd_exposure_time": (lambda path: image_file(path, EXPTIME="long"), "EXPTIME = 'long' is not a number"),
    "negative_exposure_time": (lambda path: image_file(path, EXPTIME=-3.0), "EXPTIME = -3.0 must be above 0"),
    "without_date": (lambda path: image_file(path, **{"DATE-OBS": None}), r"DATE-OBS.*--set instrument\.mjd"),
    "odd_date": (lambda path: image_file(path, **{"DATE-OBS": "yesterday"}), r"DATE-OBS.*--set instrument\.mjd"),
    "impossible_date": (lambda path: image_file(path, **{"MJD-OBS": 2461367.2}), "MJD 2.46137e.06"),
    "without_filter": (lambda path: image_file(path, FILTER=None), r"FILTER.*--set instrument\.filter"),
    "endless_filter": (lambda path: image_file(path, FILTER="x" * 40), "filter: .*20 characters"),
    "without_gain": (lambda path: image_file(path, GAIN=None), r"GAIN.*--set instrument\.gain"),
    "without_saturation": (lambda path: image_file(path, SATURATE=None), r"SATURATE.*--set instrument\.saturation"),
    "without_wcs": (without_wcs, r"celestial.*--set instrument\.ra"),
    "nan_position": (nan_position, r"CRVAL1 = NaN is not a finite number.*--set instrument\.ra"),
}  # fmt: skip
