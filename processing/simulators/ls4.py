"""Raw exposures of LS4: 32 CCDs behind a filter array, read through one or both amplifiers.

Which keywords there are, and the prescan and overscan columns, are those of the survey's public code (2024 to 2026).
That electrons, levels and defects are like those of the camera is assumed; positions and filters of the CCDs are those
of the tables by which the instrument `ls4` reads the files.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from astropy.io import fits
from astropy.time import Time

from processing.algorithms.overscan import Amplifier, fits_section
from processing.algorithms.simulation_ccd import CcdParameters, Layout, Place
from processing.algorithms.simulation_weather import Photometry, Weather
from processing.errors import BadInput
from processing.instruments.focal_plane import Place as FocalPlace
from processing.instruments.focal_plane import focal_plane, rough_wcs
from processing.instruments.ls4 import ARRAY, CAMERA, LA_SILLA, SECTIONS, Ls4
from processing.instruments.section_tables import table_state
from processing.parameters import param
from processing.simulators.base import Shot, Simulator

_ROWS, _HALF = 4096, 1024
_PRESCAN, _OVERSCAN = 6, 20  # columns of each amplifier
_IMAGE_TYPES = {"science": "sky", "bias": "dark", "dark": "dark", "dome": "domeskyflat"}
_TWILIGHT = {True: ("e", "pmskyflat"), False: ("m", "amskyflat")}  # evening or morning: letter, IMAGETYP
_LETTERS = {"science": "s", "bias": "d", "dark": "d", "dome": "e"}


class Ls4Simulator(Simulator):
    """LS4 at the ESO 1.0 m Schmidt telescope."""

    name = "ls4"
    site = LA_SILLA
    telescope = "ESO 1.0-m Schmidt"
    has_filter_wheel = False
    scale = 1.0176
    photometry: ClassVar = {
        "g": Photometry(zero_point=24.1, sky=22.0, extinction=0.18),
        "i": Photometry(zero_point=23.7, sky=20.1, extinction=0.07),
        "z": Photometry(zero_point=23.2, sky=19.0, extinction=0.06),
    }

    amplifiers: Literal["single", "dual"] = param("dual", help="Through how many amplifiers each CCD is read.")
    rows: int = param(_ROWS, ge=64, le=_ROWS, help="Rows of each CCD; fewer than 4096 are for quick tests.")
    ccd: CcdParameters = param(
        CcdParameters(bias_level=1000.0, jump=0.0, fringes=0.006, crosstalk=4e-4, vignetting=0.12),
        help="What the CCDs are like.",
    )

    def sections(self) -> tuple[str, ...]:
        return SECTIONS

    def band_of(self, section: str, shot: Shot) -> str:
        band = table_state(self.name, section, shot.mjd).filter
        if band not in self.photometry:
            reason = (
                f"filter '{band}' is in front of it on MJD {shot.mjd:.1f}; simulated are {', '.join(self.photometry)}"
            )
            raise BadInput(what=f"section {section}", reason=reason)
        return band

    def layout(self, section: str, mjd: float) -> Layout:
        state = table_state(self.name, section, mjd)
        if self.amplifiers == "dual":
            sides = [("R", 0, _HALF), ("L", _PRESCAN + _HALF + _OVERSCAN, _HALF)]
        else:
            sides = [("R" if state.readout == "right" else "L", 0, 2 * _HALF)]
        rows, target, amplifiers, areas = slice(0, self.rows), 0, [], []
        for side, start, width in sides:
            data = start + (_OVERSCAN if side == "R" else _PRESCAN)
            bias = start if side == "R" else data + width
            known = {name: getattr(_reader(), name) for name in ("gain", "read_noise", "saturation")}
            amplifier = Amplifier(
                name=side,
                data=(rows, slice(data, data + width)),
                bias=(rows, slice(bias, bias + _OVERSCAN)),
                target=(rows, slice(target, target + width)),
                backwards=(False, side == "R"),
                **{**known, **state.amplifier(side)},
            )
            amplifiers.append(amplifier)
            areas.append((rows, slice(start, start + _PRESCAN + width + _OVERSCAN)))
            target += width
        return Layout((self.rows, areas[-1][1].stop), tuple(amplifiers), tuple(areas))

    def place(self, section: str) -> Place:
        found, radius = _place(section), max(np.hypot(one.xi, one.eta) for one in focal_plane(self.name).values())
        per_degree = 3600 / self.scale
        x = found.xi * per_degree * (1 if found.mirrored else -1) - _HALF
        return Place((x, found.eta * per_degree - self.rows / 2), radius * per_degree + _ROWS / 2)

    def wcs(self, section: str, ra: float, dec: float, rotation: float = 0.0) -> fits.Header:
        found = _place(section)
        sine, cosine = np.sin(np.radians(rotation)), np.cos(np.radians(rotation))
        xi, eta = found.xi * cosine + found.eta * sine, found.eta * cosine - found.xi * sine
        turned = FocalPlace(xi, eta, found.rotation + rotation, found.scale, found.mirrored)
        return rough_wcs(turned, ra, dec, (self.rows, 2 * _HALF))

    def file_name(self, shot: Shot) -> str:
        letter = self._twilight(shot)[0] if shot.kind == "twilight" else _LETTERS[shot.kind]
        return f"{Time(shot.mjd, format='mjd').strftime('%Y%m%d%H%M%S')}{letter}_{shot.number:05d}.fits.fz"

    def primary(self, shot: Shot, weather: Weather, count: int) -> fits.PrimaryHDU:
        hdu = fits.PrimaryHDU()
        hdu.header.extend(_camera_cards(), end=True)
        return hdu

    def extensions(self, shot: Shot, section: str, raw: np.ndarray) -> list[Any]:
        layout, hdus = self.layout(section, shot.mjd), []
        for amplifier, area in zip(layout.amplifiers, layout.areas):
            header = self._header(shot, section, amplifier)
            hdus.append(fits.CompImageHDU(np.ascontiguousarray(raw[area]), header, compression_type="RICE_1"))
        return hdus

    def _header(self, shot: Shot, section: str, amplifier: Amplifier) -> fits.Header:
        is_dual = self.amplifiers == "dual"
        word = self._twilight(shot)[1] if shot.kind == "twilight" else _IMAGE_TYPES[shot.kind]
        start = Time(shot.mjd, format="mjd", precision=3).isot
        header = fits.Header(_camera_cards())
        for key, value, comment in (
            ("CCDMODE", self.amplifiers, "Dual or single amplifier readout mode"),
            ("HIERARCH AMP_DIRECTION", "both" if is_dual else "left", "Side to which the CCD is read"),
            ("CCD_LOC", section, "Location of the CCD in the array"),
            ("AMP_NAME", {"L": "LEFT", "R": "RIGHT"}[amplifier.name], "Amplifier"),
            *_section_cards(self.rows),
            ("BUNIT", "ADU", "Unit of the pixels"),
            ("GAIN", _reader().gain, "[electron/adu] approximate"),
            ("IMAGETYP", word, "Type of the exposure"),
            ("STARTOBS", start, "Start of the exposure, UTC"),
            ("EXPTIME", shot.exposure_time, "[s] Exposure time"),
            ("TELE-RA", round(shot.ra, 6), "[deg] Right ascension of the telescope"),
            ("TELE-DEC", round(shot.dec, 6), "[deg] Declination of the telescope"),
            ("FILTERID", ARRAY, "Filter; 0 is the array of four"),
            ("TARGETID", shot.target or "0", "Target or field name"),
            ("PROJECT", "SIM", "Project"),
        ):
            header.append((key, value, comment))
        return header

    def _twilight(self, shot: Shot) -> tuple[str, str]:
        local = (shot.mjd + self.site.longitude / 360) % 1  # 0.5 is noon
        return _TWILIGHT[local > 0.5]


@lru_cache(maxsize=1)
def _reader() -> Ls4:
    """The instrument with its default values, which the headers do not tell either."""
    return Ls4()


def _place(section: str) -> FocalPlace:
    found = focal_plane("ls4")
    if section not in found:
        raise BadInput(what=f"section {section}", reason="the focal plane of ls4 has no such CCD")
    return found[section]


def _camera_cards() -> list[tuple[str, Any, str]]:
    return [
        ("INSTRUME", CAMERA, "La Silla Schmidt Southern Survey Camera"),
        ("OBSERVAT", "ESO La Silla", "ESO La Silla Observatory"),
        ("TELESCOP", Ls4Simulator.telescope, ""),
        ("LATITUDE", LA_SILLA.latitude, "Telescope Latitude (degrees north)"),
        ("LONGITUD", -LA_SILLA.longitude, "Telescope Longitude (degrees west)"),
        ("ELEVATIO", LA_SILLA.height, "Telescope Elevation (meters)"),
    ]


def _section_cards(rows: int) -> list[tuple[str, str, str]]:
    """Of readout through both amplifiers, whatever was done."""
    left = {"PRE": (0, _PRESCAN), "DATA": (_PRESCAN, _HALF), "BIAS": (_PRESCAN + _HALF, _OVERSCAN)}
    right = {"BIAS": (0, _OVERSCAN), "DATA": (_OVERSCAN, _HALF), "PRE": (_OVERSCAN + _HALF, _PRESCAN)}
    words = {"PRE": "Prescan", "DATA": "Data section", "BIAS": "Overscan"}
    return [
        (f"{name}SEC{side}", fits_section((slice(0, rows), slice(start, start + width))), f"{words[name]}, amp {side}")
        for side, parts in (("L", left), ("R", right))
        for name, (start, width) in parts.items()
    ]
