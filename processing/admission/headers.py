"""Headers read as bytes: cards of 80, values with the types of the FITS standard 4.0, section 4."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from processing.admission.codes import Code
from processing.admission.reading import Contents
from processing.admission.rules import Limits
from processing.errors import BadExposureFile

BLOCK, CARD = 2880, 80
Value = str | int | float | bool | None
_INTEGER = re.compile(r"[+-]?\d{1,40}")
_FLOAT = re.compile(r"[+-]?(?:\d{1,60}\.?\d{0,60}|\.\d{1,60})(?:[EeDd][+-]?\d{1,5})?")
_TEXT = re.compile(r"'((?:[^']|'')*)' *(?:/.*)?", re.DOTALL)
_PLAIN = re.compile(rb"[A-Z0-9_-]* *")
_CONTROL, _FOREIGN = re.compile(rb"[\x00-\x1f\x7f]"), re.compile(rb"[\x80-\xff]")
_PRINTABLE = re.compile(rb"[\x20-\x7e]*")
_END, _NO_END = b"END".ljust(80), re.compile(rb"END {0,76}[^A-Z0-9_ -]")
# Programs differ in which of two cards they take: two that differ are two different images.
_DESCRIBING = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|EXTEND|TFIELDS|T(?:FORM|DIM|BCOL|SCAL|ZERO)\d+|THEAP|BSCALE|"
    r"BZERO|BLANK|"
    r"Z(?:IMAGE|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|SCALE|ZERO|QUANTIZ|DITHER0)"
)


class NoValue:
    """What stands where a value should and is none, e.g. NaN or a text without its quotation mark."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


@dataclass
class Header:
    """The cards of one HDU, values parsed when they are asked for; of a keyword that is repeated the first counts."""

    index: int  # of the HDU in the file
    offset: int  # of the header in the file, bytes
    length: int  # bytes, padding included
    cards: dict[str, bytes] = field(default_factory=dict)  # of each keyword with a value, what follows its `= `
    repeated: dict[str, list[bytes]] = field(default_factory=dict)  # the further values of keywords that are repeated
    order: list[str] = field(default_factory=list)  # of the first keywords
    count: int = 0
    last: str = ""  # keyword
    oddities: dict[Code, str] = field(default_factory=dict)  # what rules may tolerate, the first of each

    def __str__(self) -> str:
        name = self.get("EXTNAME")
        return f"HDU {self.index}{f' ({name})' if isinstance(name, str) and name else ''}"

    def get(self, keyword: str, default: Value = None) -> Value | NoValue:
        """The value of a keyword; `default` where it is missing or undefined."""
        card = self.cards.get(keyword)
        value = None if card is None else value_of(card)
        return default if value is None else value

    def values(self, keyword: str) -> list[Value | NoValue]:
        """All values of a keyword: what reads the file later may take another than the first."""
        return [value_of(card) for card in (self.cards[keyword], *self.repeated.get(keyword, ()))]

    def integer(self, keyword: str, low: int, high: int, default: int | None = None) -> int:
        """A keyword that describes the data; BadExposureFile where it is missing, no whole number or out of range."""
        value = self.get(keyword, None if keyword in self.cards else default)
        if value is None:
            raise BadExposureFile(Code.BAD_STRUCTURE, f"{self} has no {keyword}, or none with a value")
        if type(value) is not int or not low <= value <= high:
            said = f"{self} has {keyword} = {value!r}; a whole number from {low} to {high} is needed"
            raise BadExposureFile(Code.BAD_STRUCTURE, said)
        return value

    def flag(self, keyword: str) -> bool:
        """T or F, F where it is missing; BadExposureFile for anything else, which readers may take for either."""
        value = self.get(keyword, None if keyword in self.cards else False)
        if not isinstance(value, bool):
            raise BadExposureFile(Code.BAD_STRUCTURE, f"{self} has {keyword} = {value!r}; T or F is needed")
        return value

    def text(self, keyword: str) -> str:
        """A text without blanks around it; empty where it is missing, BadExposureFile where it is something else."""
        value = self.get(keyword, "")
        if not isinstance(value, str):
            raise BadExposureFile(Code.BAD_STRUCTURE, f"{self} has {keyword} = {value!r}; a text is needed")
        return value.strip()

    def note(self, code: Code, text: str) -> None:
        """Remember an oddity."""
        self.oddities.setdefault(code, f"{self}: {text}")


def value_of(card: bytes) -> Value | NoValue:
    """The value in what follows the `= ` of a card; None where it is undefined."""
    text = card.decode("ascii", "replace").strip(" ")
    if text.startswith("'"):
        found = _TEXT.fullmatch(text)
        return found[1].replace("''", "'").rstrip(" ") if found else NoValue(text)
    token = text.partition("/")[0].strip(" ")
    if token in ("T", "F"):
        return token == "T"
    if _INTEGER.fullmatch(token):
        return int(token)
    if _FLOAT.fullmatch(token):
        return float(token.upper().replace("D", "E"))
    return NoValue(token) if token else None


