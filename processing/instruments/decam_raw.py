"""One CCD of a raw DECam file: amplifiers, bad halves and WCS, all from the header of its extension."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from processing.algorithms.overscan import Amplifier, Slices, parse_section
from processing.errors import BadInput
from processing.instruments.base import keyword
from processing.instruments.section_tables import TABLES, read_table
from products.pixel_flags import PixelFlag

NAMES = ("A", "B")
HINT = "is it a raw file of DECam as the archive has it? fetch it again"
_WCS = re.compile(r"(WCSAXES|RADESYS|EQUINOX|C(TYPE|UNIT|RVAL|RPIX)[12]|CD[12]_[12]|PV[12]_\d+)$")


def amplifiers(header: Mapping[str, Any], path: Path) -> tuple[Amplifier, ...]:
    """The two amplifiers of a CCD from the header of its extension.

    Sections, gains, read noise and saturation are those of the header: north and south CCDs differ in where they are.
    BadInput where a keyword is missing, or the two halves do not fill the CCD.
    """
    sections = {name: parse_section(keyword(header, [f"DATASEC{name}"], path, HINT, str)) for name in NAMES}
    top, left = trim_origin(sections.values())
    found = []
    for name, data in sections.items():
        backwards = _backwards(keyword(header, [f"AMPSEC{name}"], path, HINT, str), path)
        bias = parse_section(keyword(header, [f"BIASSEC{name}"], path, HINT, str))
        if bias[0] != data[0]:
            reason = f"BIASSEC{name} and DATASEC{name} have other rows; {HINT}"
            raise BadInput(what=f"{path} [{header.get('EXTNAME', '?')}]", reason=reason)
        found.append(
            Amplifier(
                name=name,
                data=data,
                bias=bias,
                target=(_moved(data[0], top), _moved(data[1], left)),
                gain=_positive(header, f"GAIN{name}", path),
                read_noise=_positive(header, f"RDNOISE{name}", path),
                saturation=_positive(header, f"SATURAT{name}", path),
                backwards=backwards,
                jumps=jump_rows(str(header.get("FPA", "")).strip(), data[0], backwards[0]),
            )
        )
    _refuse_gaps(found, path, header)
    return tuple(found)


def trim_origin(sections: Sequence[Slices]) -> tuple[int, int]:
    """The first row and column of the raw array, from 0, that are of the sky."""
    sections = list(sections)
    return min(rows.start for rows, _ in sections), min(columns.start for _, columns in sections)


def wcs_cards(header: fits.Header) -> fits.Header:
    """The WCS of an extension (TPV with its distortion), which is that of the trimmed image already.

    CRPIX of raw files counts from the middle of the trimmed CCD, although the header is that of the raw array: for S1,
    2151.2 = 1024 + 16.908 mm / 15 um. The solutions of the Community Pipeline agree with it to 4", and would differ by
    18" if the overscan were counted.
    """
    return fits.Header([card for card in header.cards if _WCS.match(card.keyword)])


def invalid_halves(header: Mapping[str, Any], found: Sequence[Amplifier]) -> np.ndarray | None:
    """Flags (ny, nx) uint16 of the trimmed image: BAD where the camera says that an amplifier's data are not valid."""
    invalid = [amplifier for amplifier in found if header.get(f"VALID{amplifier.name}", True) is False]
    if not invalid:
        return None
    shape = tuple(max(amplifier.target[axis].stop for amplifier in found) for axis in (0, 1))
    flags = np.zeros(shape, np.uint16)
    for amplifier in invalid:
        flags[amplifier.target] = int(PixelFlag.BAD)
    return flags


def _backwards(text: str, path: Path) -> tuple[bool, bool]:
    """Whether rows, columns are read from the far end, from a section in read order, e.g. `[2048:1025,4096:1]`."""
    found = re.fullmatch(r"\s*\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]\s*", text)
    if not found:
        raise BadInput(what=str(path), reason=f"the section {text!r} must look like [2048:1025,4096:1]; {HINT}")
    x1, x2, y1, y2 = map(int, found.groups())
    return y1 > y2, x1 > x2


def jump_rows(backplane: str, rows: slice, backwards: bool) -> tuple[int, ...]:
    """The row of the raw array from which the overscan has another level, where the CCD's backplane has such a jump.

    It comes after so many rows were read: counted from the side to which the CCD is read.
    """
    after = _bias_jumps().get(backplane)
    if after is None:
        return ()
    row = rows.stop - after if backwards else rows.start + after
    return (row,) if rows.start < row < rows.stop else ()


@lru_cache(maxsize=1)
def _bias_jumps() -> dict[str, int]:
    """Backplane → rows that are read before the jump."""
    table = read_table(TABLES / "decam_bias_jumps.ecsv")
    return {str(row["backplane"]): int(row["rows_read"]) for row in table}


def _positive(header: Mapping[str, Any], name: str, path: Path) -> float:
    value = keyword(header, [name], path, HINT)
    if not value > 0:
        raise BadInput(
            what=f"{path} [{header.get('EXTNAME', '?')}]", reason=f"{name} = {value:g} must be above 0; {HINT}"
        )
    return value


def _moved(part: slice, by: int) -> slice:
    return slice(part.start - by, part.stop - by)


def _refuse_gaps(found: Sequence[Amplifier], path: Path, header: Mapping[str, Any]) -> None:
    """BadInput where the halves overlap, or leave pixels of the CCD that none of them reads."""
    left, right = sorted(found, key=lambda amplifier: amplifier.data[1].start)
    if left.data[1].stop != right.data[1].start or left.data[0] != right.data[0]:
        reason = f"DATASECA and DATASECB are not two halves of one CCD; {HINT}"
        raise BadInput(what=f"{path} [{header.get('EXTNAME', '?')}]", reason=reason)
