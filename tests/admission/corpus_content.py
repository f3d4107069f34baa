"""Files whose sums, tables, tiles, coordinates or keywords are wrong in one way each, and the code that each must get."""

from __future__ import annotations

import gzip
import struct

import numpy as np
from astropy.io import fits

from processing.admission.codes import Code
from processing.admission.rules import AdmissionRules, Limits, RequiredKeyword
from tests.admission.cases import DEFAULT, OK, case, quirk
from tests.admission.files import (
    KINDS,
    card,
    changed,
    compressed,
    extensions,
    flipped,
    header,
    noise,
    plain,
    put,
    scaled,
    tables,
    without,
    written,
)

# Checksums ---------------------------------------------------------------------------------------------------

case("a flipped bit in a tile", Code.BAD_CHECKSUM, lambda: flipped(compressed(checksum=True), 2880 * 3 + 200))
case(
    "a flipped bit in a tile, packed",
    Code.BAD_CHECKSUM,
    lambda: gzip.compress(flipped(compressed(checksum=True), 9000)),
)
case("DATASUM = nonsense", Code.BAD_STRUCTURE, lambda: changed(scaled(), "DATASUM", "'nonsense'"))
case("DATASUM beyond 32 bits", Code.BAD_STRUCTURE, lambda: changed(scaled(), "DATASUM", "'99999999999'"))
case("CHECKSUM of 5 letters", Code.BAD_STRUCTURE, lambda: changed(scaled(), "CHECKSUM", "'abcde'"))
case(
    "a wrong CHECKSUM without DATASUM", Code.BAD_CHECKSUM, lambda: changed(without(scaled(), "DATASUM"), "EXPTIME", 9.0)
)
quirk(
    "the checksum of the unpacked image",
    Code.EDITED_HEADER,
    lambda: put(compressed(), card("DATASUM", "'123'"), card("ZDATASUM", "'123'"), hdu=1),
)

# Tables ------------------------------------------------------------------------------------------------------

for value in (3, 5, 0):
    case(f"TFIELDS = {value} of 4", Code.BAD_TABLE, lambda value=value: changed(tables(), "TFIELDS", value))
for value in (-1, 1000, 2**62, "NaN"):
    case(f"TFIELDS = {value}", Code.BAD_STRUCTURE, lambda value=value: changed(tables(), "TFIELDS", value))
for value in ("'Z'", "'9D'", "'2PJ(5)'", "'PQ(3)'", 8, "'99999999999999999D'", "''"):
    case(f"TFORM3 = {value}", Code.BAD_TABLE, lambda value=value: changed(tables(), "TFORM3", value))
case("no TFORM2", Code.BAD_TABLE, lambda: without(tables(), "TFORM2"))
case("TTYPE1 = 5", Code.BAD_STRUCTURE, lambda: changed(tables(), "TTYPE1", 5))
case("rows that are too short", Code.BAD_TABLE, lambda: changed(tables(), "NAXIS1", 40))
case("a table of 16-bit bytes", Code.BAD_STRUCTURE, lambda: changed(tables(), "BITPIX", 16, 1))
case("a table of three axes", Code.BAD_STRUCTURE, lambda: changed(tables(), "NAXIS", 3, 1))
case("10^12 rows", Code.TOO_MANY_PIXELS, lambda: changed(tables(), "NAXIS2", 10**12))
case("TDIM of more than there is", Code.BAD_TABLE, lambda: changed(tables(), "TDIM4", "'(300,200)'"))
case("TDIM = big", Code.BAD_TABLE, lambda: changed(tables(), "TDIM4", "'big'"))
case("TSCAL1 = NaN", Code.BAD_SCALING, lambda: put(tables(), card("TSCAL1", "NaN"), hdu=1))
case("TZERO1 = inf", Code.BAD_SCALING, lambda: put(tables(), card("TZERO1", "inf"), hdu=1))
case("THEAP outside", Code.BAD_HEAP, lambda: put(tables(), card("THEAP", 10**9), hdu=1))
case("a heap that is too short", Code.BAD_HEAP, lambda: changed(tables(), "PCOUNT", 8))
case("TBCOL1 = 0", Code.BAD_STRUCTURE, lambda: changed(tables(), "TBCOL1", 0))
case("a column of text outside its row", Code.BAD_TABLE, lambda: changed(tables(), "TFORM2", "'F80.3'", 1))
case("a column of text of no width", Code.BAD_TABLE, lambda: changed(tables(), "TFORM1", "'I0'", 1))
for count, start, what in (
    (2**31 - 1, 0, "too long"),
    (-1, 0, "of less than nothing"),
    (3, 9999, "elsewhere"),
    (1, -4, "before"),
):
    case(f"an array that is {what}", Code.BAD_HEAP, lambda count=count, start=start: _pointing(tables(), count, start))
