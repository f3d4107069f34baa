"""Any FITS image, single or multi-extension, that carries (or is told) what processing needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from processing.admission.codes import Code
from processing.admission.rules import AdmissionRules
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

_KEYWORDS = {
    "exposure_time": ("EXPTIME", "EXPOSURE", "TEXPTIME", "EXP_TIME"),
    "filter": ("FILTER", "FILTNAME", "FILTER1", "BAND"),
    "gain": ("GAIN", "EGAIN", "CCDGAIN"),
    "saturation": ("SATURATE", "SATLEVEL", "SATLIMIT"),
    "read_noise": ("RDNOISE", "READNOIS", "RON", "ENOISE"),
    "zero_point": ("MAGZP", "MAGZERO"),
}
_UNITS = {
    "exposure_time": "SECONDS", "filter": "NAME", "gain": "ELECTRONS_PER_ADU", "saturation": "ADU",
    "ra": "DEG", "dec": "DEG", "pixel_scale": "ARCSEC",
}  # fmt: skip


class Generic(Instrument):
    """Calibrated images of any camera, described by their headers or by these options."""

    name = "generic"

    exposure_time: float | None = param(None, gt=0, unit="s", help="Instead of EXPTIME.")
    mjd: float | None = param(None, unit="d", help="Start of the exposure (UTC), instead of MJD-OBS or DATE-OBS.")
    filter: str | None = param(None, help="Short name of the filter, instead of FILTER.")
    gain: float | None = param(None, gt=0, unit="electron/ADU", help="Instead of GAIN; 1 for images in electrons.")
    saturation: float | None = param(None, gt=0, unit="ADU", help="Level from which pixels are useless, for SATURATE.")
    read_noise: float | None = param(None, ge=0, unit="electron", help="Instead of RDNOISE; 0 if nothing says.")
    zero_point: float | None = param(
        None, unit="mag", help="AB magnitude of one ADU, instead of MAGZP or MAGZERO: for the first look alone."
    )
    pedestal: float = param(0.0, unit="ADU", help="Constant that was added to every pixel.")
    ra: float | None = param(None, ge=0, lt=360, unit="deg", help="Centre of the image, where it has no WCS.")
    dec: float | None = param(None, ge=-90, le=90, unit="deg", help="Centre of the image, where it has no WCS.")
    pixel_scale: float | None = param(None, gt=0, unit="arcsec/px", help="Where the image has no WCS.")
    rotation: float = param(0.0, unit="deg", help="Of north from the columns towards east, where it has no WCS.")
    weight_file: str = param("{name}.weight.fits", help="Name of the weight image beside the file.")
    weight_kind: Literal["weight", "variance", "rms"] = param("weight", help="What the weight image holds, in ADU.")
    flag_file: str = param("{name}.flags.fits", help="Name of the flag image beside the file: 0 is a good pixel.")

    def admission_rules(self) -> AdmissionRules:
        is_told = None not in (self.ra, self.dec, self.pixel_scale)
        return self.admission.tolerating(Code.BAD_WCS) if is_told else self.admission

    def read_exposure(self, path: Path) -> ExposureFacts:
        path = Path(path)
        with open_fits(path, new=True) as hdus:
            images, primary = images_of(hdus, path), hdus[0].header
            sections = {}
            for number, hdu in enumerate(images):
                header = {**primary, **hdu.header}
                sections[_name(hdu, number, sections)] = self._section(header, hdu, hdus.index(hdu), path)
            header = {**primary, **images[0].header}
            shapes = {hdus.index(hdu): _shape(hdu) for hdu in images}
        filters = {name: found["filter"] for name, found in sections.items()}
        same = len(set(filters.values())) == 1
        centres = np.array([found["centre"] for found in sections.values()])
        ra = float(np.degrees(np.angle(np.exp(1j * np.radians(centres[:, 0])).mean())) % 360)
        return ExposureFacts(
            name=stem_of(path),
            kind="science",
            mjd=self._mjd(header, path),
            exposure_time=self._value("exposure_time", header, path),
            filter=next(iter(filters.values())) if same else "",
            filters={} if same else filters,
            ra=ra,
            dec=float(centres[:, 1].mean()),
            airmass=float(header["AIRMASS"]) if _is_number(header.get("AIRMASS")) else None,
            target=str(header.get("OBJECT", ""))[:100],
            telescope=str(header.get("TELESCOP", "")).strip()[:60],
            project=str(header.get("PROPID", header.get("PROJECT", "")))[:100],
            header={"sections": sections, "pedestal": self.pedestal, "weight_kind": self.weight_kind},
            companions=self._companions(path, shapes),
        )

    def read_section(
        self, path: Path, companions: Mapping[str, Path], header: Mapping[str, Any], section: str
    ) -> RawSection:
        facts = header["sections"][section]
        with open_fits(path) as hdus:
            data = image_data(hdus[facts["hdu"]], path).astype(np.float32)
        finite = np.isfinite(data)
        amplifier = Amplifier.of_whole(
            data.shape, **{name: facts[name] for name in ("gain", "read_noise", "saturation")}
        )
        flags = np.where(finite, 0, int(PixelFlag.BAD)).astype(np.uint16)
        if "flags" in companions:
            flags |= np.where(
                _beside(companions["flags"], facts["hdu"], data.shape) != 0, int(PixelFlag.BAD), 0
            ).astype(np.uint16)
        weight = None
        if "weight" in companions:
            values = _beside(companions["weight"], facts["hdu"], data.shape).astype(np.float32)
            weight = _inverse_variance(values, header["weight_kind"]) / np.float32(facts["gain"]) ** 2
        return RawSection(
            section=section,
            filter=facts["filter"],
            data=np.where(finite, data, np.float32(header["pedestal"])),
            amplifiers=(amplifier,),
            wcs=fits.Header.fromstring(facts["wcs"], sep="\n"),
            pedestal=header["pedestal"],
            zero_point=facts.get("zero_point"),
            weight=weight,
            flags=flags,
            done=("bias", "flat"),
        )

    def _section(self, header: Mapping[str, Any], hdu: Any, index: int, path: Path) -> dict[str, Any]:
        """What is kept of one image; BadInput says at once all that is missing."""
        readers: dict[str, Callable[[], Any]] = {
            "filter": lambda: self.short_filter(self._value("filter", header, path, str)),
            "gain": lambda: self._gain(header, path),
            "saturation": lambda: self._value("saturation", header, path),
            "read_noise": lambda: self._read_noise(header, path),
            "wcs": lambda: self._wcs(hdu.header, hdu.shape[-2:], path),
            "exposure_time": lambda: self._value("exposure_time", header, path),
            "mjd": lambda: self._mjd(header, path),
        }
        facts, missing = {}, []
        for name, read in readers.items():
            try:
                facts[name] = read()
            except BadInput as error:
                missing.append(str(error).removeprefix(f"{path}: "))
        if missing:
            raise BadInput(what=str(path), reason="; ".join(missing))
        ny, nx = hdu.shape[-2:]
        centre = facts["wcs"].all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
        kept = {name: facts[name] for name in ("filter", "gain", "saturation", "read_noise")}
        wcs = facts["wcs"].to_header(relax=True).tostring(sep="\n")
        kept["zero_point"] = self._zero_point(header, facts["gain"])
        return {"hdu": index, **kept, "wcs": wcs, "centre": [float(value) for value in centre]}

    def _zero_point(self, header: Mapping[str, Any], gain: float) -> float | None:
        """AB magnitude of one electron, where something tells it: nothing is refused for want of it."""
        told = [self.zero_point, *(header.get(name) for name in _KEYWORDS["zero_point"])]
        found = next((float(value) for value in told if _is_number(value) and float(value) > 0), None)
        return None if found is None else float(found + 2.5 * np.log10(gain))

    def _mjd(self, header: Mapping[str, Any], path: Path) -> float:
        return self.mjd if self.mjd is not None else mjd_of(header, path, "give it with --set instrument.mjd=MJD")

    def _value(self, name: str, header: Mapping[str, Any], path: Path, kind: type = float) -> Any:
        given = getattr(self, name)
        if given is not None:
            return given
        hint = f"give it with --set instrument.{name}={_UNITS.get(name, 'VALUE')}"
        value = keyword(header, _KEYWORDS[name], path, hint, kind)
        if kind is float and value <= 0:
            raise BadInput(what=str(path), reason=f"{_KEYWORDS[name][0]} = {value} must be above 0; {hint}")
        return value

    def _gain(self, header: Mapping[str, Any], path: Path) -> float:
        unit = str(header.get("BUNIT", "")).strip().lower()
        if self.gain is None and re.search(r"(/|per)\s*s(ec(ond)?)?$|s(\*\*|\^)?\(?-1\)?$", unit):
            hint = f"give GAIN times the exposure time with --set instrument.gain={_UNITS['gain']}"
            raise BadInput(what=str(path), reason=f"its pixels are a rate (BUNIT = {header['BUNIT']!r}); {hint}")
        if self.gain is None and unit.startswith(("electron", "e-")):
            return 1.0
        return self._value("gain", header, path)

    def _read_noise(self, header: Mapping[str, Any], path: Path) -> float:
        if self.read_noise is not None:
            return self.read_noise
        if not any(name in header for name in _KEYWORDS["read_noise"]):
            return 0.0
        hint = "give it with --set instrument.read_noise=ELECTRONS"
        return keyword(header, _KEYWORDS["read_noise"], path, hint)

    def _wcs(self, header: fits.Header, shape: tuple[int, int], path: Path) -> WCS:
        given = {"ra": self.ra, "dec": self.dec, "pixel_scale": self.pixel_scale}
        lacking = [name for name, value in given.items() if value is None]
        if 0 < len(lacking) < len(given):
            hint = " ".join(f"--set instrument.{name}={_UNITS[name]}" for name in lacking)
            raise BadInput(what=str(path), reason=f"ra, dec and pixel_scale go together; add {hint}")
        if not lacking:
            ny, nx = shape
            step, turn = self.pixel_scale / 3600, np.radians(self.rotation)
            wcs = WCS(naxis=2)
            wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
            wcs.wcs.crval, wcs.wcs.crpix = [self.ra, self.dec], [(nx + 1) / 2, (ny + 1) / 2]
            wcs.wcs.cd = step * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            return wcs
        try:
            return wcs_from_header(header)
        except BadInput as error:
            hint = f"give a rough one with {' '.join(f'--set instrument.{name}={_UNITS[name]}' for name in given)}"
            raise BadInput(what=str(path), reason=f"{error}; {hint}") from error

    def _companions(self, path: Path, shapes: Mapping[int, tuple[int, ...]]) -> dict[str, Path]:
        names = {"weight": self.weight_file, "flags": self.flag_file}
        found = {role: path.parent / name.format(name=stem_of(path)) for role, name in names.items()}
        found = {role: beside for role, beside in found.items() if beside.is_file()}
        for beside in found.values():
            with open_fits(beside, new=True) as hdus:
                for index, shape in shapes.items():
                    _beside_hdu(hdus, beside, index, shape)
        return found


def _name(hdu: Any, number: int, taken: Mapping[str, Any]) -> str:
    text = str(hdu.header.get("EXTNAME") or hdu.header.get("CCDNAME") or number + 1)
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", text.strip())[:20]
    return name if name not in taken else f"{name[:16]}_{number + 1}"


def _beside(path: Path, index: int, shape: tuple[int, int]) -> np.ndarray:
    """The image of a companion file that belongs to the HDU `index` of the exposure."""
    with open_fits(path) as hdus:
        return image_data(_beside_hdu(hdus, path, index, shape), path)


def _beside_hdu(hdus: fits.HDUList, path: Path, index: int, shape: tuple[int, ...]) -> Any:
    images = images_of(hdus, path)
    hdu = hdus[index] if len(images) > 1 and index < len(hdus) else images[0]
    if _shape(hdu) != tuple(shape):
        reason = f"its shape is {_shape(hdu)}, that of the image beside it is {tuple(shape)} (rows, columns)"
        raise BadInput(what=str(path), reason=reason)
    return hdu


def _shape(hdu: Any) -> tuple[int, ...]:
    return tuple(size for size in hdu.shape if size > 1)


def _inverse_variance(values: np.ndarray, kind: str) -> np.ndarray:
    values = np.where(np.isfinite(values) & (values > 0), values, 0)
    if kind == "weight":
        return values
    variance = values if kind == "variance" else values**2
    return np.divide(1, variance, out=np.zeros_like(variance), where=variance > 0)


def _is_number(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False
