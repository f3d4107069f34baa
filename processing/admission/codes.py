"""Why a file from outside is not let in: a closed list, shown in the documentation."""

from __future__ import annotations

from enum import StrEnum

_FETCH = "fetch it again"
_WRITER = "ask whoever wrote it"
_HEADER = "correct its header"
_OTHER = "is it the right file?"
_CAMERA = "choose another --instrument, or correct its header"
_PLACE = "correct its header; for --instrument generic --set instrument.ra, .dec and .pixel_scale stand for it"


class Code(StrEnum):
    """A reason; `meaning` is a sentence, `advice` what to do, `is_tolerable` whether rules may make it a warning."""

    meaning: str
    advice: str
    is_tolerable: bool

    def __new__(cls, value: str, meaning: str, advice: str, is_tolerable: bool = False) -> Code:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning, member.advice, member.is_tolerable = meaning, advice, is_tolerable
        return member

    # The file as such
    NOT_A_FILE = (
        "not-a-file",
        "There is no such file, or it is a folder, a pipe or a device.",
        "give the name of a file",
    )
    BAD_NAME = "bad-name", "The name is too long, or has characters that cannot be printed.", "rename it"
    EMPTY = "empty", "There is nothing in it.", _FETCH
    TOO_LARGE = "too-large", "It is larger than any file of its instrument, packed or unpacked.", _OTHER
    OTHER_COMPRESSION = (
        "other-compression",
        "It is packed by bzip2, xz, zip or another program.",
        "unpack it, or use gzip",
    )
    NOT_FITS = "not-fits", "It does not begin as a FITS file does.", _OTHER
    BAD_GZIP = "bad-gzip", "The gzip stream is damaged, cut short, or its checksum is wrong.", f"is it whole? {_FETCH}"
    GZIP_BOMB = "gzip-bomb", "Unpacked it is out of all proportion to its size.", "do not use it"
    TRUNCATED = "truncated", "It ends before what its headers announce.", f"is it whole? {_FETCH}"
    TRAILING_BYTES = "trailing-bytes", "Something that is no FITS follows the last extension.", _FETCH, True
    TOO_SLOW = "too-slow", "Looking through it takes too long; no real file is so entangled.", "do not use it"

    # Headers
    NO_END = "no-end", "A header has no END.", _FETCH
    TOO_MANY_CARDS = "too-many-cards", "A header, or all of them together, has more cards than any real file.", _OTHER
    TOO_MANY_HDUS = "too-many-hdus", "It has more extensions than any real file.", _OTHER
    BAD_CHARACTERS = "bad-characters", "A header has characters beyond ASCII, e.g. accents.", _WRITER, True
    CONTROL_CHARACTERS = "control-characters", "A header has tabs, line ends or zeros.", _WRITER, True
    LOWER_CASE = "lower-case", "A keyword has small letters, or others that keywords must not have.", _WRITER, True
    BAD_PADDING = "bad-padding", "Something stands between END and the end of the header.", _WRITER, True
    ODD_ORDER = "odd-order", "The first keywords of a header are not in the order of the standard.", _WRITER, True
    REPEATED_KEYWORD = "repeated-keyword", "A keyword that describes the data is there twice, and differs.", _HEADER
    BAD_STRUCTURE = (
        "bad-structure",
        "A keyword that describes the data is missing, or no value of it is possible.",
        _FETCH,
    )
    TOO_MANY_PIXELS = "too-many-pixels", "An axis, an image or a table is larger than any of its instrument.", _OTHER
    BAD_SCALING = "bad-scaling", "BSCALE, BZERO or their like are not finite, or the scale is 0.", _HEADER
    BAD_TABLE = "bad-table", "The columns of a table are not described, or do not fill its rows.", _FETCH
    BAD_HEAP = "bad-heap", "A row of a table points at something outside the table.", _FETCH
    BAD_CHECKSUM = (
        "bad-checksum",
        "A compressed image, or a header without DATASUM, is not that of which the checksum was taken.",
        _FETCH,
        True,
    )
    STALE_CHECKSUM = (
        "stale-checksum",
        "Data are not those of which DATASUM was taken: they were damaged, or processed later.",
        _FETCH,
        True,
    )
    EDITED_HEADER = "edited-header", "CHECKSUM does not fit, DATASUM does: the header was changed later.", _WRITER, True

    # Compressed images
    UNSAFE_COMPRESSION = (
        "unsafe-compression",
        "An image is compressed in a way that cannot be unpacked safely (HCOMPRESS_1, PLIO_1 of other than masks).",
        "compress it by RICE_1 or GZIP_2",
    )
    BAD_COMPRESSION = "bad-compression", "The description of a compressed image contradicts itself.", _FETCH
    EXPANSION = "expansion", "A compressed image unpacks out of all proportion to its size.", "do not use it"

    # Sky
    BAD_WCS = (
        "bad-wcs",
        "The coordinates in a header are not finite, impossible, or of a kind that nobody knows.",
        _PLACE,
        True,
    )

    # What an instrument wants
    DUPLICATE_EXTENSION = "duplicate-extension", "Two extensions have the same name and version.", _WRITER, True
    MISSING_EXTENSION = "missing-extension", "It has not the extensions that files of its instrument have.", _CAMERA
    NO_IMAGE = "no-image", "There is no two-dimensional image in it.", _OTHER
    MISSING_KEYWORD = (
        "missing-keyword",
        "A keyword that the instrument's files must have is missing.",
        _CAMERA,
    )
    BAD_VALUE = "bad-value", "A keyword has a value that is impossible for the instrument.", _CAMERA

    # Pixels, looked at when a CCD is read
    NO_VALUES = "no-values", "Too few pixels of a CCD have a usable value.", _OTHER
    ABSURD_VALUES = "absurd-values", "Pixels of a CCD are 1e12 or more, or as far below 0.", _FETCH
    CONSTANT = "constant", "Every pixel of a CCD has the same value.", _OTHER


TOLERABLE = frozenset(code for code in Code if code.is_tolerable)