case("arrays that lie on one another", Code.BAD_HEAP, lambda: _overlapping())


def _pointing(content: bytes, count: int, start: int) -> bytes:
    place = 2880 * 3 - 2880 + 16  # the descriptor in the first row, behind a D and an 8A
    return content[:place] + struct.pack(">ii", count, start) + content[place + 8 :]


def _overlapping() -> bytes:
    array = np.arange(20_000, dtype=np.int32)
    rows = np.array([array] + [array[:1]] * 499, dtype=object)
    content = written(fits.BinTableHDU.from_columns([fits.Column("a", "PJ()", array=rows)]))
    return content[:5760] + struct.pack(">ii", 20_000, 0) * 500 + content[5760 + 4000 :]


# Compressed images -------------------------------------------------------------------------------------------

for value in ("'HCOMPRESS_1'", "'LZW'", "''"):
    case(f"ZCMPTYPE = {value}", Code.UNSAFE_COMPRESSION, lambda value=value: changed(compressed(), "ZCMPTYPE", value))
case("HCOMPRESS", Code.UNSAFE_COMPRESSION, lambda: compressed("HCOMPRESS_1"))
for value in (1, "'T'", "''", ""):
    case(
        f"HCOMPRESS with ZIMAGE = {value}",
        Code.BAD_STRUCTURE,
        lambda value=value: changed(compressed("HCOMPRESS_1"), "ZIMAGE", value),
    )
case("a table that says that it is no image", OK, lambda: put(tables(), card("ZIMAGE", "F"), hdu=1))
case("PLIO of floats", Code.UNSAFE_COMPRESSION, lambda: changed(KINDS["mask"](), "ZBITPIX", -32))
case("ZCMPTYPE = 3", Code.BAD_STRUCTURE, lambda: changed(compressed(), "ZCMPTYPE", 3))
case("ZBITPIX = 7", Code.BAD_COMPRESSION, lambda: changed(compressed(), "ZBITPIX", 7))
for name, value in (
    ("ZNAXIS", 0),
    ("ZNAXIS", 5),
    ("ZNAXIS1", 0),
    ("ZNAXIS1", "1E3"),
    ("ZTILE1", 0),
    ("ZTILE1", 61),
    ("ZTILE2", -10),
):
    case(f"{name} = {value}", Code.BAD_STRUCTURE, lambda name=name, value=value: changed(compressed(), name, value))
case("no ZTILE2", Code.BAD_STRUCTURE, lambda: without(compressed(), "ZTILE2"))
case("ZNAXIS1 = 4294967296", Code.TOO_MANY_PIXELS, lambda: changed(compressed(), "ZNAXIS1", 4294967296))
case("more tiles than there are", Code.BAD_COMPRESSION, lambda: changed(compressed(), "ZNAXIS2", 4000))
case(
    "more tiles than a reader has patience for",
    Code.TOO_MANY_PIXELS,
    compressed,
    rules=AdmissionRules(limits=Limits(max_tiles=3)),
)
case("fewer tiles than there are", Code.BAD_COMPRESSION, lambda: changed(compressed(), "ZTILE2", 20))
case("BLOCKSIZE = 0", Code.BAD_COMPRESSION, lambda: changed(compressed(), "ZVAL1", 0))
case("BYTEPIX = 3", Code.BAD_COMPRESSION, lambda: changed(compressed(), "ZVAL2", 3))
case("BYTEPIX of half a pixel", Code.BAD_COMPRESSION, lambda: changed(compressed(), "ZVAL2", 1))
case(
    "BLOCKSIZE = 0 as the 40th setting",
    Code.BAD_COMPRESSION,
    lambda: put(compressed(), card("ZNAME40", "'BLOCKSIZE'"), card("ZVAL40", 0), hdu=1),
)
case("ZQUANTIZ = MAYBE", Code.BAD_COMPRESSION, lambda: changed(KINDS["quantised floats"](), "ZQUANTIZ", "'MAYBE'"))
case("ZDITHER0 = -1", Code.BAD_STRUCTURE, lambda: changed(KINDS["quantised floats"](), "ZDITHER0", -1))
case("ZSCALE = NaN", Code.BAD_SCALING, lambda: put(compressed(), card("ZSCALE", "NaN"), hdu=1))
case("no compressed data", Code.BAD_COMPRESSION, lambda: changed(compressed(), "TTYPE1", "'OTHER'"))
case("10^8 pixels of one tile", Code.EXPANSION, lambda: _one_tile())
case("a tile that is a gzip bomb", Code.EXPANSION, lambda: _gzip_tile(gzip.compress(bytes(5_000_000))))
case(
    "a bomb behind a tile",
    Code.EXPANSION,
    lambda: _gzip_tile(gzip.compress(bytes(4800)) + gzip.compress(bytes(5_000_000))),
)
case("a damaged gzip tile", Code.BAD_COMPRESSION, lambda: _gzip_tile(gzip.compress(bytes(4800))[:-5] + b"wrong"))
case("a gzip tile without its end", Code.BAD_COMPRESSION, lambda: _gzip_tile(gzip.compress(bytes(4800))[:-5]))
case("one tile in gzip", OK, lambda: _gzip_tile(gzip.compress(bytes(40 * 60 * 4))))


