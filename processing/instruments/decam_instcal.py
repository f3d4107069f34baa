"""DECam exposures as the Community Pipeline of NOIRLab reduces them ("instcal"): image, weight and data quality.

The pixels are ADU of a CCD whose amplifiers the flat field brought to one response, with the sky in them; weights are
1/ADU², source noise included. Checked on exposures of the pipeline's version 4: the noise of the sky and the slope of
1/weight with the signal both give the mean of GAINA and GAINB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from processing.algorithms.overscan import Amplifier
from processing.errors import BadInput
from processing.instruments.base import RawSection, image_data, images_of, keyword, open_fits
from processing.instruments.decam_raw import wcs_cards
from processing.instruments.section_tables import TABLES, read_table
from products.pixel_flags import PixelFlag

HINT = "is it an instcal image of DECam as the archive has it? fetch it again"
ROLES = {"weight": "oow", "flags": "ood"}
# What the pipeline corrects. It takes no dark.
DONE = ("overscan", "crosstalk", "bias", "linearity", "flat", "illumination", "fringe", "bad_pixels")
FIRST_WITH_CODES = (3, 5)  # version of the pipeline


def companion_name(name: str, role: str) -> str:
    """The name of the weight or data-quality file (`role` is weight or flags) of an image file; empty for others."""
    return name.replace("_ooi_", f"_{ROLES[role]}_", 1) if "_ooi_" in name else ""


def companions_beside(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Path]:
    """Weight and data quality in the folder of the image.

    BadInput where one of them lacks a CCD of the image, or has it in another shape.
    """
    found = {}
    for role in ROLES:
        name = companion_name(path.name, role)
        beside = path.parent / name
        if not name or not beside.is_file():
            continue
        with open_fits(beside, new=True) as hdus:
            there = {hdu.name: hdu.shape for hdu in images_of(hdus, beside)}
        if other := [section for section, shape in shapes.items() if there.get(section) != shape]:
            reason = f"it has CCD {other[0]} not at all, or in another shape than {path.name}; fetch both again"
            raise BadInput(what=str(beside), reason=reason)
        found[role] = beside
    return found


def read_instcal(path: Path, companions: Mapping[str, Path], header: Mapping[str, Any], section: str) -> RawSection:
    """One CCD with what lies beside it, in electrons once the gain is applied."""
    place = header["hdus"][section]
    with open_fits(path, only=[place]) as hdus:
        data, found = image_data(hdus[place], path).astype(np.float32), hdus[place].header
    gain = np.mean([_positive(found, f"GAIN{name}", path) for name in "AB"])
    finite = np.isfinite(data)
    flags = np.where(finite, 0, int(PixelFlag.BAD)).astype(np.uint16)
    if "flags" in companions:
        with open_fits(companions["flags"]) as hdus:
            quality = image_data(hdus[section], companions["flags"])
        flags |= quality_flags(quality, header["PLVER"])
    weight = None
    if "weight" in companions:
        with open_fits(companions["weight"]) as hdus:
            values = image_data(hdus[section], companions["weight"]).astype(np.float32)
        weight = np.where(np.isfinite(values) & (values > 0), values, 0) / np.float32(gain) ** 2
    amplifier = Amplifier.of_whole(
        data.shape,
        gain=float(gain),
        read_noise=float(np.mean([_positive(found, f"RDNOISE{name}", path) for name in "AB"])),
        saturation=_saturation(found, path),
    )
    return RawSection(
        section=section,
        filter=header["FILTER"],
        data=np.where(finite, data, 0),
        amplifiers=(amplifier,),
        wcs=wcs_cards(found),
        zero_point=_zero_point(header.get("MAGZERO"), float(gain)),
        weight=weight,
        flags=flags,
        done=DONE,
    )


def quality_flags(quality: np.ndarray, version: str) -> np.ndarray:
    """Flags (ny, nx) uint16 from a data-quality plane (ny, nx) of whole numbers.

    Up to version 3.4 of the pipeline its values are sums of bits; from 3.5 on each pixel has one code. What the table
    does not know is bad. BadInput for a version that is none.
    """
    convention = "code" if pipeline_version(version) >= FIRST_WITH_CODES else "bits"
    table = _meanings()[convention]
    values, where = np.unique(np.asarray(quality), return_inverse=True)
    bits = [_bits_of(int(value), table, convention) if value >= 0 else int(PixelFlag.BAD) for value in values]
    return np.array(bits, np.uint16)[where].reshape(quality.shape)


def pipeline_version(text: str) -> tuple[int, int]:
    """Major and minor version from a keyword PLVER such as `V4.8.2a`."""
    found = re.match(r"\D*(\d+)\.(\d+)", str(text))
    if not found:
        reason = f"PLVER = {text!r} does not say which version of the pipeline made it; {HINT}"
        raise BadInput(what="the data quality", reason=reason)
    return int(found[1]), int(found[2])


def flag_names(text: str) -> PixelFlag:
    """The flags that a cell of a table names, e.g. `BAD|EDGE`."""
    found = PixelFlag(0)
    for name in filter(None, str(text).split("|")):
        found |= PixelFlag[name]
    return found


def _bits_of(value: int, table: Mapping[int, int], convention: str) -> int:
    if value == 0:
        return 0
    if convention == "code":
        return table.get(value, int(PixelFlag.BAD))
    bits = 0
    for number in range(value.bit_length()):
        if value >> number & 1:
            bits |= table.get(1 << number, int(PixelFlag.BAD))
    return bits


@lru_cache(maxsize=1)
def _meanings() -> dict[str, dict[int, int]]:
    """Convention → value → bits of the flags plane."""
    found: dict[str, dict[int, int]] = {"code": {}, "bits": {}}
    table = read_table(TABLES / "decam_data_quality.ecsv").filled("")
    for row in table:
        found[str(row["convention"])][int(row["value"])] = int(flag_names(row["flags"]))
    return found


def _saturation(header: Mapping[str, Any], path: Path) -> float:
    if header.get("SATURATE") is not None:
        return _positive(header, "SATURATE", path)
    return min(_positive(header, f"SATURAT{name}", path) for name in "AB")


def _positive(header: Mapping[str, Any], name: str, path: Path) -> float:
    value = keyword(header, [name], path, HINT)
    if not value > 0:
        raise BadInput(what=str(path), reason=f"{name} = {value:g} must be above 0; {HINT}")
    return value


def _zero_point(magnitude: Any, gain: float) -> float | None:
    """AB magnitude of one electron from that of one ADU in the exposure."""
    if not isinstance(magnitude, int | float) or not magnitude > 0:
        return None
    return float(magnitude + 2.5 * np.log10(gain))
