"""Coordinates in a header: finite, possible, and of a kind that is known, before any library makes a WCS of them."""

from __future__ import annotations

import math
import re

from processing.admission.codes import Code
from processing.admission.headers import Header, NoValue
from processing.admission.rules import AdmissionRules
from processing.errors import BadExposureFile

_NUMBERS = re.compile(
    r"(?:CRVAL\d|CRPIX\d|CDELT\d|CROTA\d|CD\d_\d|PC\d_\d|PV\d_\d{1,2}|LONPOLE|LATPOLE|EQUINOX)[A-Z]?|"
    r"(?:A|B|AP|BP)_(?:\d{1,3}_\d{1,3}|ORDER)"
)
_SIP = re.compile(r"(?:A|B|AP|BP)_(\d{1,4})_(\d{1,4})")
_POLYNOMIAL = re.compile(r"PV\d_(\d+)[A-Z]?")
_CELESTIAL = re.compile(r"(RA--|DEC-|[GESH]LON|[GESH]LAT)-([A-Z0-9]{3})(?:-SIP)?")
_LATITUDES = ("DEC", "GLAT", "ELAT", "SLAT", "HLAT")
_PROJECTIONS = re.compile(
    "AZP|SZP|TAN|STG|SIN|ARC|ZPN|ZEA|AIR|CYP|CEA|CAR|MER|COP|COE|COD|COO|SFL|PAR|MOL|AIT|BON|PCO|TSC|CSC|QSC|HPX|XPH|"
    "TPV|TPD|TNX|ZPX|DSS|NCP|GLS"
)
_MOST_COEFFICIENTS = 40  # of TPV


def check_wcs(header: Header, rules: AdmissionRules) -> None:
    """BadExposureFile with `bad-wcs` for coordinates that are not finite, impossible or unknown."""
    numbers = {}
    for keyword in header.cards:
        if _NUMBERS.fullmatch(keyword):
            found = [_finite(header, keyword, value) for value in header.values(keyword) if value not in (None, "")]
            numbers |= {keyword: found[0]} if found else {}
    axes = header.integer("WCSAXES", 0, 4, 0) if "WCSAXES" in header.cards else 0
    _check_polynomials(header, rules)
    for axis in ("", *sorted({keyword[-1] for keyword in header.cards if re.fullmatch(r"CTYPE1[A-Z]", keyword)})):
        _check_axes(header, numbers, axis, rules)
    if axes and any(int(keyword[5]) > 4 for keyword in header.cards if re.fullmatch(r"CTYPE\d", keyword)):
        raise _refused(header, "it has more than 4 axes")


def _refused(header: Header, reason: str) -> BadExposureFile:
    return BadExposureFile(Code.BAD_WCS, f"{header}: {reason}")


def _finite(header: Header, keyword: str, value: object) -> float:
    try:
        found = math.nan if isinstance(value, bool | NoValue) else float(value)
    except (OverflowError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise _refused(header, f"{keyword} = {value!r} is not a finite number")
    return found


def _check_polynomials(header: Header, rules: AdmissionRules) -> None:
    for keyword in header.cards:
        if match := _SIP.fullmatch(keyword):
            orders = [int(match[1]) + int(match[2])]
        elif keyword in ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"):
            orders = [float(value) for value in header.values(keyword) if value not in (None, "")]
        else:
            match = _POLYNOMIAL.fullmatch(keyword)
            if match and int(match[1]) >= _MOST_COEFFICIENTS:
                raise _refused(header, f"{keyword} is none of the {_MOST_COEFFICIENTS} coefficients that there are")
            continue
        for order in orders:
            if not 0 <= order <= rules.max_sip_order or order != int(order):
                most = rules.max_sip_order
                raise _refused(header, f"{keyword} means a polynomial of order {order:g}, {most} is possible")


def _check_axes(header: Header, numbers: dict[str, float], axis: str, rules: AdmissionRules) -> None:
    """Two axes on the sky with one projection, a reference point on the sky, and pixels of a size that cameras have."""
    kinds, others, projections = [], [], set()
    for number in (1, 2):
        text = header.get(f"CTYPE{number}{axis}", "")
        if not isinstance(text, str):
            raise _refused(header, f"CTYPE{number}{axis} = {text!r} is no kind of coordinate")
        match = _CELESTIAL.fullmatch(text.strip())
        if match is None:
            if re.match(r"(RA|DEC)-", text):
                raise _refused(header, f"CTYPE{number}{axis} = {text!r} is no kind of coordinate")
            others += [text.strip()] if text.strip() else []
            continue
        kinds.append(match[1].rstrip("-"))
        projections.add(match[2])
        _check_reference(header, numbers, f"CRVAL{number}{axis}", kinds[-1])
    if unknown := [name for name in projections if not _PROJECTIONS.fullmatch(name)]:
        raise _refused(header, f"there is no projection {', '.join(sorted(unknown))}")
    if kinds and others:
        raise _refused(header, f"{kinds[0]} and {others[0]!r} do not go together")
    if len(kinds) == 2:
        if len(projections) > 1 or len({kind in _LATITUDES for kind in kinds}) == 1:
            raise _refused(header, f"{' and '.join(kinds)} do not go together")
        _check_scale(header, numbers, axis, rules)


def _check_reference(header: Header, numbers: dict[str, float], keyword: str, kind: str) -> None:
    most = 90 if kind in _LATITUDES else 360
    if abs(value := numbers.get(keyword, 0.0)) > most:
        raise _refused(header, f"{keyword} = {value:g} is outside ±{most} degrees")


def _check_scale(header: Header, numbers: dict[str, float], axis: str, rules: AdmissionRules) -> None:
    def element(kind: str, row: int, column: int) -> float | None:
        return numbers.get(f"{kind}{row}_{column}{axis}")

    pairs = ((1, 1), (1, 2), (2, 1), (2, 2))
    if any(element("CD", *pair) is not None for pair in pairs):
        a, b, c, d = (element("CD", *pair) or 0.0 for pair in pairs)
    elif any(f"CDELT{number}{axis}" in numbers for number in (1, 2)):
        steps = [numbers.get(f"CDELT{number}{axis}", 1.0) for number in (1, 2)]
        found = (element("PC", *pair) for pair in pairs)
        turned = [value if value is not None else float(i == j) for value, (i, j) in zip(found, pairs)]
        a, b, c, d = (value * steps[i - 1] for value, (i, _) in zip(turned, pairs))
    else:
        return
    scale = 3600 * math.sqrt(abs(a * d - b * c))
    low, high = rules.pixel_scale
    if not low <= scale <= high:
        raise _refused(header, f"a pixel would be {scale:.3g} arcsec wide; {low:g} to {high:g} are possible")
