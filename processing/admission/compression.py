"""Tile-compressed images (FITS standard 4.0, section 10): kinds that can be unpacked safely, to what is announced."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable

from processing.admission.codes import Code
from processing.admission.headers import NoValue
from processing.admission.reading import Contents
from processing.admission.rules import AdmissionRules
from processing.admission.structure import Hdu, check_scaling, check_shape
from processing.admission.tables import Column, descriptors, heap_of
from processing.errors import BadExposureFile

_BITPIX = (8, 16, 32, 64, -32, -64)
_QUANTIZED = ("NONE", "NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")
_DATA = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
_SETTINGS = {"BLOCKSIZE": (16, 32), "BYTEPIX": (1, 2, 4, 8)}  # of RICE
_NAME = re.compile(r"ZNAME(\d+)")
HARMLESS = 256_000_000  # bytes of an unpacked image, however small it was


def is_compressed(hdu: Hdu) -> bool:
    """Whether a binary table is an image; BadExposureFile where ZIMAGE is neither T nor F."""
    return hdu.header.flag("ZIMAGE")


def check_compression(contents: Contents, hdu: Hdu, columns: list[Column], rules: AdmissionRules) -> None:
    """Note the shape of a compressed image; BadExposureFile where it is unsafe to unpack, or contradicts itself."""
    header = hdu.header
    kind, bitpix = header.text("ZCMPTYPE"), header.integer("ZBITPIX", -64, 64)
    if bitpix not in _BITPIX:
        raise BadExposureFile(Code.BAD_COMPRESSION, f"{hdu} has ZBITPIX = {bitpix}")
    if kind not in rules.compressions or (kind == "PLIO_1" and bitpix < 0):
        of = " of floating-point numbers" if kind == "PLIO_1" else ""
        raise BadExposureFile(Code.UNSAFE_COMPRESSION, f"{hdu} has ZCMPTYPE = {kind!r}{of}")
    dimensions = header.integer("ZNAXIS", 1, 4)
    hdu.shape = tuple(header.integer(f"ZNAXIS{i + 1}", 1, 1 << 62) for i in range(dimensions))
    check_shape(header, hdu.shape, rules.limits)
    tile = _tile(hdu)
    wanted = math.prod(-(-length // side) for length, side in zip(hdu.shape, tile))
    if wanted != hdu.axes[1]:
        raise BadExposureFile(Code.BAD_COMPRESSION, f"{hdu} needs {wanted} tiles and has {hdu.axes[1]}")
    if wanted > rules.limits.max_tiles:
        raise BadExposureFile(Code.TOO_MANY_PIXELS, f"{hdu} has {wanted} tiles; {rules.limits.max_tiles} are possible")
    unpacked = math.prod(hdu.shape) * abs(bitpix) // 8
    if unpacked > max(HARMLESS, rules.limits.max_expansion * hdu.size):
        raise BadExposureFile(Code.EXPANSION, f"{hdu}: {hdu.size} bytes would be {unpacked}")
    named = {column.name: column for column in columns}
    if "" in named or not any(name in named for name in _DATA):
        raise BadExposureFile(Code.BAD_COMPRESSION, f"{hdu} has no column COMPRESSED_DATA, or one without a name")
    _check_settings(hdu, kind, bitpix)
    for name in _DATA:
        if name in named and (name.startswith("GZIP") or (name == "COMPRESSED_DATA" and kind.startswith("GZIP"))):
            _check_gzip(contents, hdu, named[name], math.prod(tile) * 8)


def _tile(hdu: Hdu) -> tuple[int, ...]:
    return tuple(hdu.header.integer(f"ZTILE{i + 1}", 1, length) for i, length in enumerate(hdu.shape))


def _check_settings(hdu: Hdu, kind: str, bitpix: int) -> None:
    header = hdu.header
    for number in (match[1] for match in map(_NAME.fullmatch, header.cards) if match):
        name, value = header.text(f"ZNAME{number}").upper(), header.get(f"ZVAL{number}")
        if isinstance(value, NoValue) or (name and value is None):
            raise BadExposureFile(Code.BAD_COMPRESSION, f"{hdu} has ZVAL{number} = {value!r}")
        if name in _SETTINGS and (type(value) is not int or value not in _SETTINGS[name]):
            raise BadExposureFile(Code.BAD_COMPRESSION, f"{hdu} has {name} = {value!r}")
        if name == "BYTEPIX" and kind.startswith("RICE") and value < min(bitpix // 8, 4):
            raise BadExposureFile(Code.BAD_COMPRESSION, f"{hdu} has BYTEPIX = {value} for ZBITPIX = {bitpix}")
    quantized = header.text("ZQUANTIZ")
    if "ZQUANTIZ" in header.cards and quantized.upper() not in _QUANTIZED:
        raise BadExposureFile(Code.BAD_COMPRESSION, f"{hdu} has ZQUANTIZ = {quantized!r}")
    header.integer("ZDITHER0", 1, 10_000, 1)
    header.integer("ZBLANK", -(1 << 62), 1 << 62, 0)
    check_scaling(header, "ZSCALE", "ZZERO", "BSCALE", "BZERO")


def _check_gzip(contents: Contents, hdu: Hdu, column: Column, most: int) -> None:
    """Each tile must unpack to no more than `most` bytes: nothing else says how long it will be."""
    start, _ = heap_of(hdu)
    for size, place in descriptors(contents, hdu, column):
        if not size:
            continue
        unpacked = _unpacked_size(contents.chunks(hdu.offset + start + place, size), most)
        if unpacked > most:
            raise BadExposureFile(Code.EXPANSION, f"{hdu}: a tile of {size} bytes unpacks to more than {most}")
        if unpacked < 0:
            raise BadExposureFile(Code.BAD_COMPRESSION, f"{hdu}: a tile of {size} bytes is damaged or cut short")


def _unpacked_size(pieces: Iterable[bytes], most: int) -> int:
    """How many bytes come of a tile, `most` + 1 for any more than that; -1 where it is damaged."""
    stream, size, members = zlib.decompressobj(wbits=47), 0, 1  # gzip or zlib, as its first bytes say
    try:
        for piece in pieces:
            while piece:
                if stream.eof:  # readers go on with the next stream
                    members, stream = members + 1, zlib.decompressobj(wbits=47)
                piece = piece.lstrip(b"\0") if members > 1 else piece
                size += len(stream.decompress(piece, 1 << 18))
                if size > most:
                    return most + 1
                piece = stream.unused_data if stream.eof else stream.unconsumed_tail
        while not stream.eof and (more := stream.decompress(b"", 1 << 18)):  # what the last call had no room for
            size += len(more)
    except zlib.error:
        return -1
    return min(size, most + 1) if stream.eof else -1
