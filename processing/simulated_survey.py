"""Which exposures a simulated survey takes, and the sky above it: nights of a field, and calibration frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from processing.algorithms.horizon import altitude
from processing.algorithms.simulation import STARS, SkyParameters, magnitudes
from processing.algorithms.simulation_tiles import Tiles, star_tiles
from processing.algorithms.simulation_weather import best_time
from processing.algorithms.sky import from_tangent_plane
from processing.errors import BadInput
from processing.simulated_exposures import is_within, tiles_of
from processing.simulators.base import Shot, Simulator
from products.storage import whole_file

EPOCH = 2016.0  # of the positions on the sky, Julian year: that of Gaia DR3, and what import_catalog takes for granted
BANDS = ("g", "r", "i", "z", "Y")
_LOWEST = 12.0  # degrees of altitude
_OVERHEAD = 25.0  # s from one exposure to the next
_LAMP = 2500.0  # electrons a second of the flat screen
_LAMP_SCATTER = 5e-4
_AFTERNOON = -0.36  # days from midnight
_HOURS = {"bias": -0.36, "dark": -0.33, "dome": -0.28, "twilight": -0.20}  # of each kind alone, days from midnight
_RAMP = (0.01, 0.9)  # of full well, first and last level of a flat ramp
_FLAT = 0.3  # of full well
_COLORS = {"g": 0.5, "r": 0.0, "i": -0.22}  # band − r of a star whose other magnitudes are not known
_MAG_ERROR, _POSITION_ERROR = 0.01, 5.0  # of the written catalogue; mag, mas
_FORMATS = {".fits": "fits", ".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".vot": "votable"}


@dataclass(frozen=True)
class Field:
    """Exposures of one field of the sky."""

    ra: float
    dec: float
    night: float  # MJD of the day in whose evening the first night begins
    mjd: float | None = None  # start of the first exposure, where it is not the best time of the night
    nights: int = 1
    cadence: float = 1.0  # days from night to night
    exposures: int = 1  # a night, in each band
    exposure_time: float = 60.0  # s
    bands: tuple[str, ...] = ("",)
    dither: float = 15.0  # arcsec, scatter of the pointings
    target: str = ""


@dataclass(frozen=True)
class CalibrationSet:
    """How many calibration frames are taken in one afternoon."""

    biases: int = 10
    darks: int = 5
    flats: int = 10  # of the screen, in each band
    twilights: int = 3  # in each band
    ramp: int = 8  # levels of a ramp of flats for the linearity; two frames of each
    dark_time: float = 120.0  # s
    level: float | None = None  # electrons of flats; without it 0.3 of full well


def sky_shots(simulator: Simulator, field: Field, seed: int) -> list[Shot]:
    """Exposures of a field; BadInput, with a better time, where it is too low."""
    shots = []
    for night in range(field.nights):
        later = night * field.cadence
        best = best_time(simulator.site, field.ra, field.dec, field.night + later)
        step = (field.exposure_time + _OVERHEAD) / 86400
        count = field.exposures * len(field.bands)
        start = best - step * (count - 1) / 2 if field.mjd is None else field.mjd + later
        for number in range(count):
            mjd = round(start + number * step, 6)
            _refuse_low(simulator, field, mjd, best)
            rng = np.random.default_rng([seed, round(mjd * 86400), 4])
            ra, dec = from_tangent_plane(*rng.normal(0, field.dither, 2), field.ra, field.dec)
            shots.append(
                Shot(
                    number=number_at(mjd),
                    kind="science",
                    band=field.bands[number % len(field.bands)],
                    mjd=mjd,
                    exposure_time=field.exposure_time,
                    ra=float(ra),
                    dec=float(dec),
                    target=field.target,
                )
            )
    return shots


def calibration_shots(
    simulator: Simulator, wanted: CalibrationSet, night: float, bands: Sequence[str], seed: int
) -> list[Shot]:
    """Calibration frames of the day in whose evening a night begins: biases, darks, ramp, flats; then twilight."""
    full = full_well(simulator)
    light = _FLAT * full if wanted.level is None else wanted.level
    plans: list[tuple[str, str, float, float]] = [("bias", bands[0], 0.0, 0.0)] * wanted.biases
    plans += [("dark", bands[0], wanted.dark_time, 0.0)] * wanted.darks
    levels = np.geomspace(*_RAMP, wanted.ramp) * full if wanted.ramp else []
    plans += [("dome", bands[0], level / _LAMP, level) for level in levels for _ in range(2)]
    plans += [("dome", band, light / _LAMP, light) for band in bands for _ in range(wanted.flats)]
    midnight = np.floor(night) + 1 - simulator.site.longitude / 360
    shots = _in_a_row(simulator, plans, midnight + _AFTERNOON, seed)
    plans = [("twilight", band, 8.0, light) for band in bands for _ in range(wanted.twilights)]
    after = shots[-1].mjd + 0.01 if shots else 0.0
    return shots + _in_a_row(simulator, plans, max(midnight + _HOURS["twilight"], after), seed)


def single_shots(
    simulator: Simulator, kind: str, field: Field, seed: int, *, count: int = 1, level: float | None = None
) -> list[Shot]:
    """`count` calibration frames of a kind in each band, from `field.mjd` on, or in hours of its own before the night.

    `level` electrons of flats; without it 0.3 of full well.
    """
    level = level if level is not None else _FLAT * full_well(simulator)
    time = {"bias": 0.0, "dark": field.exposure_time, "dome": level / _LAMP, "twilight": 8.0}[kind]
    bands = field.bands[:1] if kind in ("bias", "dark") else field.bands
    plans = [(kind, band, time, level if kind in ("dome", "twilight") else 0.0) for band in bands for _ in range(count)]
    midnight = np.floor(field.night) + 1 - simulator.site.longitude / 360
    start = midnight + _HOURS[kind] if field.mjd is None else field.mjd
    return _in_a_row(simulator, plans, start, seed)


def number_at(mjd: float) -> int:
    """The running number of an exposure: it grows by one each ten seconds from noon (UTC) on."""
    return int((mjd - 0.5) % 1 * 8640)


def full_well(simulator: Simulator) -> float:
    """Electrons at which the shallowest amplifier of the first CCD is full."""
    amplifiers = simulator.layout(simulator.sections()[0], 0.0).amplifiers
    return min((a.saturation - simulator.ccd.bias_level) * a.gain for a in amplifiers)


def sky_parameters(simulator: Simulator, seed: int, changes: Mapping[str, Any]) -> SkyParameters:
    """A sky of middle galactic latitude, as deep as the camera sees it; `changes` by the names of parameters."""
    stars, galaxies = simulator.faintest
    values: dict[str, Any] = {
        "seed": seed,
        "epoch": EPOCH,
        "stars": 2500.0,
        "star_slope": 0.25,
        "variables": 60.0,
        "brightest": 9.0,
        "faintest": stars,
        "galaxies": 900.0,
        "faintest_galaxy": galaxies,
        "faintest_transient": galaxies,
    }
    return SkyParameters.build({**values, **changes}, "sky")


def stars_of(table: np.ndarray) -> np.ndarray:
    """Stars of a catalogue (as `catalogs.tables.read_catalog` gives them) as those of a sky, dtype STARS.

    Magnitudes that it lacks follow from those that it has, for a star of usual colour. Raises BadInput where it has
    none in g, r or i.
    """
    names = [band for band in _COLORS if f"mag_{band}" in table.dtype.names]
    if not names:
        raise BadInput(
            what="the star catalogue", reason="stars are simulated from magnitudes in g, r or i: it has none"
        )
    table = table[table["is_star"]]
    known = np.stack([table[f"mag_{band}"].astype(float) for band in names])
    table, known = table[np.isfinite(known).any(axis=0)], known[:, np.isfinite(known).any(axis=0)]
    r = np.nanmean(known - np.array([_COLORS[band] for band in names])[:, None], axis=0)
    stars = np.zeros(len(table), STARS)
    for name in ("ra", "dec", "pmra", "pmdec"):
        stars[name] = np.nan_to_num(table[name])
    for band, color in _COLORS.items():
        given = table[f"mag_{band}"].astype(float) if band in names else np.full(len(table), np.nan)
        stars[f"mag_{band}"] = np.where(np.isfinite(given), given, r + color)
    stars["period"] = 1.0
    return stars


def write_star_catalog(
    path: Path,
    simulator: Simulator,
    tiles: Tiles,
    centre: tuple[float, float],
    *,
    sections: Sequence[str],
    limit: float,
) -> int:
    """Write the stars in CCDs brighter than `limit` (r) as a survey would have measured them; how many there are.

    The table is for `import_catalog`; its ending says the format. Raises BadInput for an ending of no format.
    """
    refuse_format(path)
    stars = tiles.own_stars
    if stars is None:
        stars = star_tiles(tiles, tiles_of(simulator, sections, centre))
    stars = stars[stars["mag_r"] < limit]
    stars = stars[is_within(simulator, sections, stars["ra"], stars["dec"], centre)]
    rng = np.random.default_rng([tiles.parameters.seed, 6])
    error = rng.normal(0, _POSITION_ERROR / 3.6e6, (2, len(stars)))
    table = Table()
    table["ra"] = (stars["ra"] + error[0] / np.cos(np.radians(stars["dec"]))) % 360
    table["dec"] = stars["dec"] + error[1]
    for name in ("pmra", "pmdec"):
        table[name] = stars[name] + rng.normal(0, 0.2, len(stars))
    for band in BANDS:
        mag = magnitudes(stars, band)
        table[f"err_{band}"] = np.hypot(_MAG_ERROR, 0.04 * 10 ** (0.4 * (mag - 22))).round(5)
        table[f"mag_{band}"] = (mag + rng.normal(0, 1, len(stars)) * table[f"err_{band}"]).round(5)
    table["is_star"] = np.ones(len(stars), bool)
    with whole_file(path) as partial:
        table.write(partial, format=_FORMATS[path.suffix], overwrite=True)
    return len(table)


def refuse_format(path: Path) -> None:
    """BadInput where the ending of a table's name is that of no format."""
    if path.suffix not in _FORMATS:
        raise BadInput(what=str(path), reason=f"a table's name ends in {', '.join(_FORMATS)}")


