"""Files whose bytes, blocks and cards are wrong in one way each, and the code that each must get; or are right."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile

from astropy.io import fits

from processing.admission.codes import Code
from processing.admission.rules import AdmissionRules, Limits
from tests.admission.cases import OK, case, quirk
from tests.admission.files import (
    KINDS,
    card,
    changed,
    compressed,
    extensions,
    flipped,
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
quirk("changed pixels", Code.STALE_CHECKSUM, lambda: flipped(scaled(), 5000))
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


def _versions() -> bytes:
    return written(*(fits.ImageHDU(noise(), header(), name="N1", ver=version) for version in (1, 2)))
