"""Palomar Transient Factory: images that the archive at IPAC has reduced, one CCD a file or several in extensions.

Formats: level-1 images `PTF_…_scie_…_c07.fits` and the masks `PTF_…_mask_…_c07.fits` beside them; the bits of the masks
are told in their own headers (BIT00 …). Laher et al. 2014, PASP 126, 674.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.io import fits

from processing.admission.rules import AdmissionRules, RequiredKeyword
from processing.algorithms.horizon import Site
from processing.algorithms.overscan import Amplifier
from processing.algorithms.wcs_fit import wcs_from_header
from processing.errors import BadInput
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
from processing.parameters import param
from products.pixel_flags import PixelFlag

SECTIONS = tuple(str(number) for number in range(12))
DONE = ("overscan", "bias", "flat")
_HINT = "is it a level-1 image of PTF? choose --instrument generic for other images"
_MASK = {  # bit of a mask → what it is here; what is not named is no reason to leave a pixel out
    0: PixelFlag.TRAIL,  # aircraft or satellite
    2: PixelFlag.BAD,  # high dark current
    4: PixelFlag.BAD,  # noisy
    5: PixelFlag.BRIGHT_HALO,  # ghost
    6: PixelFlag.BLEED,
    7: PixelFlag.COSMIC_RAY,
    8: PixelFlag.SATURATED,
    9: PixelFlag.BAD,  # dead
    10: PixelFlag.BAD,  # not a number
    11: PixelFlag.BAD,  # dirty: far below its neighbourhood
    12: PixelFlag.BRIGHT_HALO,
}
# As the archive does it: the colour term takes up the rest.
_CALIBRATED_BY = {"R": "r", "Ha656": "r", "Ha663": "r"}
_WCS = re.compile(
    r"(WCSAXES|RADESYS|EQUINOX|L(ON|AT)POLE|C(TYPE|UNIT|RVAL|RPIX|DELT|ROTA)[12]|(CD|PC)[12]_[12]"
    r"|PV[12]_\d+|[AB]P?_(ORDER|DMAX|\d_\d))$"
)


class Ptf(Instrument):
    """Palomar Transient Factory, reduced images of the archive at IPAC."""

    name = "ptf"
    site: ClassVar[Site] = Site(latitude=33.3563, longitude=-116.865, height=1712.0)
    filters: ClassVar[tuple[str, ...]] = ("g", "R", "Ha656", "Ha663")
    calibrated_by: ClassVar[Mapping[str, str]] = _CALIBRATED_BY
    admission: ClassVar[AdmissionRules] = AdmissionRules(
        keywords=(
            RequiredKeyword(("CCDID",), int, low=0, high=11),
            RequiredKeyword(("AEXPTIME", "EXPTIME"), low=0, high=86_400),
            RequiredKeyword(("FILTER",), str),
            RequiredKeyword(("OBSMJD",), low=40_000, high=80_000, optional=True),
        )
    )

    mask_file: str = param("", help="Name of the mask beside the image; where empty, the image's with mask for scie.")

    def read_exposure(self, path: Path) -> ExposureFacts:
        path = Path(path)
        with open_fits(path, new=True) as hdus:
            images, primary = images_of(hdus, path), hdus[0].header
            _refuse_others(primary, images[0].header, path)
            sections: dict[str, dict[str, Any]] = {}
            for hdu in images:
                header = {**primary, **hdu.header}
                name = str(int(keyword(header, ["CCDID"], path, _HINT)))
                if name not in SECTIONS or name in sections:
                    reason = f"CCDID = {name} is {'there twice' if name in sections else 'not one of 0 … 11'}; {_HINT}"
                    raise BadInput(what=str(path), reason=reason)
                sections[name] = {"hdu": hdus.index(hdu), **_section(header, hdu, path)}
            header = {**primary, **images[0].header}
        centres = np.radians([found["centre"] for found in sections.values()])
        exposure_time = keyword(header, ["AEXPTIME", "EXPTIME"], path, _HINT)
        return ExposureFacts(
            name=stem_of(path),
            kind="science",
            mjd=_start(header, path),
            exposure_time=exposure_time,
            filter=self.short_filter(keyword(header, ["FILTER"], path, _HINT, str)),
            ra=float(np.degrees(np.angle(np.exp(1j * centres[:, 0]).mean())) % 360),
            dec=float(np.degrees(centres[:, 1].mean())),
            airmass=_number(header, "AIRMASS"),
            target=f"field {header['PTFFIELD']}" if header.get("PTFFIELD") else "",
            project="PTF",
            telescope="Palomar 48-inch",
            header={"sections": sections, "exposure_time": exposure_time, "filter": header["FILTER"], "done": DONE},
            companions=self._companions(path),
        )

    def read_section(
        self, path: Path, companions: Mapping[str, Path], header: Mapping[str, Any], section: str
    ) -> RawSection:
        if section not in header["sections"]:
            raise BadInput(what=f"section {section}", reason=f"{path} has {', '.join(header['sections'])}")
        facts = header["sections"][section]
        with open_fits(path, only=(facts["hdu"],)) as hdus:
            data, wcs = image_data(hdus[facts["hdu"]], path).astype(np.float32), _wcs_cards(hdus[facts["hdu"]].header)
        numbers = {name: facts[name] for name in ("gain", "read_noise", "saturation")}
        finite = np.isfinite(data)
        flags = np.where(finite, 0, int(PixelFlag.BAD)).astype(np.uint16)
        if "mask" in companions:
            flags |= mask_flags(companions["mask"], section, data.shape)
        return RawSection(
            section=section,
            filter=self.short_filter(header["filter"]),
            data=np.where(finite, data, np.float32(0)),
            amplifiers=(Amplifier.of_whole(data.shape, **numbers),),
            wcs=wcs,
            zero_point=_zero_point(facts, header["exposure_time"]),
            flags=flags,
            done=DONE,
        )

    def _companions(self, path: Path) -> dict[str, Path]:
        name = self.mask_file or (path.name.replace("_scie_", "_mask_") if "_scie_" in path.name else "")
        beside = path.parent / name
        if not (name and beside.is_file()):
            return {}
        with open_fits(beside, new=True) as hdus:
            images_of(hdus, beside)
        return {"mask": beside}


def mask_flags(path: Path, section: str, shape: tuple[int, int]) -> np.ndarray:
    """Flags (ny, nx) uint16 from the mask of a CCD; BadInput where the file has none of this CCD and shape."""
    with open_fits(path) as hdus:
        images = images_of(hdus, path)
        of_ccd = [hdu for hdu in images if str({**hdus[0].header, **hdu.header}.get("CCDID", "")).strip() == section]
        if not of_ccd:
            raise BadInput(what=str(path), reason=f"it has no mask of CCD {section}; is it of another image?")
        bits = image_data(of_ccd[0], path)
    if bits.shape != shape:
        reason = f"its shape is {bits.shape}, that of the image beside it is {shape} (rows, columns)"
        raise BadInput(what=str(path), reason=reason)
    if not np.issubdtype(bits.dtype, np.integer):
        raise BadInput(what=str(path), reason=f"its pixels are {bits.dtype} and no bits; is it a mask?")
    flags = np.zeros(shape, np.uint16)
    for bit, meaning in _MASK.items():
        flags[(bits >> bit) & 1 == 1] |= int(meaning)
    return flags


def _refuse_others(primary: fits.Header, first: fits.Header, path: Path) -> None:
    told = [str(header.get(key, "")) for header in (primary, first) for key in ("ORIGIN", "INSTRUME")]
    if not any(text.startswith(("Palomar Transient Factory", "PTF")) for text in told):
        reason = (
            "neither ORIGIN nor INSTRUME says that it is of the Palomar Transient Factory; choose another --instrument"
        )
        raise BadInput(what=str(path), reason=reason)


def _section(header: Mapping[str, Any], hdu: Any, path: Path) -> dict[str, Any]:
    """What is kept of one CCD."""
    found: dict[str, Any] = {}
    for name, key in (("gain", "GAIN"), ("read_noise", "READNOI"), ("saturation", "SATURVAL")):
        found[name] = keyword(header, [key], path, _HINT)
        if found[name] <= 0:
            raise BadInput(what=str(path), reason=f"{key} = {found[name]:g} must be above 0; {_HINT}")
    wcs = wcs_from_header(_wcs_cards(hdu.header))
    ny, nx = hdu.shape[-2:]
    found["centre"] = [float(value) for value in wcs.all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)]
    found["zero_point"] = _number(header, "IMAGEZPT")
    return found


def _wcs_cards(header: fits.Header) -> fits.Header:
    """The cards of the WCS; of a distortion that is told twice, in PV terms of SCAMP and in SIP terms, the latter."""
    twice = "A_ORDER" in header
    return fits.Header(
        [card for card in header.cards if _WCS.match(card.keyword) and not (twice and card.keyword.startswith("PV"))]
    )


def _start(header: Mapping[str, Any], path: Path) -> float:
    """MJD (UTC) at which the shutter opened."""
    if text := str(header.get("UTC-OBS", "")).strip():
        return mjd_of({"DATE-OBS": text}, path, _HINT)
    return keyword(header, ["OBSMJD"], path, _HINT)


def _zero_point(facts: Mapping[str, Any], exposure_time: float) -> float | None:
    """AB magnitude of one electron; IMAGEZPT is that of one ADU a second."""
    told = facts["zero_point"]
    return None if told is None else float(told + 2.5 * np.log10(exposure_time * facts["gain"]))


def _number(header: Mapping[str, Any], key: str) -> float | None:
    """A positive number, or None where the header has none: the archive writes words where it knows none."""
    try:
        found = float(header.get(key))
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) and found > 0 else None
