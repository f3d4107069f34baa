"""Small valid files of every kind, and ways of spoiling them."""

from __future__ import annotations

import gzip
import io
import random
import re
import struct
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.base import _ValidHDU

SHAPE = (40, 60)
WCS = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 30.0, "CRPIX2": 20.0,
    "CD1_1": -2e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 2e-4,
}  # fmt: skip
FACTS = {"EXPTIME": 30.0, "FILTER": "r", "GAIN": 2.0, "SATURATE": 6e4, "DATE-OBS": "2026-11-22T03:04:05"}


def header(**changes: object) -> fits.Header:
    """Of an image with coordinates; a keyword changed to None is left out."""
    found = fits.Header()
    for key, value in {**WCS, **FACTS, **changes}.items():
        if value is not None:
            found[key] = value
    return found


def noise(dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(7).normal(1000, 10, SHAPE).astype(dtype)


def written(*hdus: object, checksum: bool = False) -> bytes:
    """The bytes of a file with these HDUs."""
    out = io.BytesIO()
    first = [] if isinstance(hdus[0], fits.PrimaryHDU) else [fits.PrimaryHDU()]
    with patch.object(_ValidHDU, "_get_timestamp", lambda hdu: "2026-11-28T00:00:00"):  # the same bytes every time
        fits.HDUList([*first, *hdus]).writeto(out, checksum=checksum)
    return out.getvalue()


def plain() -> bytes:
    """One image of floats."""
    return written(fits.PrimaryHDU(noise(np.float32), header()))


def scaled() -> bytes:
    """One image of unsigned 16-bit numbers with checksums."""
    return written(fits.PrimaryHDU(noise(np.uint16), header()), checksum=True)


def extensions() -> bytes:
    """Two images in extensions, with checksums."""
    images = (fits.ImageHDU(noise(), header(), name=name) for name in ("N1", "N2"))
    return written(*images, checksum=True)


def compressed(kind: str = "RICE_1", dtype: type = np.int16, *, checksum: bool = False, **options: object) -> bytes:
    """Two compressed images, in tiles of 10 rows."""
    hdus = [
        fits.CompImageHDU(noise(dtype), header(), name, compression_type=kind, tile_shape=(10, SHAPE[1]), **options)
        for name in ("N1", "N2")
    ]
    return written(*hdus, checksum=checksum)


def mask() -> bytes:
    """A mask that PLIO has compressed."""
    flags = np.zeros(SHAPE, np.int16)
    flags[3:6, 10:30] = 4
    return written(fits.CompImageHDU(flags, name="MASK", compression_type="PLIO_1"))


def tables() -> bytes:
    """A binary table with arrays of variable length, and one of text."""
    arrays = np.array([np.arange(n, dtype=np.int32) for n in (3, 0, 5)], dtype=object)
    binary = fits.BinTableHDU.from_columns(
        [
            fits.Column("ra", "D", array=[1.0, 2.0, 3.0]), fits.Column("name", "8A", array=["a", "b", "c"]),
            fits.Column("spans", "PJ()", array=arrays), fits.Column("psf", "6E", dim="(3,2)", array=np.ones((3, 2, 3))),
        ],
        name="OBJECTS",
    )  # fmt: skip
    text = fits.TableHDU.from_columns(
        [fits.Column("n", "I5", array=[1, 2]), fits.Column("x", "F8.3", array=[1.5, 2.5])], name="TEXT"
    )
    return written(binary, text)


def packed() -> bytes:
    """An image that gzip has packed."""
    return gzip.compress(plain(), mtime=0)


KINDS: dict[str, Callable[[], bytes]] = {
    "plain": plain,
    "scaled": scaled,
    "extensions": extensions,
    "rice": compressed,
    "rice with checksums": lambda: compressed(checksum=True),
    "quantised floats": lambda: compressed(dtype=np.float32, quantize_method=2, dither_seed=5),
    "gzip tiles": lambda: compressed("GZIP_1", np.int32),
    "shuffled gzip tiles": lambda: compressed("GZIP_2", np.float32, quantize_level=0.0),
    "mask": mask,
    "tables": tables,
    "packed": packed,
}


def card(keyword: str, value: object, comment: str = "") -> bytes:
    """A card as it stands in a file; `value` is written as it is."""
    text = f"{keyword:<8}= {value!s:>20}" + (f" / {comment}" if comment else "")
    return text.encode("latin-1").ljust(80)[:80]


def changed(content: bytes, keyword: str, value: object, nth: int = 0) -> bytes:
    """The file with another value in the n-th card of a keyword."""
    places = [m.start() for m in re.finditer(re.escape(f"{keyword:<8}= ".encode()), content) if m.start() % 80 == 0]
    place = places[nth]
    return content[:place] + card(keyword, value) + content[place + 80 :]


def flipped(content: bytes, place: int) -> bytes:
    """The bytes with one bit turned at `place`."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def without(content: bytes, keyword: str, nth: int = 0) -> bytes:
    """The file with the n-th card of a keyword made blank."""
    places = [m.start() for m in re.finditer(re.escape(f"{keyword:<8}".encode()), content) if m.start() % 80 == 0]
    return content[: places[nth]] + b" " * 80 + content[places[nth] + 80 :]


def put(content: bytes, *cards: bytes, hdu: int = 0) -> bytes:
    """The file with more cards in front of the END of one of its headers, which has room for them."""
    ends = [m.start() for m in re.finditer(rb"END {77}", content) if m.start() % 80 == 0]
    more = b"".join(cards)
    end = ends[hdu]
    room = (-(end + 80)) % 2880
    padding = b" " * ((-(end + 80 + len(more))) % 2880)
    return content[:end] + more + b"END".ljust(80) + padding + content[end + 80 + room :]


# Random changes -------------------------------------------------------------------------------------------

_EXTREMES = (
    b"0", b"-1", b"1", b"4294967296", b"9223372036854775807", b"99999999999999999999", b"-2147483648", b"2147483647",
    b"32767", b"1E400", b"NaN", b"inf", b"1.5", b"T", b"''", b"'x'", b"8", b"16", b"-32", b"64", b"1000000",
)  # fmt: skip


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(len(data))] = chance.randrange(256)


def _flip_header(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        place = chance.choice(_card_places(data)) + chance.randrange(80)
        if place < len(data):
            data[place] = chance.choice(b"0123456789 '=ETFD.-+/ABNXZ\x00\xe9\n")


def _set_value(data: bytearray, chance: random.Random) -> None:
    place = chance.choice(_card_places(data))
    data[place + 10 : place + 80] = chance.choice(_EXTREMES).rjust(20).ljust(70)


def _nudge(data: bytearray, chance: random.Random) -> None:
    """Another digit somewhere in a header."""
    digits = [i for start in _card_places(data) for i in range(start + 8, start + 30) if data[i : i + 1].isdigit()]
    if digits:
        data[chance.choice(digits)] = chance.choice(b"0123456789")


def _swap_cards(data: bytearray, chance: random.Random) -> None:
    a, b = chance.choices(_card_places(data), k=2)
    data[a : a + 80], data[b : b + 80] = data[b : b + 80], data[a : a + 80]


def _blank_card(data: bytearray, chance: random.Random) -> None:
    place = chance.choice(_card_places(data))
    data[place : place + 80] = b" " * 80


def _double_card(data: bytearray, chance: random.Random) -> None:
    a, b = chance.choices(_card_places(data), k=2)
    data[a : a + 80] = data[b : b + 80]


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _cut_blocks(data: bytearray, chance: random.Random) -> None:
    start = 2880 * chance.randrange(len(data) // 2880 + 1)
    del data[start : start + 2880 * chance.randint(1, 3)]


def _double_block(data: bytearray, chance: random.Random) -> None:
    start = 2880 * chance.randrange(len(data) // 2880 + 1)
    data[start:start] = data[start : start + 2880]


def _append(data: bytearray, chance: random.Random) -> None:
    data += chance.choice((bytes(2880), b" " * 2880, b"XTENSION", b"\n", chance.randbytes(chance.randint(1, 4000))))


def _point_elsewhere(data: bytearray, chance: random.Random) -> None:
    """A number of 32 bits somewhere behind the headers: pixels, descriptors, or the stream of a tile."""
    places = _card_places(data)
    place = min(len(data) - 4, (places[-1] + 80 + chance.randrange(6000)) // 4 * 4)
    number = chance.choice((0, 1, -1, 255, 32767, 65536, 2**31 - 1, -(2**31)))
    if place > 0:
        data[place : place + 4] = struct.pack(">i", number)


CHANGES = (
    _flip, _flip_header, _flip_header, _set_value, _set_value, _set_value, _nudge, _nudge, _swap_cards, _blank_card,
    _double_card, _cut, _cut_blocks, _double_block, _append, _point_elsewhere, _point_elsewhere, _flip,
)  # fmt: skip


def _card_places(data: bytearray) -> list[int]:
    """Where cards with a value are; the beginning where there are none."""
    return [i for i in range(0, len(data) - 79, 80) if data[i + 8 : i + 10] == b"= "] or [0]


def mutant(content: bytes, chance: random.Random) -> bytes:
    """The file with one to three random changes; a packed one is often packed again afterwards."""
    is_packed = content[:2] == b"\x1f\x8b" and chance.random() < 0.6
    data = bytearray(gzip.decompress(content) if is_packed else content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice(CHANGES)(data, chance) if data else None
    return gzip.compress(bytes(data), 1, mtime=0) if is_packed else bytes(data)
