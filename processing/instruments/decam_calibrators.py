"""Calibration files of DECam as the observatory and its users keep them: frames, masks, linearity, crosstalk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from processing.algorithms.overscan import parse_section
from processing.algorithms.readout import CROSSTALK, LINEARITY
from processing.errors import BadInput
from processing.instruments.base import image_data, open_fits
from processing.instruments.decam_instcal import flag_names
from processing.instruments.decam_raw import NAMES, trim_origin
from processing.instruments.section_tables import TABLES, read_table
from processing.instruments.supplied import Supplied, supplied_images
from products.pixel_flags import PixelFlag

SHAPE = (4096, 2048)  # of a trimmed CCD
CUT = 1  # pixels that the Community Pipeline leaves out at each edge
_NUMBERED = re.compile(r"(?:^|[._-])(?:ccd)?(0[1-9]|[1-5]\d|6[0-2])(?=[._-]|$)", re.IGNORECASE)
_POSITION = re.compile(r"(?:^|[._-])([NS](?:[1-9]|[12]\d|3[01]))(?=[._-]|$)")
_AMPLIFIER = re.compile(r"ccd(\d\d?)([AB])$", re.IGNORECASE)
_EQUAL = 0.02  # ADU: what a curve may lose when points that say little are left out


def supplied(path: Path, kind: str) -> Iterator[Supplied]:
    """What a file holds for each CCD; BadInput where it is not what `kind` needs."""
    if kind == "linearity":
        yield from linearity(path)
    elif kind == "crosstalk":
        yield from crosstalk(path)
    else:
        yield from frames(path, kind)


def frames(path: Path, kind: str) -> Iterator[Supplied]:
    """Frames or masks: one file with an extension a CCD, or one file a CCD; trimmed, or as a raw file has them.

    The CCD is that of CCDNUM, DETPOS or EXTNAME, else the number or position in the file's name. Frames that lack a
    row and column at each edge, as those of the Community Pipeline do, are filled up with flagged pixels.
    """
    for section, hdu in supplied_images(path, section_of):
        data, flags = _trimmed(image_data(hdu, path), hdu.header, f"{path} [{section}]")
        about = {"filter": _band(hdu.header), "mjd": _mjd(hdu.header)}
        if kind == "bad_pixels":
            yield Supplied(section, flags=flags | mask_flags(data), **about)
        else:
            yield Supplied(section, data=data.astype(np.float32), flags=flags, **about)


def section_of(header: fits.Header, stem: str) -> str:
    """The CCD of an image, by its header, else by the name of its file; empty where neither says it."""
    number = header.get("CCDNUM")
    if isinstance(number, int) and number in sections_by_number():
        return sections_by_number()[number]
    for name in ("DETPOS", "EXTNAME"):
        text = str(header.get(name, "")).strip().upper()
        if text in sections_by_number().values():
            return text
    if positions := _POSITION.findall(stem):
        return positions[-1]
    numbers = _NUMBERED.findall(stem)
    return sections_by_number()[int(numbers[-1])] if numbers else ""


@lru_cache(maxsize=1)
def sections_by_number() -> dict[int, str]:
    """CCDNUM → section."""
    return {int(row["ccdnum"]): str(row["section"]) for row in read_table(TABLES / "decam_ccds.ecsv")}


def mask_flags(mask: np.ndarray) -> np.ndarray:
    """Flags (ny, nx) uint16 from the bits of a mask of bad pixels (ny, nx); a bit that is not known is bad."""
    values, where = np.unique(np.asarray(mask).astype(np.int64), return_inverse=True)
    table, found = _mask_bits(), []
    for value in values.tolist():
        bits = int(PixelFlag.BAD) if value < 0 else 0
        for number in range(max(value, 0).bit_length()):
            if value >> number & 1:
                bits |= table.get(1 << number, int(PixelFlag.BAD))
        found.append(bits)
    return np.array(found, np.uint16)[where].reshape(mask.shape)


def linearity(path: Path) -> Iterator[Supplied]:
    """A table of linearity: of each CCD an extension with ADU above the bias, and linear ADU of amplifiers A and B.

    Columns ADU, ADU_LINEAR_A, ADU_LINEAR_B; the CCD is that of CCDNUM or EXTNAME, else the number of the extension.
    """
    with open_fits(path, new=True) as hdus:
        tables = [(number, hdu) for number, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU)]
        if not tables:
            raise BadInput(what=str(path), reason="there is no table in it; a table of linearity has one for each CCD")
        for number, hdu in tables:
            section = section_of(hdu.header, "") or sections_by_number().get(number, "")
            where = f"{path} [{number}]"
            if not section:
                raise BadInput(what=where, reason="nothing says of which CCD it is (CCDNUM, EXTNAME or its number)")
            needed = ("ADU", *(f"ADU_LINEAR_{name}" for name in NAMES))
            if lacking := [name for name in needed if name not in hdu.columns.names]:
                raise BadInput(what=where, reason=f"there is no column {', '.join(lacking)}")
            adu = np.asarray(hdu.data["ADU"], float)
            curves = [_curve(name, adu, np.asarray(hdu.data[f"ADU_LINEAR_{name}"], float), where) for name in NAMES]
            yield Supplied(section, table=np.concatenate(curves))


def crosstalk(path: Path) -> Iterator[Supplied]:
    """A text of crosstalk: lines `victim source coefficient [error]` such as `ccd01A ccd03B 0.00012`; # is a comment.

    The victim has the coefficient times the signal of the source too much. One table a victim CCD; coefficients of 0
    are left out.
    """
    rows: dict[str, list[tuple]] = {}
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except FileNotFoundError as error:
        raise BadInput(what=str(path), reason="there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(what=str(path), reason="it is no text; a table of crosstalk is one") from error
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if words:
            section, row = _coefficient(words, f"{path}, line {number}")
            if row[3] != 0:
                rows.setdefault(section, []).append(row)
    if not rows:
        raise BadInput(what=str(path), reason="there is no coefficient in it: lines such as ccd01A ccd03B 0.00012")
    for section, found in rows.items():
        pairs = [row[:3] for row in found]
        if len(set(pairs)) != len(pairs):
            raise BadInput(what=str(path), reason=f"it says a coefficient of CCD {section} twice")
        yield Supplied(section, table=np.array(found, CROSSTALK))


def _coefficient(words: list[str], where: str) -> tuple[str, tuple]:
    ends = [_AMPLIFIER.match(word) for word in words[:2]]
    try:
        values = [float(word) for word in words[2:4]]
    except ValueError:
        values = []
    known = all(end and int(end[1]) in sections_by_number() for end in ends)
    if not (known and len(ends) == 2 and values and np.all(np.abs(values) < 1)):
        raise BadInput(what=where, reason="it is not like ccd01A ccd03B 0.00012 (victim, source, coefficient below 1)")
    (victim, mine), (source, theirs) = ((sections_by_number()[int(end[1])], end[2].upper()) for end in ends)
    return victim, (mine, source, theirs, values[0], values[1] if len(values) > 1 else 0.0)


def _curve(name: str, adu: np.ndarray, linear: np.ndarray, where: str) -> np.ndarray:
    """Rows of one amplifier, without those that say nothing; BadInput for what is no curve of linearity."""
    usable = np.isfinite(adu) & np.isfinite(linear)
    if len(adu) < 2 or not usable.all() or np.any(np.diff(adu) <= 0) or np.any(np.diff(linear) <= 0):
        raise BadInput(what=where, reason=f"the curve of amplifier {name} does not rise from row to row")
    if adu[0] != 0 or abs(linear[0]) > 50:
        raise BadInput(what=where, reason=f"the curve of amplifier {name} does not begin at 0 ADU")
    if np.any(np.abs(linear - adu) > 0.3 * adu + 50):
        raise BadInput(what=where, reason=f"amplifier {name} would be corrected by more than 30 %; is it this table?")
    kept = _corners(adu, linear)
    rows = np.zeros(kept.sum(), LINEARITY)
    rows["amplifier"], rows["adu"], rows["linear_adu"] = name, adu[kept], linear[kept]
    return rows


def _corners(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points (n,) a curve needs: the others are within _EQUAL of straight lines between those.

    Douglas and Peucker 1973: the point that is furthest from the line between two that are kept is kept too.
    """
    kept = np.zeros(len(x), bool)
    kept[[0, -1]] = True
    pending = [(0, len(x) - 1)]
    while pending:
        first, last = pending.pop()
        inner = slice(first + 1, last)
        line = y[first] + (y[last] - y[first]) * (x[inner] - x[first]) / (x[last] - x[first])
        off = np.abs(y[inner] - line)
        if off.size and off.max() > _EQUAL:
            middle = first + 1 + int(off.argmax())
            kept[middle] = True
            pending += [(first, middle), (middle, last)]
    return kept


