"""LS4: 32 CCDs at the ESO 1.0 m Schmidt telescope on La Silla, with a filter fixed in front of each quadrant.

Formats: packed raw files as the survey's public code reads them (2026): one extension for each CCD, or two where it is
read through both amplifiers, found by CCD_LOC; the facts of the exposure are in the first of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from astropy.io import fits
from astropy.time import Time

from processing.admission.codes import Code
from processing.admission.rules import AdmissionRules, RequiredKeyword
from processing.algorithms.horizon import Site, airmass, altitude
from processing.algorithms.overscan import trimmed_shape
from processing.errors import BadInput
from processing.instruments.base import (
    ExposureFacts,
    Instrument,
    RawSection,
    image_data,
    images_of,
    keyword,
    open_fits,
    stem_of,
)
from processing.instruments.focal_plane import focal_plane, rough_wcs
from processing.instruments.ls4_readout import LEFT, RIGHT, Extension, both_amplifiers, one_amplifier
from processing.instruments.section_tables import own_path, table_state
from processing.parameters import param

CAMERA = "LS4Cam"
TELESCOPE = "ESO 1.0 m Schmidt"
LA_SILLA = Site(latitude=-29.2553, longitude=-70.7377, height=2347.0)
SECTIONS = tuple(f"{quadrant}_{letter}" for quadrant in ("NE", "NW", "SE", "SW") for letter in "ABCDEFGH")
ARRAY = "0"  # FILTERID of the filter array
_HINT = "is it a raw file of LS4? choose --instrument generic for other images"
# IMAGETYP → kind, and what was illuminated
_KINDS = {
    "sky": ("science", ""),
    "dark": ("dark", ""),
    "pmskyflat": ("flat", "twilight"),
    "amskyflat": ("flat", "twilight"),
    "domeskyflat": ("flat", "dome"),
}
_NAME = re.compile(r"\d{14}(?P<shutter>[a-z])_\d+")
_DIRECTION = ("AMP_DIRECTION", "AMP_DIRE", "AMP_DIR", "AMPDIR")


@dataclass(frozen=True)
class Pointing:
    """Where the telescope believes to look."""

    ra: float  # degrees
    dec: float
    unit: str  # of TELE-RA: degree or hour


class Ls4(Instrument):
    """Raw exposures of LS4, the La Silla Schmidt Southern Survey."""

    name = "ls4"
    site: ClassVar[Site] = LA_SILLA
    corrections: ClassVar[tuple[str, ...]] = ("overscan", "bias", "flat")
    only_in: ClassVar[Mapping[str, tuple[str, ...]]] = {"fringe": ("z",)}
    photometric_system: ClassVar[str] = "ls4"
    filters: ClassVar[tuple[str, ...]] = ("g", "i", "z")
    # Packed by a program of the survey, whose checksums and blanks are not those of fpack.
    admission: ClassVar[AdmissionRules] = AdmissionRules(
        keywords=(
            RequiredKeyword(("INSTRUME",), str, choices=(CAMERA,)),
            RequiredKeyword(("STARTOBS",), str),
            RequiredKeyword(("EXPTIME",), low=0, high=86_400),
            RequiredKeyword(("TELE-RA",), low=0, high=360),
            RequiredKeyword(("TELE-DEC",), low=-90, high=90),
            RequiredKeyword(("IMAGETYP",), str),
            RequiredKeyword(("CCD_LOC",), str),
        )
    ).tolerating(Code.BAD_CHECKSUM, Code.CONTROL_CHARACTERS)

    ra_unit: Literal["auto", "degree", "hour"] = param(
        "auto", help="Of TELE-RA; auto: degrees, unless only hours put the telescope above the horizon."
    )
    gain: float = param(2.2, gt=0, unit="electron/ADU", help="Where nothing else says; about right for most CCDs.")
    read_noise: float = param(7.0, gt=0, unit="electron", help="Where nothing else says; assumed, not measured.")
    saturation: float = param(60_000.0, gt=0, unit="ADU", help="Where nothing else says; below the converter's end.")

    def read_exposure(self, path: Path) -> ExposureFacts:
        path = Path(path)
        with open_fits(path, new=True) as hdus:
            images = images_of(hdus, path)
            header = fits.Header(hdus[0].header)
            header.update(images[0].header)
            if (found := str(header.get("INSTRUME", "")).strip()) != CAMERA:
                reason = f"INSTRUME says '{found or 'nothing'}', LS4's says '{CAMERA}'; choose another --instrument"
                raise BadInput(what=str(path), reason=reason)
            sections = {}
            for hdu in images:
                _place(sections, hdu.header, hdus.index(hdu), path)
            sections = dict(sorted(sections.items()))
        mjd = _start(header, path)
        exposure_time = keyword(header, ["EXPTIME"], path, _HINT)
        kind, flat_type = _kind(header, exposure_time, path)
        pointing = self._pointing(header, mjd, path)
        filters = self._filters(header, sections, mjd, path) if kind in ("science", "flat") else {}
        same = len(set(filters.values())) == 1
        return ExposureFacts(
            name=stem_of(path),
            kind=kind,
            mjd=mjd,
            exposure_time=exposure_time,
            filter=next(iter(filters.values())) if same else "",
            filters={} if same else filters,
            ra=pointing.ra,
            dec=pointing.dec,
            airmass=airmass(altitude(pointing.ra, pointing.dec, mjd, LA_SILLA)) if filters else None,
            target=str(header.get("TARGETID", "")).strip()[:100],
            project=str(header.get("PROJECT", "")).strip()[:100],
            telescope=str(header.get("TELESCOP", "") or TELESCOPE).strip()[:60],
            header={
                "sections": {name: {"hdus": hdus, "filter": filters.get(name, "")} for name, hdus in sections.items()},
                "flat_type": flat_type,
                "amplifiers": _direction(header, sections),
                "mjd": mjd,
                "ra": pointing.ra,
                "dec": pointing.dec,
                "ra_unit": pointing.unit,
                "gain": self.gain,
                "read_noise": self.read_noise,
                "saturation": self.saturation,
            },
        )

    def read_section(
        self, path: Path, companions: Mapping[str, Path], header: Mapping[str, Any], section: str
    ) -> RawSection:
        if section not in header["sections"]:
            raise BadInput(what=f"section {section}", reason=f"{path} has {', '.join(header['sections'])}")
        facts, what = header["sections"][section], f"{path} [{section}]"
        found = _extensions(path, facts["hdus"], section)
        defaults = {name: header[name] for name in ("gain", "read_noise", "saturation")}
        if header["amplifiers"] == "both":
            data, amplifiers = both_amplifiers(found, defaults, what)
        else:
            state = table_state(self.name, section, header["mjd"])
            side = (state.readout or header["amplifiers"]).upper()
            if side not in (LEFT, RIGHT):
                raise BadInput(what=what, reason=f"it was read to the '{side.lower()}'; left, right and both are known")
            if len(found) != 1:
                raise BadInput(what=what, reason=f"it has {len(found)} extensions, and one amplifier read it")
            data, amplifiers = one_amplifier(*found.values(), side, defaults)
        place = focal_plane(self.name).get(section)
        if place is None:
            raise BadInput(what=what, reason=f"the focal plane has no such CCD; add it to {_own_place()}")
        return RawSection(
            section=section,
            filter=facts["filter"],
            data=data,
            amplifiers=amplifiers,
            wcs=rough_wcs(place, header["ra"], header["dec"], trimmed_shape(amplifiers)),
        )

    def short_filter(self, text: str) -> str:
        """The short name of a filter; empty for that of the array, which differs from quadrant to quadrant."""
        return "" if str(text).strip() == ARRAY else super().short_filter(text)

    def _filters(
        self, header: Mapping[str, Any], sections: Mapping[str, Any], mjd: float, path: Path
    ) -> dict[str, str]:
        """Filter of each CCD: that of the whole camera where the header names one, else what the tables say."""
        given = self.short_filter(keyword(header, ["FILTERID"], path, _HINT, str))
        found = {name: given or table_state(self.name, name, mjd).filter for name in sections}
        if unknown := [name for name, band in found.items() if not band]:
            hint = f"say so in {own_path(self.name, 'sections')}"
            reason = f"nobody knows which filter was in front of {', '.join(unknown)} on MJD {mjd:.2f}; {hint}"
            raise BadInput(what=str(path), reason=reason)
        return {name: self.short_filter(band) for name, band in found.items()}

    def _pointing(self, header: Mapping[str, Any], mjd: float, path: Path) -> Pointing:
        """TELE-RA and TELE-DEC in degrees; BadInput where they are no position."""
        told = keyword(header, ["TELE-RA"], path, _HINT)
        dec = keyword(header, ["TELE-DEC"], path, _HINT)
        unit = self.ra_unit
        if unit == "auto":
            low = [altitude(ra, dec, mjd, LA_SILLA) < 0 for ra in (told, told * 15)]
            unit = "hour" if 0 <= told < 24 and low == [True, False] else "degree"
        ra = told * 15 if unit == "hour" else told
        if not (0 <= ra <= 360 and abs(dec) <= 90):
            hint = f"TELE-RA was taken for {unit}s (option --set instrument.ra_unit=degree or hour)"
            raise BadInput(what=str(path), reason=f"TELE-RA = {told:g}, TELE-DEC = {dec:g} are no position; {hint}")
        return Pointing(ra % 360, dec, unit)


def _place(sections: dict[str, dict[str, int]], header: Mapping[str, Any], number: int, path: Path) -> None:
    """Put the number of an extension under its CCD and amplifier; BadInput where that is unknown or taken."""
    name = keyword(header, ["CCD_LOC"], path, _HINT, str).strip()
    if name not in SECTIONS:
        raise BadInput(what=str(path), reason=f"CCD_LOC = '{name}' is none of {SECTIONS[0]} … {SECTIONS[-1]}; {_HINT}")
    halves = sections.setdefault(name, {})
    side = str(header.get("AMP_NAME", "")).strip().upper()
    if side in halves:
        reason = f"two extensions are of {name}{' ' if side else ''}{side}; is the file put together wrongly?"
        raise BadInput(what=str(path), reason=reason)
    halves[side] = number


def _direction(header: Mapping[str, Any], sections: Mapping[str, Mapping[str, int]]) -> str:
    """How CCDs were read: left, right or both; where no keyword says it, from the number of extensions."""
    for name in _DIRECTION:
        if text := str(header.get(name, "")).strip().lower():
            return text
    return "both" if any(len(halves) > 1 for halves in sections.values()) else "left"


def _extensions(path: Path, numbers: Mapping[str, int], section: str) -> dict[str, Extension]:
    """The extensions of a CCD by AMP_NAME; BadInput where the file is not the one that was taken in."""
    with open_fits(path, only=tuple(numbers.values())) as hdus:
        for number in numbers.values():
            if str(hdus[number].header.get("CCD_LOC", "")).strip() != section:
                reason = f"extension {number} is not of {section}, as it was when the file was taken in; fetch it again"
                raise BadInput(what=str(path), reason=reason)
        return {
            side: Extension(image_data(hdus[number], path), hdus[number].header, f"{path} [{section} {side}]")
            for side, number in numbers.items()
        }


def _start(header: Mapping[str, Any], path: Path) -> float:
    """MJD (UTC) of STARTOBS."""
    text = keyword(header, ["STARTOBS"], path, _HINT, str).strip()
    try:
        return float(Time(text.replace(" ", "T").rstrip("Zz"), format="isot", scale="utc").mjd)
    except ValueError as error:
        reason = f"the keyword STARTOBS = {text!r} is no date like 2026-04-09T00:53:20; {_HINT}"
        raise BadInput(what=str(path), reason=reason) from error


def _kind(header: Mapping[str, Any], exposure_time: float, path: Path) -> tuple[str, str]:
    """Kind of the exposure and, of a flat, what was illuminated; BadInput for what is nobody's data.

    A dark of 0 s is a bias, and so is a test of 0 s with the shutter closed, as the first ones were taken.
    """
    word = keyword(header, ["IMAGETYP"], path, _HINT, str).strip().lower()
    name = _NAME.match(stem_of(path))
    closed = name is not None and name["shutter"] == "d"
    if exposure_time == 0 and (word == "dark" or (word == "test" and closed)):
        return "bias", ""
    if word not in _KINDS:
        reason = f"IMAGETYP = '{word}' is neither of the sky nor a calibration ({', '.join(_KINDS)})"
        raise BadInput(what=str(path), reason=reason)
    return _KINDS[word]


def _own_place() -> Path:
    return own_path("ls4", "focal_plane")