def _one_tile() -> bytes:
    """A compressed image of 10,000 x 10,000 pixels in one tile of a few bytes."""
    content = _gzip_tile(gzip.compress(bytes(9600)))
    for name in ("ZNAXIS1", "ZNAXIS2", "ZTILE1", "ZTILE2"):
        content = changed(content, name, 10_000)
    return content


def _gzip_tile(stream: bytes) -> bytes:
    """A compressed image of integers in one tile, which is these bytes."""
    column = fits.Column("COMPRESSED_DATA", "1PB()", array=np.array([np.frombuffer(stream, np.uint8)], dtype=object))
    table = fits.BinTableHDU.from_columns([column], name="N1")
    facts = {"ZIMAGE": True, "ZCMPTYPE": "GZIP_1", "ZBITPIX": 32, "ZNAXIS": 2}
    facts |= {"ZNAXIS1": 60, "ZNAXIS2": 40, "ZTILE1": 60, "ZTILE2": 40, "ZTENSION": "IMAGE", "ZPCOUNT": 0, "ZGCOUNT": 1}
    for key, value in facts.items():
        table.header[key] = value
    return written(table)


# Coordinates -------------------------------------------------------------------------------------------------

for name, value in (
    ("CRVAL1", "NaN"), ("CRVAL1", "inf"), ("CRVAL1", "1E400"), ("CRVAL1", "'here'"), ("CRVAL1", 1e6), ("CRVAL1", "T"),
    ("CRVAL2", 90.5), ("CRVAL2", "NaN"), ("CRPIX1", "-NaN"), ("CD1_1", "Infinity"), ("CD1_1", 1000.0), ("CD1_1", 0.0),
    ("CTYPE1", "'RA---QQQ'"), ("CTYPE1", "'DEC--TAN'"), ("CTYPE1", "'RA---SIN'"), ("CTYPE1", 7), ("CTYPE1", "'RA-TAN'"),
    ("CTYPE2", "'PIXEL'"),
):  # fmt: skip
    case(f"{name} = {value}", Code.BAD_WCS, lambda name=name, value=value: changed(plain(), name, value))
for name, value in (
    ("A_ORDER", 40), ("A_ORDER", 9000), ("B_ORDER", -1), ("A_ORDER", 2.5), ("A_20_20", 1e-9), ("AP_0_11", 0.1),
    ("A_1_1", "NaN"), ("PV1_99", 1.0), ("PV2_1", "NaN"), ("CRVAL1A", "NaN"), ("LONPOLE", "NaN"), ("EQUINOX", "'old'"),
):  # fmt: skip
    case(f"{name} = {value}", Code.BAD_WCS, lambda name=name, value=value: put(plain(), card(name, value)))
