"""The camera of the demo: a mosaic of small CCDs, each read through two amplifiers with overscan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.io import fits

from processing.admission.codes import Code
from processing.admission.rules import AdmissionRules, RequiredKeyword
from processing.algorithms.overscan import Amplifier, fits_section, parse_section
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
from products.storage import whole_file

CAMERA = "SeeChange demo mosaic"
TELESCOPE = "SeeChange demo telescope"
KINDS = {"object": "science", "zero": "bias", "dark": "dark", "dome flat": "flat"}
_WORDS = {kind: word for word, kind in KINDS.items()}
_HINT = "was this file written by `manage.py demo`?"


@dataclass(frozen=True)
class RawFacts:
    """What the primary header of a raw file says."""

    name: str
    kind: str  # science, bias, dark or flat
    filter: str
    mjd: float  # start, UTC
    exposure_time: float  # s
    ra: float  # degrees, where the telescope believes to point
    dec: float
    airmass: float | None = None
    zero_point: float | None = None  # AB magnitude of one electron in clear air


@dataclass(frozen=True)
class RawCcd:
    """One CCD as it is read out."""

    section: str
    data: np.ndarray  # (ny, nx) uint16 with overscan
    amplifiers: tuple[Amplifier, ...]
    wcs: fits.Header  # rough, for the trimmed image


class Demo(Instrument):
    """The simulated mosaic of `manage.py demo`."""

    name = "demo"
    corrections: ClassVar[tuple[str, ...]] = ("overscan", "bias", "flat")
    filters: ClassVar[tuple[str, ...]] = ("g", "r", "i")
    admission: ClassVar[AdmissionRules] = AdmissionRules(
        keywords=(RequiredKeyword(("INSTRUME",), str, choices=(CAMERA,)),), extensions=r"\w+"
    ).refusing(Code.DUPLICATE_EXTENSION, Code.STALE_CHECKSUM, Code.TRAILING_BYTES)

    def read_exposure(self, path: Path) -> ExposureFacts:
        with open_fits(path, new=True) as hdus:
            header = hdus[0].header
            if header.get("INSTRUME") != CAMERA:
                found = header.get("INSTRUME", "nothing")
                reason = f"INSTRUME says '{found}', the demo's says '{CAMERA}'; choose another --instrument"
                raise BadInput(what=str(path), reason=reason)
            kind = KINDS.get(keyword(header, ["IMAGETYP"], path, _HINT, str))
            if kind is None:
                raise BadInput(what=str(path), reason=f"IMAGETYP is not one of {', '.join(KINDS)}")
            sections = [hdu.name for hdu in images_of(hdus, path)]
            return ExposureFacts(
                name=stem_of(path),
                kind=kind,
                mjd=keyword(header, ["MJD-OBS"], path, _HINT),
                exposure_time=keyword(header, ["EXPTIME"], path, _HINT),
                filter=self.short_filter(keyword(header, ["FILTER"], path, _HINT, str)) if kind != "bias" else "",
                ra=keyword(header, ["RA"], path, _HINT),
                dec=keyword(header, ["DEC"], path, _HINT),
                airmass=header.get("AIRMASS"),
                target=header.get("OBJECT", ""),
                project="demo",
                telescope=header.get("TELESCOP", ""),
                header={"sections": sections, "FILTER": header.get("FILTER", ""), **_zero_point(header)},
            )

    def read_section(
        self, path: Path, companions: Mapping[str, Path], header: Mapping[str, Any], section: str
    ) -> RawSection:
        with open_fits(path) as hdus:
            if section not in hdus:
                raise BadInput(what=f"section {section}", reason=f"{path} has {', '.join(header['sections'])}")
            hdu = hdus[section]
            data, found = image_data(hdu, path), hdu.header
        amplifiers = tuple(
            Amplifier(
                name=name,
                data=parse_section(keyword(found, [f"DATASEC{name}"], path, _HINT, str)),
                bias=parse_section(keyword(found, [f"BIASSEC{name}"], path, _HINT, str)),
                target=parse_section(keyword(found, [f"TRIMSEC{name}"], path, _HINT, str)),
                gain=keyword(found, [f"GAIN{name}"], path, _HINT),
                read_noise=keyword(found, [f"RDNOISE{name}"], path, _HINT),
                saturation=keyword(found, [f"SATURAT{name}"], path, _HINT),
            )
            for name in keyword(found, ["AMPS"], path, _HINT, str).split(",")
        )
        wcs = fits.Header([card for card in found.cards if card.keyword in _WCS])
        return RawSection(
            section=section,
            filter=header["FILTER"],
            data=data,
            amplifiers=amplifiers,
            wcs=wcs,
            zero_point=header.get("MAGZERO"),
        )


def _zero_point(header: Mapping[str, Any]) -> dict[str, float]:
    """Of science exposures only."""
    return {name: float(header[name]) for name in ("MAGZERO",) if name in header}


_WCS = (
    *("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CUNIT1", "CUNIT2"),
    *("CD1_1", "CD1_2", "CD2_1", "CD2_2", "RADESYS"),
)


def write_raw(path: Path, facts: RawFacts, ccds: Sequence[RawCcd]) -> None:
    """Write a raw file, whole or not at all: a primary header and one losslessly compressed image a CCD."""
    primary = fits.PrimaryHDU()
    header = primary.header
    header["INSTRUME"], header["TELESCOP"] = CAMERA, TELESCOPE
    header["OBJECT"] = ("demo field" if facts.kind == "science" else facts.kind, "What was looked at")
    header["IMAGETYP"] = _WORDS[facts.kind]
    header["FILTER"] = facts.filter
    header["MJD-OBS"] = (facts.mjd, "[d] start of exposure, UTC")
    header["EXPTIME"] = (facts.exposure_time, "[s]")
    header["RA"], header["DEC"] = (facts.ra, "[deg] pointing"), (facts.dec, "[deg] pointing")
    if facts.airmass is not None:
        header["AIRMASS"] = facts.airmass
    if facts.zero_point is not None:
        header["MAGZERO"] = (facts.zero_point, "[mag] AB, of one electron in clear air")
    hdus = fits.HDUList([primary, *map(_hdu, ccds)])
    with whole_file(path) as partial:
        hdus.writeto(partial, overwrite=True)


def _hdu(ccd: RawCcd) -> fits.CompImageHDU:
    header = ccd.wcs.copy()
    header["AMPS"] = ",".join(amplifier.name for amplifier in ccd.amplifiers)
    for amplifier in ccd.amplifiers:
        name = amplifier.name
        header[f"DATASEC{name}"] = fits_section(amplifier.data)
        header[f"BIASSEC{name}"] = fits_section(amplifier.bias)
        header[f"TRIMSEC{name}"] = fits_section(amplifier.target)
        header[f"GAIN{name}"] = (amplifier.gain, "[electron/adu]")
        header[f"RDNOISE{name}"] = (amplifier.read_noise, "[electron]")
        header[f"SATURAT{name}"] = (amplifier.saturation, "[adu]")
    tiles = (min(64, ccd.data.shape[0]), ccd.data.shape[1])
    return fits.CompImageHDU(ccd.data, header, name=ccd.section, compression_type="RICE_1", tile_shape=tiles)