def _trimmed(data: np.ndarray, header: Mapping[str, Any], where: str) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the sky and flags of those that are not there, both of the shape of a trimmed CCD."""
    flags = np.zeros(SHAPE, np.uint16)
    if data.shape == SHAPE:
        return data, flags
    if data.shape == tuple(size - 2 * CUT for size in SHAPE):
        flags[:] = int(PixelFlag.EDGE | PixelFlag.ZERO_WEIGHT)
        flags[CUT:-CUT, CUT:-CUT] = 0
        return np.pad(data, CUT, mode="edge"), flags  # a neighbour's value: nothing is divided by 0
    texts = [header.get(f"DATASEC{name}") for name in NAMES]
    if all(texts):
        top, left = trim_origin([parse_section(text) for text in texts])
        cut = data[top : top + SHAPE[0], left : left + SHAPE[1]]
        if cut.shape == SHAPE:
            return cut, flags
    shapes = f"{SHAPE[0]} rows of {SHAPE[1]} pixels, the same without {CUT} at each edge, or raw with DATASECA and B"
    raise BadInput(what=where, reason=f"it has {data.shape[0]} rows of {data.shape[1]} pixels; a CCD has {shapes}")


@lru_cache(maxsize=1)
def _mask_bits() -> dict[int, int]:
    table = read_table(TABLES / "decam_bad_pixels.ecsv").filled("")
    return {int(row["bit"]): int(flag_names(row["flags"])) for row in table}


def _band(header: Mapping[str, Any]) -> str:
    words = str(header.get("FILTER", header.get("BAND", ""))).split()
    return words[0] if words else ""


def _mjd(header: Mapping[str, Any]) -> float | None:
    value = header.get("MJD-OBS")
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