case("WCSAXES = 9", Code.BAD_STRUCTURE, lambda: put(plain(), card("WCSAXES", 9)))
case("a matrix that is singular", Code.BAD_WCS, lambda: _singular())
case("pixels of 1e-9 arcsec", Code.BAD_WCS, lambda: changed(changed(plain(), "CD1_1", 1e-13), "CD2_2", 1e-13))
case("coordinates in a compressed image", Code.BAD_WCS, lambda: changed(compressed(), "CRVAL2", -91.0))
case(
    "a bad place that does not matter",
    OK,
    lambda: changed(plain(), "CRVAL1", "NaN"),
    rules=DEFAULT.tolerating(Code.BAD_WCS),
    warning=Code.BAD_WCS,
)
case("no coordinates", OK, lambda: written(fits.PrimaryHDU(noise())))
case("SIP of order 3", OK, lambda: put(plain(), card("A_ORDER", 3), card("B_ORDER", 3), card("A_2_1", 1e-9)))
case("the south pole", OK, lambda: changed(plain(), "CRVAL2", -90.0))
case("a step instead of a matrix", OK, lambda: _steps())


def _singular() -> bytes:
    content = plain()
    for name in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        content = changed(content, name, 1e-4)
    return content


def _steps() -> bytes:
    facts = dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    return written(fits.PrimaryHDU(noise(), header(CDELT1=-2e-4, CDELT2=2e-4, **facts)))


# What an instrument wants --------------------------------------------------------------------------------------


def wanting(*names: str, **more: object) -> AdmissionRules:
    return AdmissionRules(keywords=(RequiredKeyword(names, **more),))


def _both(names: tuple[str, ...]) -> str:
    return "" if names == ("N1", "N2") else f"N1 and N2 are needed, there are {names}"


def _only_in_the_second() -> bytes:
    return changed(extensions(), "EXTNAME", "'N3'", 1)


case("no image", Code.NO_IMAGE, tables, rules=AdmissionRules())
case(
    "a cube", Code.NO_IMAGE, lambda: written(fits.PrimaryHDU(np.zeros((3, 20, 20), np.float32))), rules=AdmissionRules()
)
case(
    "a cube of one layer",
    OK,
    lambda: written(fits.PrimaryHDU(np.zeros((1, 20, 20), np.float32))),
    rules=AdmissionRules(),
)
case("one image of two", Code.NO_IMAGE, plain, rules=AdmissionRules(min_images=2))
case("two images of two", OK, extensions, rules=AdmissionRules(min_images=2, extensions=r"[NS]\d+"))
case(
    "an image of another name",
    Code.MISSING_EXTENSION,
    _only_in_the_second,
    rules=AdmissionRules(min_images=2, extensions="N[12]"),
)
case(
    "images that a function misses", Code.MISSING_EXTENSION, _only_in_the_second, rules=AdmissionRules(extensions=_both)
)
case("images that a function finds", OK, extensions, rules=AdmissionRules(extensions=_both))
case("no STARTOBS", Code.MISSING_KEYWORD, plain, rules=wanting("STARTOBS", kind=str))
case("EXPTIME by another name", OK, plain, rules=wanting("EXPOSURE", "EXPTIME", low=0.0))
case("EXPTIME in the first extension", OK, extensions, rules=wanting("EXPTIME", low=0.0, high=1000.0))
case("EXPTIME below", Code.BAD_VALUE, lambda: changed(plain(), "EXPTIME", -1.0), rules=wanting("EXPTIME", low=0.0))
case("EXPTIME above", Code.BAD_VALUE, lambda: changed(plain(), "EXPTIME", 1e9), rules=wanting("EXPTIME", high=9e4))
case("EXPTIME = long", Code.BAD_VALUE, lambda: changed(plain(), "EXPTIME", "'long'"), rules=wanting("EXPTIME"))
case("EXPTIME = NaN", Code.BAD_VALUE, lambda: changed(plain(), "EXPTIME", "NaN"), rules=wanting("EXPTIME"))
case("EXPTIME as a text", OK, lambda: changed(plain(), "EXPTIME", "'53.9'"), rules=wanting("EXPTIME", low=1.0))
case("GAIN = 2.5, whole wanted", Code.BAD_VALUE, lambda: changed(plain(), "GAIN", 2.5), rules=wanting("GAIN", kind=int))
case("a filter that it has not", Code.BAD_VALUE, plain, rules=wanting("FILTER", kind=str, choices=("g", "i")))
case("a filter that it has", OK, plain, rules=wanting("FILTER", kind=str, choices=("g", "R")))
case("an optional keyword", OK, plain, rules=wanting("AIRMASS", optional=True, low=1.0))
case("a flag that is a number", Code.BAD_VALUE, plain, rules=wanting("GAIN", kind=bool))
