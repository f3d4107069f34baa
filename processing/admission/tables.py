"""Tables: columns that fill their rows, and rows that point at nothing outside their table."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from processing.admission.codes import Code
from processing.admission.reading import CHUNK, Contents
from processing.admission.structure import BINTABLE, TABLE, Hdu, check_scaling
from processing.errors import BadExposureFile

_BYTES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16}
_FORMAT = re.compile(r"(\d{0,15})([LXBIJKAEDCMPQ])(.*)", re.DOTALL)
_VARIABLE = re.compile(r"([LXBIJKAEDCM])(?:\((\d{1,18})\))?")
_ASCII = re.compile(r"[AI]0*([1-9]\d{0,8})|[FED]0*([1-9]\d{0,8})\.\d{1,9}")
_DIMENSIONS = re.compile(r"\(\s*\d{1,18}(?:\s*,\s*\d{1,18}){0,30}\s*\)")


@dataclass(frozen=True)
class Column:
    """A column of a binary table."""

    name: str
    offset: int  # in a row, bytes
    width: int  # bytes
    element: int = 0  # bits of one element of an array of variable length; 0 for other columns
    descriptor: str = ""  # how `struct` reads its length and place


def columns_of(hdu: Hdu) -> list[Column]:
    """The columns of a table. BadExposureFile where they are not described, or do not fill the rows."""
    header, width = hdu.header, hdu.axes[0]
    count = header.integer("TFIELDS", 0, 999)
    if hdu.kind == TABLE:
        _check_ascii(hdu, count)
        return []
    columns, offset = [], 0
    for number in range(1, count + 1):
        column = _column(hdu, number, offset)
        columns.append(column)
        offset += column.width
        check_scaling(header, f"TSCAL{number}", f"TZERO{number}")
        _check_dimensions(hdu, number, column)
    if offset != width:
        raise BadExposureFile(Code.BAD_TABLE, f"{hdu}: its columns have {offset} bytes, its rows {width}")
    return columns


def _column(hdu: Hdu, number: int, offset: int) -> Column:
    keyword = f"TFORM{number}"
    text, name = hdu.header.get(keyword), hdu.header.text(f"TTYPE{number}").upper()
    found = _FORMAT.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise BadExposureFile(Code.BAD_TABLE, f"{hdu} has {keyword} = {text!r}")
    repeat, kind, rest = int(found[1] or 1), found[2], found[3].strip()
    if kind in "PQ":
        variable = _VARIABLE.fullmatch(rest)
        if repeat > 1 or variable is None:
            raise BadExposureFile(Code.BAD_TABLE, f"{hdu} has {keyword} = {text!r}")
        bits = 1 if variable[1] == "X" else 8 * _BYTES[variable[1]]
        width = repeat * (8 if kind == "P" else 16)
        return Column(name, offset, width, bits if repeat else 0, ">ii" if kind == "P" else ">qq")
    width = -(-repeat // 8) if kind == "X" else repeat * _BYTES[kind]
    return Column(name, offset, width)


def _check_dimensions(hdu: Hdu, number: int, column: Column) -> None:
    """TDIM must fit into the column: readers take it for the size of what they allocate."""
    text = hdu.header.get(f"TDIM{number}")
    if text is None or column.element:
        return
    if not isinstance(text, str) or _DIMENSIONS.fullmatch(text.strip()) is None:
        raise BadExposureFile(Code.BAD_TABLE, f"{hdu} has TDIM{number} = {text!r}")
    wanted = math.prod(int(length) for length in re.findall(r"\d+", text))
    if wanted > 8 * column.width:
        raise BadExposureFile(Code.BAD_TABLE, f"{hdu}: TDIM{number} = {text!r} is more than its column holds")


def _check_ascii(hdu: Hdu, count: int) -> None:
    header, width = hdu.header, hdu.axes[0]
    for number in range(1, count + 1):
        header.text(f"TTYPE{number}")
        start, text = header.integer(f"TBCOL{number}", 1, max(width, 1)), header.get(f"TFORM{number}")
        found = _ASCII.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            raise BadExposureFile(Code.BAD_TABLE, f"{hdu} has TFORM{number} = {text!r}")
        if start - 1 + int(found[1] or found[2]) > width:
            raise BadExposureFile(Code.BAD_TABLE, f"{hdu}: column {number} ends outside the rows of {width} bytes")
        check_scaling(header, f"TSCAL{number}", f"TZERO{number}")


def heap_of(hdu: Hdu) -> tuple[int, int]:
    """Where the heap begins in the data, and how long it is, bytes. BadExposureFile where THEAP is elsewhere."""
    rows = hdu.axes[0] * hdu.axes[1]
    start = hdu.header.integer("THEAP", 0, 1 << 62, rows)
    if hdu.gap and not rows <= start <= rows + hdu.gap:
        raise BadExposureFile(Code.BAD_HEAP, f"{hdu} has THEAP = {start}, its heap is at {rows} to {rows + hdu.gap}")
    return start, max(0, rows + hdu.gap - start)


def descriptors(contents: Contents, hdu: Hdu, column: Column) -> Iterator[tuple[int, int]]:
    """(bytes, place in the heap) of one column of variable length, row by row. BadExposureFile for one outside."""
    width, rows = hdu.axes
    _, length = heap_of(hdu)
    reader, total = struct.Struct(column.descriptor), 0
    at_once = max(1, CHUNK // width)
    for first in range(0, rows, at_once):
        begin = hdu.offset + first * width + column.offset  # a row may be as long as the file
        some = contents.at(begin, width * (min(at_once, rows - first) - 1) + reader.size)
        for place in range(0, len(some), width):
            count, start = reader.unpack_from(some, place)
            size = -(-count * column.element // 8)
            total += size
            if count < 0 or start < 0 or (count and start + size > length):
                said = f"{hdu}: the column {column.name or column.offset} points at {count} values from byte {start}"
                raise BadExposureFile(Code.BAD_HEAP, f"{said} of a heap of {length} bytes")
            if total > 2 * length + CHUNK:
                said = f"{hdu}: the arrays of the column {column.name or column.offset} lie on one another"
                raise BadExposureFile(Code.BAD_HEAP, said)
            yield size, start


def check_table(contents: Contents, hdu: Hdu) -> list[Column]:
    """The columns of a table whose rows point at nothing outside it; BadExposureFile for others."""
    columns = columns_of(hdu)
    if hdu.kind == BINTABLE:
        heap_of(hdu)
        for column in columns:
            if column.element:
                for _ in descriptors(contents, hdu, column):
                    pass
    return columns