def read_header(contents: Contents, index: int, offset: int, limits: Limits) -> Header:
    """The header that begins at `offset`, to its END. BadExposureFile where there is none, or more than is possible."""
    header = Header(index, offset, 0)
    while block := contents.at(offset + header.length, BLOCK):
        if len(block) < BLOCK:
            raise BadExposureFile(Code.TRUNCATED, f"it ends in the header of HDU {index}")
        header.length += BLOCK
        is_printable = _PRINTABLE.fullmatch(block) is not None
        for start in range(0, BLOCK, CARD):
            card = block[start : start + CARD]
            if card == _END:
                _check_padding(header, block[start + CARD :])
                return header
            if _NO_END.match(card):
                raise BadExposureFile(Code.BAD_STRUCTURE, f"HDU {index} has an END with something behind it")
            if not is_printable:
                _note_characters(header, card)
            _add(header, card)
        if header.count > limits.max_cards:
            raise BadExposureFile(Code.TOO_MANY_CARDS, f"HDU {index} has more than {limits.max_cards} cards")
    raise BadExposureFile(Code.NO_END, f"the header of HDU {index} has no END")


def _check_padding(header: Header, rest: bytes) -> None:
    if b"=" in rest:  # a reader that goes on behind END would take these for cards
        raise BadExposureFile(Code.BAD_STRUCTURE, f"{header} has cards behind its END")
    if rest.strip(b" "):
        header.note(Code.BAD_PADDING, "something follows its END")


def _note_characters(header: Header, card: bytes) -> None:
    name = card[:8].decode("ascii", "replace").strip()
    for code, wrong in ((Code.CONTROL_CHARACTERS, _CONTROL), (Code.BAD_CHARACTERS, _FOREIGN)):
        if found := wrong.search(card):
            header.note(code, f"byte {found[0][0]:#04x} in the card {name!r}")


def _add(header: Header, card: bytes) -> None:
    header.count += 1
    if card.startswith(b"CONTINUE"):
        if _DESCRIBING.fullmatch(header.last):
            raise BadExposureFile(Code.BAD_STRUCTURE, f"HDU {header.index} has a {header.last} of several cards")
        return
    keyword, value, is_plain = _parts(card)
    header.last = keyword
    if keyword in ("", "COMMENT", "HISTORY"):
        return
    if not is_plain:
        header.note(Code.LOWER_CASE, f"the keyword {card[:8].decode('ascii', 'replace').strip()!r}")
    if _DESCRIBING.fullmatch(keyword) and (value is None or not is_plain):
        said = f"HDU {header.index} has {keyword} {'without a value' if is_plain else 'in an odd way of writing'}"
        raise BadExposureFile(Code.BAD_STRUCTURE, said)
    if value is None:
        return
    if len(header.order) < 16:
        header.order.append(keyword)
    before = header.cards.setdefault(keyword, value)
    if before is value:
        return
    header.repeated.setdefault(keyword, []).append(value)
    if _DESCRIBING.fullmatch(keyword) and repr(value_of(before)) != repr(value_of(value)):
        said = f"{header} has {keyword} = {value_of(before)!r} and {value_of(value)!r}"
        raise BadExposureFile(Code.REPEATED_KEYWORD, said)


def _parts(card: bytes) -> tuple[str, bytes | None, bool]:
    """Keyword, the bytes of its value or None, and whether the keyword is written as the standard wants.

    Astropy finds more keywords than the standard knows: small ones, ones with their `=` too far to the left, and those
    of the HIERARCH convention. What it takes for a keyword must be looked at as one.
    """
    name = card[:8]
    if card[8:10] == b"= " and _PLAIN.fullmatch(name):
        return name.decode("ascii").rstrip(" "), card[10:], True
    if name == b"HIERARCH" and card[8:9] == b" " and b"=" in card:
        keyword, _, value = card[9:].partition(b"=")
        keyword = keyword.decode("ascii", "replace").strip().upper()
        return keyword, value, len(keyword) > 8 or " " in keyword
    place = card.find(b"= ", 0, 10)
    if place < 0 and card[8:9] == b"=":  # no value to Astropy, but one that its verification may make
        return name.decode("ascii", "replace").strip().upper(), card[9:], False
    keyword = (name[:place] if 0 <= place < 8 else name).decode("ascii", "replace").strip().upper()
    is_plain = place < 0 and _PLAIN.fullmatch(name) is not None
    return keyword, None if place < 0 else card[place + 2 :], is_plain
