"""How the Minor Planet Center packs dates and designations into few characters.

The rules are on its page "Packed Provisional and Permanent Designations".
"""

from __future__ import annotations

import datetime
import re
import string

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase  # of base 62
CENTURIES = {"I": 18, "J": 19, "K": 20, "L": 21}
_HALF_MONTHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".replace("I", "")
_MJD_0 = datetime.date(1858, 11, 17)


def mjd_of_epoch(text: str) -> float:
    """MJD of a packed date such as `K239D` (2023-09-13); ValueError for what is none."""
    if not re.fullmatch(r"[I-L]\d\d[1-9A-C][1-9A-V]", text):
        raise ValueError(f"'{text}' is no packed date")
    year = 100 * CENTURIES[text[0]] + int(text[1:3])
    return float((datetime.date(year, DIGITS.index(text[3]), DIGITS.index(text[4])) - _MJD_0).days)


def mjd_of_day(text: str) -> float:
    """MJD of a date such as `20230906`; ValueError for what is none."""
    return float((datetime.date(int(text[:4]), int(text[4:6]), int(text[6:8])) - _MJD_0).days)


def designation(text: str) -> str:
    """A packed designation as people write it: `00001` is (1), `K07Tf8A` is 2007 TA418; ValueError for what is none."""
    if re.fullmatch(r"[0-9A-Za-z]\d{4}", text):
        return f"({10000 * DIGITS.index(text[0]) + int(text[1:])})"
    if re.fullmatch(r"~[0-9A-Za-z]{4}", text):
        return f"({620000 + _base_62(text[1:])})"
    if re.fullmatch(r"(PL|T1|T2|T3)S\d{4}", text):
        survey = "P-L" if text[:2] == "PL" else f"T-{text[1]}"
        return f"{text[3:]} {survey}"
    if re.fullmatch(r"[I-L]\d\d[A-HJ-Y][0-9A-Za-z]\d[A-HJ-Z]", text):
        number = 10 * DIGITS.index(text[4]) + int(text[5])
        return f"{CENTURIES[text[0]]}{text[1:3]} {text[3]}{text[6]}{number or ''}"
    if re.fullmatch(r"_[0-9A-Za-z][A-HJ-Y][0-9A-Za-z]{4}", text):  # more than 15,500 in half a month
        cycle, letter = divmod(15500 + _base_62(text[3:]), len(_HALF_MONTHS))
        return f"{2000 + DIGITS.index(text[1])} {text[2]}{_HALF_MONTHS[letter]}{cycle}"
    raise ValueError(f"'{text}' is no packed designation")


def _base_62(text: str) -> int:
    number = 0
    for character in text:
        number = 62 * number + DIGITS.index(character)
    return number
