"""Numbers as astronomers write them: sexagesimal positions, magnitudes with errors, dates of MJDs, true minus signs."""

from __future__ import annotations

import datetime
import json
import math
import re
from typing import Any

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from products.dates import date_of_mjd

register = template.Library()

MISSING = format_html('<span class="quiet">{}</span>', "–")
THIN = "\u2009"


def _finite(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def plain_number(value: Any, decimals: int = 2) -> str:
    """A number with a true minus and thin spaces between thousands from 10 000 on; an en dash for a missing one."""
    found = _finite(value)
    if found is None:
        return "–"
    text = f"{abs(found):.{decimals}f}"
    whole, dot, part = text.partition(".")
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", THIN)
    sign = "−" if found < 0 and float(text) != 0 else ""
    return f"{sign}{whole}{dot}{part}"


@register.filter
def number(value: Any, decimals: int = 2) -> str:
    """`plain_number`, with a missing value set quietly."""
    return MISSING if _finite(value) is None else plain_number(value, int(decimals))


@register.filter
def count(value: Any) -> str:
    """A whole number."""
    return number(value, 0)


@register.filter
def signed(value: Any, decimals: int = 2) -> str:
    """A number with its sign."""
    found = _finite(value)
    return MISSING if found is None else ("+" if found > 0 else "") + plain_number(found, int(decimals))


@register.filter
def percent(value: Any, decimals: int = 1) -> str:
    """A fraction as a percentage."""
    found = _finite(value)
    return MISSING if found is None else f"{plain_number(100 * found, int(decimals))} %"


@register.filter
def short(value: Any) -> str:
    """Any value in few digits: whole numbers as they are, others with three or four significant figures."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    found = _finite(value)
    if found is None:
        return MISSING if value in (None, "") else str(value)
    if isinstance(value, int) or (found == int(found) and abs(found) < 1e6):
        return plain_number(found, 0)
    if not 1e-3 <= abs(found) < 1e6:
        mantissa, exponent = f"{found:.2e}".split("e")
        return f"{plain_number(mantissa)} × 10{str(int(exponent)).translate(_RAISED)}"
    size_of = abs(found)
    decimals = (
        2 - math.floor(math.log10(size_of)) if size_of < 10 else 2 if size_of < 100 else 1 if size_of < 1000 else 0
    )
    return plain_number(found, decimals)


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@register.simple_tag
def with_error(value: Any, error: Any, decimals: int = 2) -> str:
    """`19.42 ± 0.11`."""
    if _finite(value) is None:
        return MISSING
    if _finite(error) is None:
        return plain_number(value, decimals)
    return f"{plain_number(value, decimals)} ± {plain_number(error, decimals)}"


def sexagesimal(degrees: float, *, decimals: int, hours: bool) -> str:
    """`02ʰ 21ᵐ 40.34ˢ` or `−04° 44′ 08.2″`; rounding carries, so that 60 seconds never appear."""
    scale = 10**decimals
    ticks = round(abs(degrees) / (15 if hours else 1) * 3600 * scale)
    seconds, tick = divmod(ticks, scale)
    minutes, second = divmod(seconds, 60)
    whole, minute = divmod(minutes, 60)
    if hours:
        whole %= 24
    part = f".{tick:0{decimals}d}" if decimals else ""
    a, b, c = ("ʰ", "ᵐ", "ˢ") if hours else ("°", "′", "″")
    sign = "" if hours else ("−" if degrees < 0 and ticks else "+")
    return f"{sign}{whole:02d}{a} {minute:02d}{b} {second:02d}{part}{c}"


@register.simple_tag
def position(ra: float, dec: float, decimals: int = 1) -> str:
    """Right ascension and declination; `decimals` of the arcseconds, one more for the seconds of time."""
    extra = decimals + 1 if decimals else 0
    return f"{sexagesimal(ra, decimals=extra, hours=True)} {sexagesimal(dec, decimals=decimals, hours=False)}"


@register.simple_tag
def degrees(ra: float, dec: float) -> str:
    """Both coordinates in degrees, five decimals."""
    return f"{plain_number(ra, 5)} {plain_number(dec, 5)}"


@register.filter
def mjd_date(value: Any, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """An MJD as date and time, rounded to the second."""
    found = _finite(value)
    if found is None:
        return MISSING
    try:
        return date_of_mjd(round(found * 86400) / 86400).strftime(form)
    except OverflowError:
        return MISSING


@register.filter
def mjd(value: Any, decimals: int = 4) -> str:
    """An MJD, without spaces: people copy it."""
    found = _finite(value)
    return MISSING if found is None else f"{found:.{int(decimals)}f}"


@register.filter
def duration(seconds: Any) -> str:
    """`0.84 s`, `41 s`, `3 min 41 s`, `2 h 26 min`."""
    found = _finite(seconds)
    if found is None:
        return MISSING
    if found < 10:
        return f"{plain_number(found, 2 if found < 1 else 1)} s"
    whole = round(found)
    if whole < 60:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {second} s" if second else f"{minutes} min"
    hours, minute = divmod(minutes, 60)
    return f"{hours} h {minute} min" if hours < 48 else f"{hours // 24} d"


@register.filter
def ago(moment: datetime.datetime | None) -> str:
    """How long ago a time was."""
    if moment is None:
        return MISSING
    return duration((datetime.datetime.now(datetime.UTC) - moment).total_seconds())


@register.filter
def size(value: Any) -> str:
    """A number of bytes."""
    found = _finite(value)
    if found is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if found < 1000 or unit == "GB":
            return f"{plain_number(found, 0 if unit == 'B' else 1)} {unit}"
        found /= 1000
    raise AssertionError("unreachable: GB ends the loop")


@register.filter
def size_text(value: Any) -> str:
    """A number of bytes without mark-up, for titles."""
    return "" if _finite(value) is None else size(value)


@register.filter
def cut_sentence(cut: list[Any]) -> SafeString | str:
    """`0.46 > 0.30` for [name, value, threshold, passed]."""
    _, value, threshold, passed = cut
    if value is None:
        return MISSING
    if threshold is None:
        return format_html('{} <span class="quiet">not judged</span>', short(value))
    larger = float(value) > float(threshold)
    sign = ("≥" if larger else "≤") if passed else (">" if larger else "<")
    return f"{short(value)} {sign} {short(threshold)}"


@register.filter
def words(name: Any) -> str:
    """A name of code as words."""
    return str(name).replace("_", " ")


@register.filter
def code_marks(text: Any) -> SafeString:
    """A text of a docstring, what stands between backquotes set as code."""
    return mark_safe(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", escape(text)))


@register.filter
def item(mapping: Any, key: Any) -> Any:
    """The value of `key`, or None."""
    return mapping.get(key) if hasattr(mapping, "get") else None


@register.filter
def field(form: Any, name: str) -> Any:
    """A field of a form by its name."""
    return form[name]


@register.filter
def coordinate(value: float) -> str:
    """A coordinate in degrees for an address, to a hundredth of an arcsecond."""
    return f"{value:.6f}"


@register.filter
def nothing_text(exception: Any) -> str:
    """What a view said about what is not there; not Django's own message about addresses."""
    text = str(exception)
    return text if text.endswith(".") and "{" not in text else ""


@register.filter
def split(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


@register.filter
def half(value: float) -> float:
    """Half of a length of a drawing."""
    return round(value / 2, 2)


@register.filter
def double(value: float) -> float:
    """Twice a length of a drawing."""
    return 2 * value


@register.filter
def negative(value: float) -> float:
    """Minus an angle of a drawing."""
    return -value


@register.filter
def value_text(value: Any) -> str:
    """A value of a parameter as it would stand in a configuration."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
