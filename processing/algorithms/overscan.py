"""Amplifiers: which pixels they read, and the overscan that they read beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from scipy.ndimage import median_filter

from processing.algorithms.statistics import clipped_mean
from processing.errors import BadInput

Slices = tuple[slice, slice]


@dataclass(frozen=True)
class Amplifier:
    """One amplifier of a CCD; sections are (rows, columns) of the raw array, from 0, end exclusive."""

    name: str
    data: Slices  # pixels on the sky, in the raw array
    bias: Slices | None  # overscan of the same rows, in the raw array; None where there is none
    target: Slices  # where `data` goes in the trimmed image
    gain: float  # electrons per ADU
    read_noise: float  # electrons
    saturation: float  # ADU, as read
    backwards: tuple[bool, bool] = (False, False)  # whether rows, columns are read from the far end of `data`
    jumps: tuple[int, ...] = ()  # rows of the raw array, from 0, at which the level of the overscan jumps

    @classmethod
    def of_whole(cls, shape: tuple[int, int], *, gain: float, read_noise: float, saturation: float) -> Self:
        """That of an image (ny, nx) that comes without overscan and in one piece."""
        whole = (slice(0, shape[0]), slice(0, shape[1]))
        return cls("1", whole, None, whole, gain, read_noise, saturation)

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of the data section."""
        return self.data[0].stop - self.data[0].start, self.data[1].stop - self.data[1].start


def parse_section(text: str) -> Slices:
    """A FITS section `[x1:x2,y1:y2]`, from 1 and inclusive, as (rows, columns) slices; BadInput for anything else."""
    found = re.fullmatch(r"\s*\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]\s*", str(text))
    if not found:
        raise BadInput(what=f"the section {text!r}", reason="it must look like [1:1024,1:4096]")
    x1, x2, y1, y2 = map(int, found.groups())
    if not (1 <= x1 <= x2 and 1 <= y1 <= y2):
        raise BadInput(what=f"the section {text!r}", reason="it must begin at 1 or later and end after its beginning")
    return slice(y1 - 1, y2), slice(x1 - 1, x2)


def fits_section(slices: Slices) -> str:
    """The inverse of `parse_section`."""
    rows, columns = slices
    return f"[{columns.start + 1}:{columns.stop},{rows.start + 1}:{rows.stop}]"


def trimmed_shape(amplifiers: Sequence[Amplifier]) -> tuple[int, int]:
    """(ny, nx) of the image that the amplifiers fill."""
    return max(a.target[0].stop for a in amplifiers), max(a.target[1].stop for a in amplifiers)


def subtract_overscan(raw: np.ndarray, amplifiers: Sequence[Amplifier], smooth_rows: int = 51) -> np.ndarray:
    """Subtract the overscan of each row and put the data sections together: (ny, nx) float32, ADU.

    The level of a row is the 3σ-clipped mean of its overscan, median-smoothed over `smooth_rows` rows, but not across
    the rows at which the level jumps. Raises BadInput where a section lies beyond the raw array.
    """
    trimmed = trim(raw, amplifiers)
    for amplifier in amplifiers:
        if amplifier.bias is not None:
            trimmed[amplifier.target] -= _overscan_level(raw, amplifier, smooth_rows)[:, None]
    return trimmed


def _overscan_level(raw: np.ndarray, amplifier: Amplifier, smooth_rows: int) -> np.ndarray:
    """The level of each row of an amplifier, (rows,) float32."""
    level = clipped_mean(raw[amplifier.bias].astype(np.float32), sigma=3.0, iterations=2, axis=1)
    first = amplifier.bias[0].start
    jumps = [row - first for row in amplifier.jumps if 0 < row - first < len(level)]
    edges = [0, *sorted(jumps), len(level)]
    for start, stop in pairwise(edges):
        part = level[start:stop]
        level[start:stop] = median_filter(part, size=min(smooth_rows, len(part)), mode="nearest")
    return level.astype(np.float32)


def trim(raw: np.ndarray, amplifiers: Sequence[Amplifier]) -> np.ndarray:
    """The data sections put together as they were read: (ny, nx) float32, ADU."""
    trimmed = np.zeros(trimmed_shape(amplifiers), np.float32)
    for amplifier in amplifiers:
        _inside(raw.shape, amplifier)
        trimmed[amplifier.target] = raw[amplifier.data]
    return trimmed


def _inside(shape: tuple[int, ...], amplifier: Amplifier) -> None:
    for section in filter(None, (amplifier.data, amplifier.bias)):
        if section[0].stop > shape[0] or section[1].stop > shape[1]:
            reason = f"the raw image has {shape[1]} x {shape[0]} pixels; is it of this instrument?"
            raise BadInput(what=f"section {fits_section(section)} of amplifier {amplifier.name}", reason=reason)
    if amplifier.bias is not None and amplifier.bias[0] != amplifier.data[0]:
        where = f"{fits_section(amplifier.bias)} and {fits_section(amplifier.data)}"
        reason = f"the overscan and the data are not of the same rows: {where}"
        raise BadInput(what=f"amplifier {amplifier.name}", reason=reason)
