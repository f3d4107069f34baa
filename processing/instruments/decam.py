"""DECam, the Dark Energy Camera at the Blanco telescope: raw exposures, and those that NOIRLab's pipeline reduced."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from astropy.coordinates import Angle

from processing.admission.rules import AdmissionRules, RequiredKeyword
from processing.algorithms.horizon import Site
from processing.archives import noirlab
from processing.errors import BadInput
from processing.instruments import decam_calibrators, decam_instcal, decam_raw
from processing.instruments.base import (
    ExposureFacts,
    Instrument,
    RawSection,
    image_data,
    images_of,
    keyword,
    mjd_of,
    open_fits,
    stem_of,
)
from processing.instruments.offers import Found
from processing.instruments.supplied import Supplied

KINDS = {  # OBSTYPE → kind, light of a flat
    "object": ("science", ""),
    "standard": ("science", ""),
    "zero": ("bias", ""),
    "bias": ("bias", ""),
    "dark": ("dark", ""),
    "dome flat": ("flat", "dome"),
    "sky flat": ("flat", "twilight"),  # flats of the sky at night are made of science exposures
    "twilight flat": ("flat", "twilight"),
}
HINT = "is it a file of DECam as the archive has it? fetch it again, or choose another --instrument"
_CCD = re.compile(r"[NS]([1-9]|[12]\d|3[01])$")  # and no focus or guide CCD: FN1, GS2, …
_FILTER_WORDS = ("u", "g", "r", "i", "z", "Y", "VR")


class Decam(Instrument):
    """Dark Energy Camera (CTIO), raw or reduced by NOIRLab (instcal)."""

    name = "decam"
    site: ClassVar[Site] = Site(latitude=-30.16606, longitude=-70.81489, height=2215.0)
    corrections: ClassVar[tuple[str, ...]] = (
        "overscan", "crosstalk", "linearity", "flat", "illumination", "fringe", "bad_pixels",
    )  # fmt: skip
    only_in: ClassVar[Mapping[str, tuple[str, ...]]] = {"fringe": ("z", "Y")}
    photometric_system: ClassVar[str] = "decam"
    filters: ClassVar[tuple[str, ...]] = (
        *_FILTER_WORDS, "N395", "N411", "N419", "N501", "N540", "N662", "N673", "N708", "N964",
    )  # fmt: skip
    admission: ClassVar[AdmissionRules] = AdmissionRules(
        extensions=_CCD.pattern,
        keywords=(
            RequiredKeyword(("INSTRUME",), str, choices=("DECam",)),
            RequiredKeyword(("PROCTYPE",), str),
            RequiredKeyword(("OBSTYPE",), str),
            RequiredKeyword(("EXPTIME",), low=0, high=86_400),
            RequiredKeyword(("MJD-OBS",), low=40_000, high=80_000, optional=True),
        ),
    )

    def read_exposure(self, path: Path) -> ExposureFacts:
        path = Path(path)
        with open_fits(path, new=True) as hdus:
            header = hdus[0].header
            reduced = _is_reduced(header, path)
            images = {hdus.index(hdu): hdu for hdu in images_of(hdus, path) if _CCD.match(hdu.name)}
            if not images:
                raise BadInput(
                    what=str(path), reason=f"there is no image of a CCD N1 to N31 or S1 to S31 in it; {HINT}"
                )
            shapes = {hdu.name: hdu.shape for hdu in images.values()}
            places = {hdu.name: index for index, hdu in images.items()}
            header = {**next(iter(images.values())).header, **header} if reduced else dict(header)
        kind, light = self._kind(header, path)
        needs_filter = kind in ("science", "flat")
        band = self.short_filter(keyword(header, ["FILTER"], path, HINT, str)) if needs_filter else ""
        ra, dec = _pointing(header, path)
        return ExposureFacts(
            name=stem_of(path),
            kind=kind,
            mjd=mjd_of(header, path, HINT),
            exposure_time=keyword(header, ["EXPTIME"], path, HINT),
            filter=band,
            ra=ra,
            dec=dec,
            airmass=_number(header.get("AIRMASS")),
            target=str(header.get("OBJECT", "")).strip()[:100],
            project=str(header.get("PROPID", "")).strip()[:100],
            telescope=str(header.get("TELESCOP", "")).strip()[:60],
            header={
                "sections": list(shapes),
                "hdus": places,
                "FILTER": band,
                "flat_type": light,
                "reduced": reduced,
                "done": list(decam_instcal.DONE) if reduced else [],
                "PLVER": str(header.get("PLVER", "")).strip(),
                "MAGZERO": _number(header.get("MAGZERO")) if reduced else None,
                "EXPNUM": header.get("EXPNUM"),
            },
            companions=decam_instcal.companions_beside(path, shapes) if reduced else {},
        )

    def read_section(
        self, path: Path, companions: Mapping[str, Path], header: Mapping[str, Any], section: str
    ) -> RawSection:
        if section not in header["sections"]:
            raise BadInput(what=f"section {section}", reason=f"{path} has {', '.join(header['sections'])}")
        if header["reduced"]:
            return decam_instcal.read_instcal(path, companions, header, section)
        place = header["hdus"][section]
        with open_fits(path, only=[place]) as hdus:
            data, found = image_data(hdus[place], path), hdus[place].header
        amplifiers = decam_raw.amplifiers(found, path)
        return RawSection(
            section=section,
            filter=header["FILTER"],
            data=data,
            amplifiers=amplifiers,
            wcs=decam_raw.wcs_cards(found),
            flags=decam_raw.invalid_halves(found, amplifiers),
        )

    def supplied(self, path: Path, kind: str) -> Iterator[Supplied]:
        yield from decam_calibrators.supplied(path, kind)

    def _kind(self, header: Mapping[str, Any], path: Path) -> tuple[str, str]:
        word = keyword(header, ["OBSTYPE"], path, HINT, str).strip().lower()
        if word not in KINDS:
            raise BadInput(what=str(path), reason=f"OBSTYPE = '{word}' is not one of {', '.join(KINDS)}")
        return KINDS[word]

    def offers(
        self,
        known: Container[str] = (),
        *,
        folder: Annotated[str, "whole path of a folder on the server: look there and not in the archive"] = "",
        pattern: Annotated[str, "files in that folder"] = "*.fits*",
        settle: Annotated[float, "seconds for which a file in it must not have changed"] = 10.0,
        proc_type: Annotated[Literal["raw", "instcal"], "raw, or reduced by NOIRLab"] = "raw",
        start: Annotated[str, "first date or time (UTC), e.g. 2026-11-22 or 2026-11-22T03:00"] = "",
        end: Annotated[str, "last date or time (UTC); a date alone counts to its end"] = "",
        days: Annotated[float | None, "instead of start: from so many days before now on"] = None,
        filters: Annotated[list[str] | None, "short names, e.g. [g, r]; any if not given"] = None,
        proposals: Annotated[list[str] | None, "e.g. [2023A-716082]; any if not given"] = None,
        obs_types: Annotated[list[str], "e.g. [zero] or [dome flat]"] = ["object"],  # noqa: B006
        ra: Annotated[float | None, "centre of a box on the sky, degrees; with dec"] = None,
        dec: Annotated[float | None, "centre of a box on the sky, degrees; with ra"] = None,
        radius: Annotated[float, "half the side of that box, degrees"] = 1.0,
        min_exposure_time: Annotated[float, "seconds"] = 0.0,
    ) -> Iterator[Found]:
        """Exposures in the NOIRLab Astro Data Archive, or raw files in a folder, but for the `known` ones.

        Of several versions of a reduced exposure the highest is offered, and none where one of them is known.
        BadInput where the search makes no sense, ArchiveAway where the archive does not answer.
        """
        if folder:
            yield from super().offers(known, folder=folder, pattern=pattern, settle=settle)
            return
        bands = tuple(self.short_filter(band) for band in filters or ())
        search = noirlab.Search(
            proc_type=proc_type,
            dates=noirlab.time_range(start, end, days),
            filters=bands,
            proposals=tuple(proposals or ()),
            obs_types=tuple(obs_types),
            box=noirlab.sky_box(ra, dec, radius),
            min_exposure_time=min_exposure_time,
        )
        yield from noirlab.offers(search, known, kind_of=_kind_of, band_of=self._band_of)

    def fetch(
        self, identifier: str, params: Mapping[str, Any], into: Path, progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """The file of an offer, with the files that belong to it beside it; from the archive, or where it lies."""
        if "path" in params:
            return super().fetch(identifier, params, into, progress)
        return noirlab.fetch(identifier, params, into, progress)

    def _band_of(self, text: str) -> str:
        try:
            return self.short_filter(text)
        except BadInput:
            return ""


def _kind_of(obs_type: str) -> str:
    return KINDS.get(obs_type.strip().lower(), ("", ""))[0]


def _is_reduced(header: Mapping[str, Any], path: Path) -> bool:
    """Whether it is an instcal image; BadInput for the file of another camera, or another product of the pipeline."""
    camera = str(header.get("INSTRUME", "")).strip()
    if camera.lower() != "decam":
        reason = f"INSTRUME says '{camera or 'nothing'}', that of DECam says 'DECam'; choose another --instrument"
        raise BadInput(what=str(path), reason=reason)
    level, product = (str(header.get(name, "")).strip().lower() for name in ("PROCTYPE", "PRODTYPE"))
    if level not in ("raw", "instcal"):
        reason = f"PROCTYPE says '{level or 'nothing'}'; raw and instcal exposures can be used"
        raise BadInput(what=str(path), reason=reason)
    if product not in ("image", ""):
        reason = f"it is a {product} (PRODTYPE), not the image; name the file with _ooi_, what is beside it is found"
        raise BadInput(what=str(path), reason=reason)
    return level == "instcal"


def _pointing(header: Mapping[str, Any], path: Path) -> tuple[float, float]:
    """Right ascension and declination (degrees) from sexagesimal text, hours and degrees."""
    texts = [keyword(header, [name, f"TEL{name}"], path, HINT, str) for name in ("RA", "DEC")]
    try:
        return float(Angle(texts[0], "hourangle").deg % 360), float(Angle(texts[1], "deg").deg)
    except ValueError as error:
        reason = f"RA = {texts[0]!r} and DEC = {texts[1]!r} are not hours and degrees; {HINT}"
        raise BadInput(what=str(path), reason=reason) from error


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None
