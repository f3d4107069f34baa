"""Raw exposures of DECam: 62 CCDs and, in a whole file, eight focus CCDs.

Keywords, their order and types, the sections of north and south CCDs and the projection with its distortion are those
of real raw files. Assumed are gains, read noise, saturation, defects, and which backplane reads which CCD.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.time import Time

from processing.algorithms.overscan import Amplifier, fits_section
from processing.algorithms.simulation_ccd import CcdParameters, Layout, Place
from processing.algorithms.simulation_weather import Photometry, Weather
from processing.instruments import decam_raw
from processing.instruments.decam import Decam
from processing.instruments.section_tables import TABLES, read_table
from processing.parameters import param
from processing.simulators.base import Shot, Simulator

_SHAPE = _NY, _NX = 4146, 2160  # raw
_ROWS, _HALF = 4096, 1024
_PRESCAN, _OVERSCAN, _POSTSCAN = 6, 50, 50
_SIDE = _PRESCAN + _OVERSCAN + _HALF  # raw columns of one amplifier
_FOCUS_ROWS = 2048 + _POSTSCAN
_FIRST = {
    "S29": 1,
    "S25": 2,
    "S20": 3,
    "S14": 4,
    "S8": 5,
    "S1": 6,
    "N1": 7,
    "N8": 8,
    "N14": 9,
    "N20": 10,
    "N25": 11,
    "N29": 12,
}
_STARTS = {1: 2.0, 2: 1.5, 3: 1.0, 4: 0.5, 5: 0.5, 6: 0.0}  # of the first CCD of a column, in CCDs from the end
_PITCH = 2254.4, 4259.333  # px from CCD to CCD along x and y: 33.816 and 63.89 mm
_AXIS = 2151.2, 14826.0  # FITS px of the optical axis in the trimmed image of S1
_STEP = 7.2853e-5  # degrees per px on the axis
_CUBIC = 0.0044  # of the distortion: relative growth of the field angle at one degree
_BACKPLANES = ((12, "DECAM_BKP3"), (24, "DECAM_BKP2"), (36, "DECAM_BKP1"), (48, "DECAM_BKP4"), (62, "DECAM_BKP5"))
_FILTERS = {
    "g": "g DECam SDSS c0001 4720.0 1520.0",
    "r": "r DECam SDSS c0002 6415.0 1480.0",
    "i": "i DECam SDSS c0003 7835.0 1470.0",
    "z": "z DECam SDSS c0004 9260.0 1520.0",
    "Y": "Y DECam c0005 10095.0 1130.0",
}
_OBSERVATION_TYPES = {"science": "object", "bias": "zero", "dark": "dark", "dome": "dome flat", "twilight": "sky flat"}
_LETTERS = {"science": "o", "bias": "z", "dark": "d", "dome": "f", "twilight": "f"}  # of the archive's names
_TYPES = {"bool": lambda text: text == "true", "int": int, "float": float, "str": str}


class DecamSimulator(Simulator):
    """DECam at the Blanco telescope."""

    name = "decam"
    site = Decam.site
    telescope = "CTIO 4.0-m telescope"
    has_checksums = True
    scale = _STEP * 3600
    exposure_time = 60.0
    faintest = (23.5, 22.8)
    photometry: ClassVar = {
        "g": Photometry(zero_point=26.5, sky=22.1, extinction=0.18, fwhm=(3.3, 5.0)),
        "r": Photometry(zero_point=26.7, sky=21.1, extinction=0.10, fwhm=(3.3, 5.0)),
        "i": Photometry(zero_point=26.6, sky=20.0, extinction=0.07, fwhm=(3.3, 5.0)),
        "z": Photometry(zero_point=26.3, sky=18.8, extinction=0.06, fwhm=(3.3, 5.0)),
        "Y": Photometry(zero_point=25.2, sky=18.0, extinction=0.06, fwhm=(3.3, 5.0)),
    }

    ccd: CcdParameters = param(
        CcdParameters(bias_level=2100.0, jump=12.0, fringes=0.02, fringe_period=120.0, vignetting=0.10, glow=0.01),
        help="What the CCDs are like.",
    )

    def sections(self) -> tuple[str, ...]:
        return tuple(_numbers())

    def layout(self, section: str, mjd: float) -> Layout:
        is_south, values = section[0] == "S", _values(section)
        rows = slice(_POSTSCAN, _NY) if is_south else slice(0, _ROWS)
        low = slice(_PRESCAN + _OVERSCAN, _SIDE), slice(_PRESCAN, _PRESCAN + _OVERSCAN)  # columns of data, of overscan
        high = slice(_SIDE, _SIDE + _HALF), slice(_SIDE + _HALF, _SIDE + _HALF + _OVERSCAN)
        after = decam_raw.jump_rows(_backplane(_numbers()[section]), rows, is_south)
        amplifiers, areas = [], []
        for name in decam_raw.NAMES:
            is_high = (name == "A") == is_south
            data, bias = high if is_high else low
            amplifiers.append(
                Amplifier(
                    name=name,
                    data=(rows, data),
                    bias=(rows, bias),
                    target=(slice(0, _ROWS), slice(_HALF, 2 * _HALF) if is_high else slice(0, _HALF)),
                    backwards=(is_south, is_high),
                    jumps=after,
                    **values[name],
                )
            )
            areas.append((slice(0, _NY), slice(_SIDE, _NX) if is_high else slice(0, _SIDE)))
        return Layout(_SHAPE, tuple(amplifiers), tuple(areas))

    def place(self, section: str) -> Place:
        x, y = _axis(section)
        return Place((1 - x, 1 - y), 1.1 / _STEP)

    def wcs(self, section: str, ra: float, dec: float, rotation: float = 0.0) -> fits.Header:
        header = fits.Header()
        header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
        header["CUNIT1"] = header["CUNIT2"] = "deg"
        header["CRVAL1"], header["CRVAL2"] = ra, dec
        header["CRPIX1"], header["CRPIX2"] = _axis(section)
        turn = np.radians(rotation)
        header["CD1_1"], header["CD1_2"] = float(_STEP * -np.sin(turn)), float(_STEP * np.cos(turn))
        header["CD2_1"], header["CD2_2"] = float(_STEP * -np.cos(turn)), float(_STEP * -np.sin(turn))
        header["RADESYS"], header["EQUINOX"] = "FK5", 2000.0
        for name, value in _distortion(section).items():
            header[name] = value
        return header

    def file_name(self, shot: Shot) -> str:
        return f"c4d_{Time(shot.mjd, format='mjd').strftime('%y%m%d_%H%M%S')}_{_LETTERS[shot.kind]}ri.fits.fz"

    def primary(self, shot: Shot, weather: Weather, count: int) -> fits.PrimaryHDU:
        known = {**_of_the_shot(shot), **_of_the_telescope(shot, weather), "NEXTEND": count}
        hdu = fits.PrimaryHDU()
        for card in _cards("decam_primary.ecsv", known, is_sky=shot.kind == "science"):
            hdu.header.append(card, end=True)
        return hdu

    def extensions(self, shot: Shot, section: str, raw: np.ndarray) -> list[Any]:
        layout, number = self.layout(section, shot.mjd), _numbers()[section]
        # As in real files, CRPIX counts in the trimmed image, whatever LTV says.
        known = {**_sections(layout, section), **dict(self.wcs(section, shot.ra, shot.dec).items())}
        rows = layout.amplifiers[0].data[0]
        known |= {"LTV1": float(_PRESCAN + _OVERSCAN), "LTV2": float(rows.start)}
        known |= {"CCDNUM": number, "DETPOS": section, "EXTNAME": section, "FPA": _backplane(number)}
        known |= {"DETECTOR": f"S3-{number:02d}_simulated"}
        for amplifier in layout.amplifiers:
            known[f"GAIN{amplifier.name}"] = amplifier.gain
            known[f"RDNOISE{amplifier.name}"] = amplifier.read_noise
            known[f"SATURAT{amplifier.name}"] = amplifier.saturation
        return [_image(raw, known)]

    def last(self, shot: Shot, rng: np.random.Generator) -> list[Any]:
        """The focus CCDs: half as many rows, and here nothing but bias and read noise."""
        hdus = []
        for number, name in enumerate(("FS1", "FS2", "FS3", "FS4", "FN1", "FN2", "FN3", "FN4"), start=63):
            noise = rng.standard_normal((_FOCUS_ROWS, _NX), np.float32)
            raw = np.rint(np.float32(self.ccd.bias_level) + np.float32(1.7) * noise).astype(np.uint16)
            hdus.append(_image(raw, {"CCDNUM": number, "DETPOS": name, "EXTNAME": name}))
        return hdus


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    """CCDNUM of each CCD, in the order of the numbers."""
    table = read_table(TABLES / "decam_ccds.ecsv")
    return {str(row["section"]): int(row["ccdnum"]) for row in table if str(row["section"])[0] in "NS"}


def _axis(section: str) -> tuple[float, float]:
    """FITS px of the optical axis in the trimmed image of a CCD."""
    column, row = _position(section)
    return _AXIS[0] + (6 - column) * _PITCH[0], _AXIS[1] - row * _PITCH[1]


def _position(section: str) -> tuple[int, float]:
    """Column of the mosaic from 1, and place in it in CCDs from the end."""
    number = int(section[1:])
    first = max(
        (name for name in _FIRST if name[0] == section[0] and int(name[1:]) <= number), key=lambda n: int(n[1:])
    )
    column = _FIRST[first]
    return column, _STARTS[min(column, 13 - column)] + number - int(first[1:])


def _backplane(number: int) -> str:
    return next(name for last, name in _BACKPLANES if number <= last)


def _values(section: str) -> dict[str, dict[str, float]]:
    """Gain, read noise and saturation of the amplifiers as headers say."""
    rng = np.random.default_rng([20120912, _numbers()[section]])
    return {
        name: {
            "gain": round(float(rng.normal(4.1, 0.25)), 4),
            "read_noise": round(float(rng.uniform(5.6, 7.6)), 4),
            "saturation": float(rng.integers(40_000, 48_000)),
        }
        for name in decam_raw.NAMES
    }


def _distortion(section: str) -> dict[str, float]:
    """PV terms: a radial distortion for all CCDs, and a little of their own, as fits of real CCDs have."""
    rng = np.random.default_rng([20120913, _numbers()[section]])
    terms = {f"PV{axis}_{term}": 0.0 for axis in (1, 2) for term in range(11)}
    for axis in (1, 2):
        terms[f"PV{axis}_1"] = 1.0 + rng.normal(0, 2e-5)
        terms[f"PV{axis}_2"] = rng.normal(0, 2e-5)
        terms[f"PV{axis}_7"] = terms[f"PV{axis}_9"] = _CUBIC
    return terms


def _sections(layout: Layout, section: str) -> dict[str, str]:
    """The section cards of a CCD."""
    rows = layout.amplifiers[0].data[0]
    post = slice(0, _POSTSCAN) if rows.start else slice(_ROWS, _NY)
    column, row = _position(section)
    corner = column * 2 * _HALF, round(row * _ROWS)
    whole = slice(0, 2 * _HALF)
    found = {
        "TRIMSEC": fits_section((rows, slice(_PRESCAN + _OVERSCAN, _NX - _PRESCAN - _OVERSCAN))),
        "CCDSEC": fits_section((slice(0, _ROWS), whole)),
        "DETSEC": fits_section((slice(corner[1], corner[1] + _ROWS), slice(corner[0], corner[0] + 2 * _HALF))),
    }
    found["DATASEC"] = found["TRIMSEC"]
    for amplifier in layout.amplifiers:
        name, (_, x) = amplifier.name, amplifier.target
        is_high = x.start > 0
        first, last = (x.stop, x.start + 1) if amplifier.backwards[1] else (x.start + 1, x.stop)
        bottom, top = (_ROWS, 1) if amplifier.backwards[0] else (1, _ROWS)
        prescan = slice(_NX - _PRESCAN, _NX) if is_high else slice(0, _PRESCAN)
        detector = slice(corner[0] + x.start, corner[0] + x.stop)
        found |= {
            f"TRIMSEC{name}": fits_section(amplifier.data),
            f"DATASEC{name}": fits_section(amplifier.data),
            f"BIASSEC{name}": fits_section(amplifier.bias),
            f"PRESEC{name}": fits_section((rows, prescan)),
            f"POSTSEC{name}": fits_section((post, amplifier.data[1])),
            f"CCDSEC{name}": fits_section(amplifier.target),
            f"DETSEC{name}": fits_section((slice(corner[1], corner[1] + _ROWS), detector)),
            f"AMPSEC{name}": f"[{first}:{last},{bottom}:{top}]",
        }
    return found


def _of_the_shot(shot: Shot) -> dict[str, Any]:
    start = Time(shot.mjd, format="mjd", precision=6)
    opened = Time(shot.mjd + 1e-6, format="mjd", precision=6).isot
    number, day = int((shot.mjd - 56000) * 2880), Time(shot.mjd - 0.6, format="mjd").strftime("%Y%m%d")
    name = f"DECam_{number:08d}.fits"
    is_open = shot.kind in ("science", "twilight", "dome")
    return {
        "FILENAME": name,
        "EXPREQ": float(shot.exposure_time),
        "EXPTIME": float(shot.exposure_time),
        "DARKTIME": round(shot.exposure_time + 1.1, 6),
        "OBSID": f"ct4m{start.strftime('%Y%m%dt%H%M%S')}",
        "DATE-OBS": start.isot,
        "TIME-OBS": start.isot.partition("T")[2],
        "MJD-OBS": shot.mjd,
        "OPENSHUT": opened,
        "EXPNUM": number,
        "OBJECT": shot.target or ("simulated field" if shot.kind == "science" else _OBSERVATION_TYPES[shot.kind]),
        "OBSTYPE": _OBSERVATION_TYPES[shot.kind],
        "CAMSHUT": "Open" if is_open else "Closed",
        "FILTER": _FILTERS[shot.band],
        "INSTANCE": f"DECam_{day}",
        "TIME_RECORDED": Time(shot.mjd + shot.exposure_time / 86400, format="mjd", precision=6).isot,
        "SKYUPDAT": start.strftime("%Y-%m-%dT%H:%M:%S"),
        "DTCALDAT": f"{day[:4]}-{day[4:6]}-{day[6:]}",
        "DTUTC": Time(shot.mjd + 0.001, format="mjd").strftime("%Y-%m-%dT%H:%M:%S"),
        "DTACQNAM": f"/data/{name}.fz",
        "DTNSANAM": f"dec{number % 1000000:06d}.fits",
        "SB_DIR1": day,
        "SB_RECNO": number % 1000000,
        "SB_ID": f"dec{number % 1000000:06d}",
        "SB_NAME": f"dec{number % 1000000:06d}.fits",
        "RECNO": number % 1000000,
    }


def _of_the_telescope(shot: Shot, weather: Weather) -> dict[str, Any]:
    ra, dec = Angle(shot.ra, "deg"), Angle(shot.dec, "deg")
    position = (
        ra.to_string("hourangle", sep=":", precision=3, pad=True),
        dec.to_string("deg", sep=":", precision=3, pad=True),
    )
    sidereal = Angle((weather.hour_angle + shot.ra) % 360, "deg")
    return {
        "RA": position[0],
        "DEC": position[1],
        "TELRA": position[0],
        "TELDEC": position[1],
        "HA": Angle(weather.hour_angle, "deg").to_string("hourangle", sep=":", precision=2, pad=True),
        "LST": sidereal.to_string("hourangle", sep=":", precision=1, pad=True),
        "ZD": round(90 - weather.altitude, 2),
        "AZ": round(weather.azimuth, 2),
        "AIRMASS": round(weather.airmass, 2),
        "DIMMSEE": round(weather.seeing * DecamSimulator.scale, 3),
    }


def _cards(table: str, known: dict[str, Any], *, is_sky: bool = True) -> list[tuple[str, Any, str]]:
    """The cards of a real header in their order, with what is known instead of the table's values."""
    return [
        (f"HIERARCH {name}" if len(name) > 8 else name, known.get(name, value), unit)
        for name, value, unit, only in _table(table)
        if is_sky or not only
    ]


@lru_cache(maxsize=2)
def _table(name: str) -> list[tuple[str, Any, str, str]]:
    rows = read_table(Path(__file__).parent / "tables" / name)
    text = {column: ["" if value is np.ma.masked else str(value) for value in rows[column]] for column in rows.colnames}
    only = text.get("only", [""] * len(rows))
    found = zip(text["keyword"], text["type"], text["value"], text["unit"], only)
    return [(keyword, _TYPES[kind](value), unit, where) for keyword, kind, value, unit, where in found]


def _image(raw: np.ndarray, known: dict[str, Any]) -> fits.CompImageHDU:
    header = fits.Header(_cards("decam_ccd.ecsv", known))
    return fits.CompImageHDU(raw, header, compression_type="RICE_1", tile_shape=(1, raw.shape[1]))
