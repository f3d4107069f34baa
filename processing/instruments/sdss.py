"""SDSS corrected frames: `fpC` images with their `fpM` masks and `psField` gains beside them.

Formats: SDSS data model, files fpC, fpM, psField of data release 7. The frames are flat-fielded and carry a soft bias;
saturated pixels and cosmic rays were interpolated over, so that only the masks tell where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.io import fits
from astropy.time import Time

from processing.algorithms.horizon import Site
from processing.algorithms.overscan import Amplifier
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
from processing.parameters import param
from products.pixel_flags import PixelFlag

_BANDS = "ugriz"
_HINT = "is it an SDSS fpC frame? choose --instrument generic for other images"
# Gains (e⁻/DN) of the camera columns 1 to 6, for frames without their psField: SDSS DR7, "Flux calibration".
_GAINS = {
    "u": (1.62, 1.71, 1.59, 1.6, 1.47, 2.17),
    "g": (3.32, 3.855, 3.845, 3.995, 4.05, 4.035),
    "r": (4.71, 4.6, 4.72, 4.76, 4.725, 4.895),
    "i": (5.165, 6.565, 4.86, 4.885, 4.64, 4.76),
    "z": (4.745, 5.155, 4.885, 4.775, 3.48, 4.69),
}
_DARK_VARIANCE = 2.0  # DN², typical
_PLANES = {  # mask planes of fpM → our flags
    0: PixelFlag.INTERPOLATED | PixelFlag.ZERO_WEIGHT,
    1: PixelFlag.SATURATED,
    9: PixelFlag.COSMIC_RAY,
}
_KEPT = ("RUN", "FRAME", "CAMCOL", "FILTER", "SOFTBIAS", "VERSION", "FLUX20")
_WCS = ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CUNIT1", "CUNIT2")
_CD = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")


class Sdss(Instrument):
    """Sloan Digital Sky Survey, corrected frames (fpC)."""

    name = "sdss"
    site: ClassVar[Site] = Site(latitude=32.7803, longitude=-105.8203, height=2788.0)
    filters: ClassVar[tuple[str, ...]] = tuple(_BANDS)

    gain: float | None = param(None, gt=0, unit="electron/DN", help="Instead of that of psField or of the camera.")

    def read_exposure(self, path: Path) -> ExposureFacts:
        path = Path(path)
        with open_fits(path, new=True) as hdus:
            header = images_of(hdus[:1], path)[0].header
            band = self.short_filter(keyword(header, ["FILTER"], path, _HINT, str))
            column = int(keyword(header, ["CAMCOL"], path, _HINT))
            keyword(header, ["SOFTBIAS"], path, _HINT)
            seconds = keyword(header, ["TAI"], path, _HINT)
        companions = _companions(path)
        gain, dark_variance = self._gain(companions.get("psField"), band, column)
        section = f"{band}{column}"
        return ExposureFacts(
            name=stem_of(path),
            kind="science",
            mjd=float(Time(seconds / 86400, format="mjd", scale="tai").utc.mjd),
            exposure_time=keyword(header, ["EXPTIME"], path, _HINT),
            filter=band,
            ra=keyword(header, ["CRVAL1"], path, _HINT),
            dec=keyword(header, ["CRVAL2"], path, _HINT),
            airmass=float(1 / np.sin(np.radians(float(header["ALT"])))) if header.get("ALT") else None,
            target=str(header.get("OBJECT", "")),
            project="SDSS",
            telescope=f"SDSS {header.get('TELESCOP', '')}".strip()[:60],
            header={
                "sections": [section],
                "gain": gain,
                "dark_variance": dark_variance,
                **{name: header.get(name) for name in _KEPT},
            },
            companions={role: found for role, found in companions.items() if role == "fpM"},
        )

    def read_section(
        self, path: Path, companions: Mapping[str, Path], header: Mapping[str, Any], section: str
    ) -> RawSection:
        with open_fits(path) as hdus:
            data, found = image_data(hdus[0], path), hdus[0].header
        amplifier = Amplifier.of_whole(
            data.shape,
            gain=header["gain"],
            read_noise=float(np.sqrt(header["dark_variance"]) * header["gain"]),
            saturation=65535.0,  # of the numbers; where pixels were saturated, fpM says
        )
        wcs = fits.Header([card for card in found.cards if card.keyword in (*_WCS, *_CD)])
        wcs["RADESYS"] = "ICRS"
        return RawSection(
            section=section,
            filter=section[0],
            data=data,
            amplifiers=(amplifier,),
            wcs=wcs,
            pedestal=float(header["SOFTBIAS"]),
            zero_point=_zero_point(header),
            flags=mask_planes(companions["fpM"], data.shape) if "fpM" in companions else None,
            done=("overscan", "bias", "flat"),
        )

    def _gain(self, fields: Path | None, band: str, column: int) -> tuple[float, float]:
        if not 1 <= column <= 6:
            raise BadInput(what=f"CAMCOL = {column}", reason="the SDSS camera has columns 1 to 6")
        gain, dark_variance = _GAINS[band][column - 1], _DARK_VARIANCE
        if fields is not None:
            with open_fits(fields, new=True) as hdus:
                try:
                    row = hdus[6].data[0]
                    gain = float(row["gain"][_BANDS.index(band)])
                    dark_variance = float(row["dark_variance"][_BANDS.index(band)])
                except (IndexError, KeyError, TypeError, ValueError) as error:
                    reason = f"its gains cannot be read ({error}); fetch it again, or remove it"
                    raise BadInput(what=str(fields), reason=reason) from error
        return self.gain or gain, dark_variance


def _zero_point(header: Mapping[str, Any]) -> float | None:
    """AB magnitude of one electron, from the numbers (DN) that a star of 20 mag has in this frame."""
    numbers = header.get("FLUX20")
    known = isinstance(numbers, int | float) and numbers > 0
    return 20 + 2.5 * float(np.log10(numbers * header["gain"])) if known else None


def mask_planes(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Flags (ny, nx) uint16 from an fpM file: each object of a plane is a list of spans (row, first, last column)."""
    flags = np.zeros(shape, np.uint16)
    with open_fits(path) as hdus:
        try:
            for plane, bits in _PLANES.items():
                for row in hdus[plane + 1].data:
                    spans = np.frombuffer(np.asarray(row["s"], np.uint8).tobytes(), ">i2").reshape(-1, 3)
                    for y, first, last in spans:
                        flags[y, first : last + 1] |= int(bits)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise BadInput(what=str(path), reason=f"its masks cannot be read ({error}); fetch it again") from error
    return flags


def _companions(path: Path) -> dict[str, Path]:
    """Mask and PSF files of the same field beside the frame."""
    parts = stem_of(path).split("-")
    if len(parts) != 4 or parts[0] != "fpC":
        return {}
    _, run, band_and_column, frame = parts
    stems = {"fpM": f"fpM-{run}-{band_and_column}-{frame}", "psField": f"psField-{run}-{band_and_column[1:]}-{frame}"}
    found = {}
    for role, stem in stems.items():
        for ending in (".fit", ".fit.gz", ".fits", ".fits.gz"):
            if (path.parent / f"{stem}{ending}").is_file():
                found[role] = path.parent / f"{stem}{ending}"
    return found
