"""Named files that are wrong in one way each, and the code that each must get; or are right, and get none."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from processing.admission.codes import TOLERABLE, Code
from processing.admission.rules import AdmissionRules, Limits, RequiredKeyword
from tests.admission.files import (
    KINDS,
    card,
    changed,
    compressed,
    extensions,
    header,
    noise,
    packed,
    plain,
    put,
    scaled,
    tables,
    without,
    written,
)

DEFAULT = AdmissionRules(min_images=0)
STRICT = DEFAULT.refusing(*TOLERABLE)
OK = None


@dataclass(frozen=True)
class Case:
    """A file, what is expected of it, and by which rules."""

    make: Callable[[], bytes]
    code: Code | None  # None: it is let in
    rules: AdmissionRules = DEFAULT
    warning: Code | None = None  # that a file that is let in gets


CASES: dict[str, Case] = {}


def case(name: str, code: Code | None, make: Callable[[], bytes], **more: object) -> None:
    assert name not in CASES
    CASES[name] = Case(make, code, **more)


def quirk(name: str, code: Code, make: Callable[[], bytes]) -> None:
    """What is a warning by default, and a refusal by strict rules."""
    case(f"{name}, tolerated", OK, make, warning=code)
    case(f"{name}, refused", code, make, rules=STRICT)


# Not FITS, or packed -----------------------------------------------------------------------------------------

case("empty", Code.EMPTY, lambda: b"")
case("one byte", Code.NOT_FITS, lambda: b"S")
case("a letter", Code.NOT_FITS, lambda: b"Dear astronomer,\n" * 400)
case("a web page", Code.NOT_FITS, lambda: b"<!DOCTYPE html><title>404 Not Found</title>" * 100)
case("a picture", Code.NOT_FITS, lambda: b"\x89PNG\r\n\x1a\n" + bytes(5000))
case("rubbish", Code.NOT_FITS, lambda: random.Random(1).randbytes(20_000))
case("zeros", Code.NOT_FITS, lambda: bytes(28_800))
case("small letters", Code.NOT_FITS, lambda: plain().replace(b"SIMPLE", b"simple", 1))
case("a blank before it", Code.NOT_FITS, lambda: b" " + plain())
case("an extension without its beginning", Code.NOT_FITS, lambda: extensions()[2880:])
case("bzip2", Code.OTHER_COMPRESSION, lambda: bz2.compress(plain()))
case("xz", Code.OTHER_COMPRESSION, lambda: lzma.compress(plain()))
case("lzma", Code.OTHER_COMPRESSION, lambda: lzma.compress(plain(), format=lzma.FORMAT_ALONE))
case("compress", Code.OTHER_COMPRESSION, lambda: b"\x1f\x9d\x90" + plain())
case("Zstandard", Code.OTHER_COMPRESSION, lambda: b"\x28\xb5\x2f\xfd" + plain())
case("gzip in gzip", Code.OTHER_COMPRESSION, lambda: gzip.compress(packed()))
case("bzip2 in gzip", Code.OTHER_COMPRESSION, lambda: gzip.compress(bz2.compress(plain())))
case("text in gzip", Code.NOT_FITS, lambda: gzip.compress(b"Dear astronomer,\n" * 400))
case("nothing in gzip", Code.NOT_FITS, lambda: gzip.compress(b""))
case("gzip of two streams", OK, lambda: gzip.compress(plain()[:5000]) + gzip.compress(plain()[5000:]))
case("gzip with zeros behind it", OK, lambda: packed() + bytes(512))
case("gzip with letters behind it", Code.BAD_GZIP, lambda: packed() + b"tail")
case("gzip without its end", Code.BAD_GZIP, lambda: packed()[:-3])
case("half of a gzip file", Code.BAD_GZIP, lambda: packed()[: len(packed()) // 2])
case("the head of a gzip file", Code.BAD_GZIP, lambda: packed()[:10])
case("gzip with a wrong checksum", Code.BAD_GZIP, lambda: packed()[:-8] + bytes(4) + packed()[-4:])
case("gzip with a wrong length", Code.BAD_GZIP, lambda: packed()[:-4] + bytes(4))
case("gzip that is damaged", Code.BAD_GZIP, lambda: packed()[:3000] + b"\xff" * 40 + packed()[3040:])
case("gzip bomb", Code.GZIP_BOMB, lambda: gzip.compress(plain() + bytes(100_000_000), 9))
case("gzip beyond the limit", Code.TOO_LARGE, packed, rules=AdmissionRules(limits=Limits(max_bytes=10_000)))
case("beyond the limit", Code.TOO_LARGE, plain, rules=AdmissionRules(limits=Limits(max_bytes=10_000)))


def _zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("image.fits", plain())
    return out.getvalue()


case("zip", Code.OTHER_COMPRESSION, _zipped)

# Cut short ---------------------------------------------------------------------------------------------------

for kind in ("plain", "extensions", "rice", "tables"):
    for length, where in ((8, "its first word"), (100, "a card"), (2000, "the first header")):
        case(f"{kind}, cut in {where}", Code.TRUNCATED, lambda kind=kind, length=length: KINDS[kind]()[:length])
    case(f"{kind}, without its last byte", Code.TRUNCATED, lambda kind=kind: KINDS[kind]()[:-1])
    case(f"{kind}, without its last block", Code.TRUNCATED, lambda kind=kind: KINDS[kind]()[:-2880])
    if kind != "plain":
        behind = 2880 * (3 if kind == "rice" else 2)
        case(f"{kind}, cut in the second header", Code.TRUNCATED, lambda kind=kind: KINDS[kind]()[:4000])
        case(
            f"{kind}, cut behind the second header",
            Code.TRUNCATED,
            lambda kind=kind, behind=behind: KINDS[kind]()[:behind],
        )
case("only a header of a picture", Code.TRUNCATED, lambda: plain()[:2880])
case("a header without END", Code.NO_END, lambda: plain()[:2880].replace(b"END     ", b"        "))
case("END with a value", Code.BAD_STRUCTURE, lambda: plain()[:2880].replace(b"END     ", b"END   = "))
case("an END that is cut", Code.NO_END, lambda: plain()[:2880].replace(b"END     ", b"EN      "))

# Structure ---------------------------------------------------------------------------------------------------

for value in (5, -1, 999, 10**9, "'2'", "2.0", "T", "", 2**63):
    case(f"NAXIS = {value}", Code.BAD_STRUCTURE, lambda value=value: changed(plain(), "NAXIS", value))
for value in (-1, "1.5", "'60'", "NaN", 10**20, ""):
    case(f"NAXIS1 = {value}", Code.BAD_STRUCTURE, lambda value=value: changed(plain(), "NAXIS1", value))
for value in (4294967296, 100_001, 2**61):
    case(f"NAXIS1 = {value}", Code.TOO_MANY_PIXELS, lambda value=value: changed(plain(), "NAXIS1", value))
for value in (7, 0, 128, -8, 10**9, "", "'16'"):
    case(f"BITPIX = {value}", Code.BAD_STRUCTURE, lambda value=value: changed(plain(), "BITPIX", value))
case("BITPIX of twice the size", Code.TRUNCATED, lambda: changed(plain(), "BITPIX", -64))
case("more rows than there are", Code.TRUNCATED, lambda: changed(plain(), "NAXIS2", 4000))
case(
    "an image of 10^10 pixels",
    Code.TOO_MANY_PIXELS,
    lambda: changed(changed(plain(), "NAXIS1", 99_999), "NAXIS2", 99_999),
)
for name in ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2"):
    case(f"no {name}", Code.BAD_STRUCTURE, lambda name=name: without(plain(), name))
case("SIMPLE = F", Code.NOT_FITS, lambda: changed(plain(), "SIMPLE", "F"))
case("random groups", Code.BAD_STRUCTURE, lambda: put(plain(), card("GROUPS", "T")))
case("random groups of another kind", Code.BAD_STRUCTURE, lambda: put(plain(), card("GROUPS", 1)))
case("EXTEND = maybe", Code.BAD_STRUCTURE, lambda: put(plain(), card("EXTEND", "maybe")))
case("XTENSION = FOREIGN", Code.BAD_STRUCTURE, lambda: changed(extensions(), "XTENSION", "'FOREIGN '"))
case("XTENSION = 1", Code.BAD_STRUCTURE, lambda: changed(extensions(), "XTENSION", "1"))
case("a damaged XTENSION", Code.BAD_STRUCTURE, lambda: extensions().replace(b"XTENSION", b"XTENSI\xd0N", 1))
case("PCOUNT of an image", Code.BAD_STRUCTURE, lambda: changed(extensions(), "PCOUNT", 100))
case("PCOUNT below 0", Code.BAD_STRUCTURE, lambda: changed(tables(), "PCOUNT", -8))
case("PCOUNT without a value", Code.BAD_STRUCTURE, lambda: changed(extensions(), "PCOUNT", ""))
case("GCOUNT = 0", Code.BAD_STRUCTURE, lambda: changed(extensions(), "GCOUNT", 0))
case("GCOUNT = 2", Code.BAD_STRUCTURE, lambda: changed(extensions(), "GCOUNT", 2))
case("NAXIS1 without =", Code.BAD_STRUCTURE, lambda: plain().replace(b"NAXIS1  = ", b"NAXIS1  : ", 1))
case("EXTNAME = 7", Code.BAD_STRUCTURE, lambda: changed(extensions(), "EXTNAME", 7))
case("EXTVER = one", Code.BAD_STRUCTURE, lambda: put(extensions(), card("EXTVER", "'one'"), hdu=1))
case("two NAXIS1 that differ", Code.REPEATED_KEYWORD, lambda: put(plain(), card("NAXIS1", 61)))
case("two NAXIS1 that agree", OK, lambda: put(plain(), card("NAXIS1", 60)))
case("30,000 cards", Code.TOO_MANY_CARDS, lambda: put(plain(), *[card("GAIN", 1)] * 30_000))
case("150,000 cards in 10 headers", Code.TOO_MANY_CARDS, lambda: _many(10, [card("GAIN", 1)] * 15_000))
case("1000 HDUs", Code.TOO_MANY_HDUS, lambda: _many(1000, []))
case("150 HDUs", OK, lambda: _many(150, []))
for name, text in (
    ("naxis1", b"naxis1  =           4294967296"), ("NAXIS1 too far to the left", b"NAXIS1= 4294967296"),
    ("NAXIS1 behind a blank", b" NAXIS1 =           4294967296"), ("HIERARCH NAXIS1", b"HIERARCH NAXIS1 = 4294967296"),
    ("bzero", b"bzero   =                  NaN"), ("HIERARCH bzero", b"HIERARCH bzero = NaN"),
):  # fmt: skip
    case(f"{name} as Astropy reads it", Code.BAD_STRUCTURE, lambda text=text: put(plain(), text.ljust(80)))
case("a_order as Astropy reads it", Code.BAD_WCS, lambda: put(plain(), card("a_order", 9000)))
case("A_ORDER twice", Code.BAD_WCS, lambda: put(plain(), card("A_ORDER", 3), card("A_ORDER", 9000)))
case("A_ORDER without a blank", Code.BAD_WCS, lambda: put(plain(), b"A_ORDER =9000".ljust(80)))
case("CRVAL1 twice", Code.BAD_WCS, lambda: put(plain(), card("CRVAL1", "NaN")))
case("HIERARCH A_ORDER", Code.BAD_WCS, lambda: put(plain(), b"HIERARCH A_ORDER = 9000".ljust(80)))
case("a long HIERARCH keyword", OK, lambda: put(plain(), b"HIERARCH ESO DET WIN1 NX = 2048 / pixels".ljust(80)))
case(
    "NAXIS2 behind END", Code.BAD_STRUCTURE, lambda: put(plain())[:2800] + card("NAXIS2", 10**12) + put(plain())[2880:]
)
case("END and a stroke", Code.BAD_STRUCTURE, lambda: plain()[:2880].replace(b"END     ", b"END  /  "))
case("a zero behind END", Code.BAD_STRUCTURE, lambda: plain().replace(b"END     ", b"END\0    ", 1))
case("a TFORM of two cards", Code.BAD_STRUCTURE, lambda: _continued("TFORM3", "'PJ&'", b"CONTINUE  '(5)'"))
case("a comment of two cards", OK, lambda: put(plain(), card("OBSERVER", "'Tycho&'"), b"CONTINUE  ' Brahe'".ljust(80)))


def _continued(keyword: str, value: str, more: bytes) -> bytes:
    """The tables with one card made two."""
    content = changed(tables(), keyword, value)
    place = content.index(card(keyword, value)) + 80
    end = content.index(b"END".ljust(80), place)
    return content[:place] + more.ljust(80) + content[place : end + 80] + content[end + 160 :]


for name, value in (("BSCALE", "NaN"), ("BSCALE", 0), ("BZERO", "inf"), ("BZERO", "1E400"), ("BZERO", "'x'")):
    case(f"{name} = {value}", Code.BAD_SCALING, lambda name=name, value=value: put(plain(), card(name, value)))
case("BLANK = 1.5", Code.BAD_STRUCTURE, lambda: put(plain(), card("BLANK", 1.5)))


def _many(count: int, cards: list[bytes]) -> bytes:
    """A file of so many empty images with these further cards in each."""
    one = put(written(fits.ImageHDU())[2880:], *cards)
    return written(fits.PrimaryHDU()) + one * count


# Cards and rests that real telescopes write ---------------------------------------------------------------------

quirk("an accent in a comment", Code.BAD_CHARACTERS, lambda: put(plain(), card("OBSERVER", "'Rene'", "Ren\xe9")))
quirk("a small keyword", Code.LOWER_CASE, lambda: put(plain(), card("Observer", "'Tycho'")))
quirk("words behind END", Code.BAD_PADDING, lambda: put(plain())[:2860] + b"left over".ljust(20) + put(plain())[2880:])
quirk("NAXIS before BITPIX", Code.ODD_ORDER, lambda: _swapped(plain(), 1, 2))
quirk("ten bytes behind it", Code.TRAILING_BYTES, lambda: plain() + b"\n" * 10)
quirk("a block of zeros behind it", Code.TRAILING_BYTES, lambda: extensions() + bytes(2880))
quirk("a changed header", Code.EDITED_HEADER, lambda: changed(scaled(), "EXPTIME", 31.0))
quirk("changed pixels", Code.STALE_CHECKSUM, lambda: _flipped(scaled(), 5000))
quirk("two of one name", Code.DUPLICATE_EXTENSION, lambda: changed(compressed(), "EXTNAME", "'N1'", 1))
case("a tab in a comment", Code.CONTROL_CHARACTERS, lambda: put(plain(), card("OBSERVER", "'Tycho'", "a\tb")))
case("a zero in a header", Code.CONTROL_CHARACTERS, lambda: put(plain(), card("OBSERVER", "'Tycho'", "a\0b")))
case("two versions of one name", OK, lambda: _versions())
case("rubbish behind it", Code.BAD_STRUCTURE, lambda: plain() + random.Random(2).randbytes(5000))
case("blanks behind it", Code.BAD_STRUCTURE, lambda: plain() + b" " * 2880)
case("2 MB of zeros behind it", Code.BAD_STRUCTURE, lambda: plain() + bytes(2_000_000))


def _swapped(content: bytes, first: int, second: int) -> bytes:
    cards = [content[i : i + 80] for i in range(0, 2880, 80)]
    cards[first], cards[second] = cards[second], cards[first]
    return b"".join(cards) + content[2880:]


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _versions() -> bytes:
    return written(*(fits.ImageHDU(noise(), header(), name="N1", ver=version) for version in (1, 2)))


# Checksums ---------------------------------------------------------------------------------------------------

case("a flipped bit in a tile", Code.BAD_CHECKSUM, lambda: _flipped(compressed(checksum=True), 2880 * 3 + 200))
case(
    "a flipped bit in a tile, packed",
    Code.BAD_CHECKSUM,
    lambda: gzip.compress(_flipped(compressed(checksum=True), 9000)),
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
