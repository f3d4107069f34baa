"""Calibration frames and tables that come from outside, one CCD at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from processing.errors import BadInput
from processing.instruments.base import image_data, images_of, open_fits, stem_of
from products.pixel_flags import PixelFlag

IMAGES = ("bias", "dark", "flat", "fringe", "illumination", "bad_pixels")
TABLES = ("linearity", "crosstalk")


@dataclass(frozen=True)
class Supplied:
    """What calibrates one CCD: pixels, or a table."""

    section: str
    data: np.ndarray | None = None  # (ny, nx) float32 of the trimmed image, in the unit of its kind
    flags: np.ndarray | None = None  # (ny, nx) uint16 of PixelFlag; those of a mask of bad pixels, or of frames
    table: np.ndarray | None = None  # structured, columns as preprocessing reads them
    filter: str = ""  # short name, where the file says it
    mjd: float | None = None  # of the file, where it says it


def supplied_images(path: Path, section_of: Callable[[fits.Header, str], str]) -> Iterator[tuple[str, Any]]:
    """Section and HDU of each image of a file.

    `section_of(header, stem)` names the CCD; BadInput where it cannot, or names one twice.
    """
    seen: set[str] = set()
    with open_fits(path, new=True) as hdus:
        for hdu in images_of(hdus, path):
            section = section_of(hdu.header, stem_of(path))
            if not section:
                where = f"{path} [{hdu.name or 'first image'}]"
                raise BadInput(what=where, reason="nothing says of which CCD it is (EXTNAME)")
            if section in seen:
                raise BadInput(what=str(path), reason=f"it has CCD {section} twice")
            seen.add(section)
            yield section, hdu


def by_extension_name(header: fits.Header, stem: str) -> str:
    """The CCD that EXTNAME names."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", str(header.get("EXTNAME", "")).strip())[:20]


def plain_images(path: Path, kind: str) -> Iterator[Supplied]:
    """The images of a file as they are, CCDs by EXTNAME; of a mask of bad pixels all that is not 0 is bad."""
    if kind not in IMAGES:
        raise BadInput(what=str(path), reason=f"{kind} of this instrument is not read from files, only images are")
    for section, hdu in supplied_images(path, by_extension_name):
        data = image_data(hdu, path)
        if kind == "bad_pixels":
            yield Supplied(section, flags=np.where(data != 0, int(PixelFlag.BAD), 0).astype(np.uint16))
        else:
            yield Supplied(section, data=data.astype(np.float32))
