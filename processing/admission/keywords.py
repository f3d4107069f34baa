"""The keywords and extensions that an instrument wants, with possible values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from processing.admission.codes import Code
from processing.admission.headers import NoValue, Value
from processing.admission.rules import AdmissionRules, RequiredKeyword
from processing.admission.structure import Hdu
from processing.errors import BadExposureFile


def check_extensions(hdus: Sequence[Hdu], rules: AdmissionRules) -> None:
    """BadExposureFile where there are too few images, or not the extensions that files of the instrument have."""
    pictures = [hdu for hdu in hdus if hdu.is_picture]
    names = tuple(hdu.name for hdu in pictures)
    shown = ", ".join(name or "one without a name" for name in names[:8]) or "none"
    if len(pictures) < rules.min_images:
        needed = "there is no two-dimensional image in it" if not pictures else f"{rules.min_images} images are needed"
        raise BadExposureFile(Code.NO_IMAGE, f"{needed}; there are {len(hdus)} HDUs, images: {shown}")
    if callable(rules.extensions):
        if wrong := rules.extensions(names):
            raise BadExposureFile(Code.MISSING_EXTENSION, wrong)
    elif rules.extensions:
        fitting = sum(re.fullmatch(rules.extensions, name) is not None for name in names)
        if fitting < rules.min_images:
            said = f"{fitting} of its images are called as those of the instrument ({rules.extensions}): {shown}"
            raise BadExposureFile(Code.MISSING_EXTENSION, said)


def check_keywords(hdus: Sequence[Hdu], rules: AdmissionRules) -> None:
    """BadExposureFile for a keyword that is missing, or has a value that is impossible for the instrument."""
    pictures = [hdu for hdu in hdus if hdu.is_picture]
    searched = list({id(hdu): hdu for hdu in (*hdus[:1], *pictures[:1])}.values())
    for wanted in rules.keywords:
        found = next(
            ((name, value) for name in wanted.names for hdu in searched if (value := _given(hdu, name)) is not None),
            None,
        )
        if found is not None:
            _check_value(wanted, *found)
        elif not wanted.optional:
            raise BadExposureFile(Code.MISSING_KEYWORD, f"it has no keyword {wanted}")


def _given(hdu: Hdu, name: str) -> Value | NoValue:
    value = hdu.header.get(name)
    return None if isinstance(value, str) and not value.strip() else value


def _check_value(wanted: RequiredKeyword, name: str, value: Value | NoValue) -> None:
    typed = _typed(wanted.kind, value)
    if typed is None:
        kind = {float: "a number", int: "a whole number", str: "a text", bool: "T or F"}[wanted.kind]
        raise BadExposureFile(Code.BAD_VALUE, f"{name} = {value!r} is not {kind}")
    below = wanted.low is not None and typed < wanted.low
    if below or (wanted.high is not None and typed > wanted.high):
        low = "-∞" if wanted.low is None else f"{wanted.low:g}"
        high = "∞" if wanted.high is None else f"{wanted.high:g}"
        raise BadExposureFile(Code.BAD_VALUE, f"{name} = {value!r}; {low} to {high} are possible")
    if wanted.choices and str(typed).strip().casefold() not in {choice.casefold() for choice in wanted.choices}:
        raise BadExposureFile(Code.BAD_VALUE, f"{name} = {value!r}; there are {', '.join(wanted.choices)}")


def _typed(kind: type, value: Value | NoValue) -> Value:
    if isinstance(value, NoValue) or kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else None
    if kind is str:
        return str(value)
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    if not math.isfinite(number) or (kind is int and number != int(number)):
        return None
    return number
