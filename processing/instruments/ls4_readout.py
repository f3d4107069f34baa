"""The readout of an LS4 CCD: which pixels of its one or two extensions belong to which amplifier.

The section keywords always describe readout through both amplifiers, each half in the coordinates of its own extension.
In the stored arrays the right half lies at low x, the left half at high x. Through the left amplifier alone, an
extension holds PRESECL, right half, left half, BIASSECL; through the right one alone BIASSECR, right half, left half.
Source: public code of the survey, 2026.

The direction of reading follows from the overscan, which is read after the last pixel of a row: where it lies at lower
x than the data, columns were stored from the last that was read to the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from processing.algorithms.overscan import Amplifier, fits_section, parse_section
from processing.errors import BadInput
from processing.instruments.base import keyword

LEFT, RIGHT = "LEFT", "RIGHT"  # values of AMP_NAME
_LETTER = {LEFT: "L", RIGHT: "R"}
_HINT = "is it a raw file of LS4? fetch it again"
_KEYWORDS = {"gain": ("GAIN",), "read_noise": ("RDNOISE", "READNOIS"), "saturation": ("SATURATE", "SATURVAL")}


@dataclass(frozen=True)
class Extension:
    """An image extension of a raw file."""

    data: np.ndarray  # (ny, nx) ADU
    header: Mapping[str, Any]
    where: str  # for messages


def both_amplifiers(
    halves: Mapping[str, Extension], defaults: Mapping[str, float], what: str
) -> tuple[np.ndarray, tuple[Amplifier, ...]]:
    """One raw array of a CCD that was read through both amplifiers, the right half at low x, and the amplifiers.

    `halves` are the extensions by AMP_NAME, `defaults` gain, read noise and saturation where headers do not say.
    BadInput where a half is missing, or the two do not fit together.
    """
    if missing := [side for side in (RIGHT, LEFT) if side not in halves]:
        raise BadInput(what=what, reason=f"the file lacks what its {missing[0]} amplifier read; {_HINT}")
    right, left = halves[RIGHT], halves[LEFT]
    if right.data.shape[0] != left.data.shape[0]:
        reason = f"its halves have {left.data.shape[0]} (left) and {right.data.shape[0]} (right) rows; {_HINT}"
        raise BadInput(what=what, reason=reason)
    first, second = (_sections(half, side) for half, side in ((right, RIGHT), (left, LEFT)))
    if first["DATASEC"][0] != second["DATASEC"][0]:
        raise BadInput(what=what, reason=f"DATASECL and DATASECR of its halves have other rows; {_HINT}")
    width, split = right.data.shape[1], _width(first["DATASEC"])
    rows = first["DATASEC"][0]
    found = []
    for half, side, sections, shift, target in ((right, RIGHT, first, 0, 0), (left, LEFT, second, width, split)):
        data, bias = (_moved(sections[name][1], shift) for name in ("DATASEC", "BIASSEC"))
        found.append(_amplifier(half, side, (rows, data, bias), target, defaults))
    return np.hstack([right.data, left.data]), tuple(found)


def one_amplifier(
    extension: Extension, side: str, defaults: Mapping[str, float]
) -> tuple[np.ndarray, tuple[Amplifier, ...]]:
    """The raw array of a CCD that was read through the amplifier `side` alone, and that amplifier."""
    left, right = (_sections(extension, name) for name in (LEFT, RIGHT))
    rows = left["DATASEC"][0]
    width = _width(left["DATASEC"]) + _width(right["DATASEC"])
    if side == LEFT:
        start = left["PRESEC"][1].stop
        bias = _moved(left["BIASSEC"][1], _width(right["DATASEC"]))
    else:
        start = right["DATASEC"][1].start
        bias = right["BIASSEC"][1]
    parts = (rows, slice(start, start + width), bias)
    return extension.data, (_amplifier(extension, side, parts, 0, defaults),)


def _sections(extension: Extension, side: str) -> dict[str, tuple[slice, slice]]:
    """DATASEC, BIASSEC and PRESEC of one side, (rows, columns) in the coordinates of readout through both."""
    found = {}
    for name in ("DATASEC", "BIASSEC", "PRESEC"):
        text = keyword(extension.header, [f"{name}{_LETTER[side]}"], Path(extension.where), _HINT, str)
        found[name] = parse_section(text)
    return found


def _amplifier(
    extension: Extension,
    side: str,
    parts: tuple[slice, slice, slice],
    target: int,
    defaults: Mapping[str, float],
) -> Amplifier:
    """`parts` are rows, columns of the data and columns of the overscan; `target` is the first column to fill."""
    rows, data, bias = parts
    if data.start < bias.stop and bias.start < data.stop:
        reason = f"its overscan {fits_section((rows, bias))} lies in its data {fits_section((rows, data))}; {_HINT}"
        raise BadInput(what=extension.where, reason=reason)
    return Amplifier(
        name=_LETTER[side],
        data=(rows, data),
        bias=(rows, bias),
        target=(slice(0, rows.stop - rows.start), slice(target, target + data.stop - data.start)),
        backwards=(False, bias.start < data.start),
        **{name: _value(extension.header, name, side, default) for name, default in defaults.items()},
    )


def _value(header: Mapping[str, Any], name: str, side: str, default: float) -> float:
    """What the header says in a positive number, of the side or of the CCD, else the default."""
    for key in _KEYWORDS[name]:
        for spelled in (f"{key[:7]}{_LETTER[side]}", key):
            try:
                found = float(header.get(spelled))
            except (TypeError, ValueError):
                continue
            if np.isfinite(found) and found > 0:
                return found
    return default


def _width(section: tuple[slice, slice]) -> int:
    return section[1].stop - section[1].start


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