def _in_a_row(
    simulator: Simulator, plans: Sequence[tuple[str, str, float, float]], start: float, seed: int
) -> list[Shot]:
    """Calibration frames one after the other; `plans` are kind, band, exposure time, level."""
    shots = []
    for kind, band, time, level in plans:
        mjd = round(start, 6)
        if kind == "dome":
            level *= 1 + np.random.default_rng([seed, round(mjd * 86400), 5]).normal(0, _LAMP_SCATTER)
        elif kind == "twilight":
            level *= np.random.default_rng([seed, round(mjd * 86400), 5]).uniform(0.6, 1.4)
        ra = (mjd * 360.9856 + simulator.site.longitude) % 360  # somewhere near the meridian: nobody looks
        shots.append(
            Shot(number_at(mjd), kind, band, mjd, round(time, 2), round(ra, 3), simulator.site.latitude, float(level))
        )
        start += (time + _OVERHEAD) / 86400
    return shots


def _refuse_low(simulator: Simulator, field: Field, mjd: float, best: float) -> None:
    if (height := altitude(field.ra, field.dec, mjd, simulator.site)) >= _LOWEST:
        return
    highest = altitude(field.ra, field.dec, best, simulator.site)
    hint = f"on this night it is highest, at {highest:.0f}°, on MJD {best:.4f}; choose another --mjd, --night or field"
    what = f"the field {field.ra:.3f} {field.dec:+.3f}"
    raise BadInput(what=what, reason=f"it is at an altitude of {height:.0f}° on MJD {mjd:.4f}; {hint}")
