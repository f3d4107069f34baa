"""The truth beside a simulated raw exposure: what is on the sky, and what the camera did to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from cdshealpix.nested import lonlat_to_healpix

from processing.algorithms.simulation import Sky
from processing.algorithms.simulation_ccd import Ccd
from processing.algorithms.simulation_readout import RawFrame
from processing.algorithms.simulation_render import TRUTH, Frame, inside, sources
from processing.algorithms.simulation_weather import Weather
from processing.simulators.base import Shot, Simulator
from products.storage import whole_file

_OF_STARS = ("amplitude", "period", "phase")
_OF_TRANSIENTS = ("start", "rise", "decline")
SOURCES = np.dtype(
    [
        ("id", "i8"),  # the same on every night: its place at the epoch of the sky
        *((name, TRUTH[name]) for name in TRUTH.names),
        ("section", "U8"),
        *((name, "f8") for name in (*_OF_STARS, *_OF_TRANSIENTS)),
        ("host", "i8"),  # id of the galaxy of a transient, −1 without
    ]
)
EFFECTS = np.dtype(
    [
        ("section", "U8"),
        ("amplifier", "U8"),
        ("filter", "U4"),
        ("gain", "f8"),  # electron/ADU, true
        ("gain_header", "f8"),
        ("read_noise", "f8"),  # electron
        ("level", "f8"),  # ADU, median of this frame
        ("saturation", "f8"),  # ADU as read, of the header
        ("full_well", "f8"),  # electrons
        ("linear", "f8"),  # measured = x (1 − linear x / full − quadratic (x / full)²)
        ("quadratic", "f8"),
        ("full", "f8"),  # ADU
        ("jump_row", "i4"),  # raw row from 0, −1 without
        ("jump", "f8"),  # ADU
        ("throughput", "f8"),  # of the CCD, relative to the middle of the field
        ("sky", "f8"),  # electrons of an ideal detector, median
        ("zero_point", "f8"),  # AB magnitude of one electron in the flat-fielded frame
        ("fwhm", "f8"),  # px, on the optical axis
        *((name, "i8") for name in ("hot", "dead", "bad_columns", "saturated", "bleed", "trail", "cosmic_rays")),  # px
    ]
)
MASKS = {name: 1 << bit for bit, name in enumerate(EFFECTS.names[-7:])}  # bits of the plane MASKS


class _Part(Protocol):
    section: str
    sources: np.ndarray
    effects: dict[str, np.ndarray]


def sources_in(sky: Sky | None, frame: Frame | None, shot: Shot, section: str, throughput: float) -> np.ndarray:
    """The sources in a CCD, dtype SOURCES; `flux` is what the flat-fielded frame has of them. None without a sky."""
    if sky is None or frame is None:
        return np.zeros(0, SOURCES)
    now = sources(sky, frame, shot.mjd)
    table = np.zeros(len(now), SOURCES)
    for name in TRUTH.names:
        table[name] = now[name]
    table["flux"] *= throughput
    table["section"] = section
    table["host"] = -1
    first, second = len(sky.stars), len(sky.stars) + len(sky.galaxies)
    for part, where in (
        (sky.stars, slice(0, first)),
        (sky.galaxies, slice(first, second)),
        (sky.transients, slice(second, None)),
    ):
        table["id"][where] = _identity(part)
    for name in _OF_STARS:
        table[name][:first] = sky.stars[name]
    for name in _OF_TRANSIENTS:
        table[name][second:] = sky.transients[name]
    hosts, galaxies = sky.transients["host"], table["id"][first:second]
    if len(galaxies):
        table["host"][second:] = np.where(hosts >= 0, galaxies[np.maximum(hosts, 0)], -1)
    return inside(table, frame.shape)


def effects_of(section: str, ccd: Ccd, read: RawFrame, frame: Frame | None) -> dict[str, np.ndarray]:
    """Tables EFFECTS, LINEARITY and CROSSTALK of a CCD, by their names."""
    table, truth = np.zeros(len(ccd.electronics), EFFECTS), read.truth
    for row, amplifier, found, level in zip(table, ccd.layout.amplifiers, ccd.electronics, truth.levels):
        row["section"], row["amplifier"] = section, amplifier.name
        row["gain"], row["gain_header"], row["read_noise"] = found.gain, amplifier.gain, amplifier.read_noise
        row["level"], row["saturation"] = np.median(level), amplifier.saturation
        row["linear"], row["quadratic"], row["full"] = found.linear, found.quadratic, found.full
        row["full_well"] = found.full * found.gain
        row["jump_row"], row["jump"] = (amplifier.jumps[0], found.jumps[0]) if found.jumps else (-1, 0.0)
        for name, mask in _masks(ccd, read).items():
            row[name] = np.count_nonzero(mask[amplifier.target])
    table["throughput"], table["sky"] = ccd.throughput, truth.sky
    if frame:
        table["filter"], table["fwhm"] = frame.band, frame.seeing.fwhm
        table["zero_point"] = frame.zero_point + 2.5 * np.log10(ccd.throughput)
    return {
        "EFFECTS": table,
        "LINEARITY": _of_section(ccd.linearity_table(), section),
        "CROSSTALK": _of_section(ccd.crosstalk_table(), section),
    }


def write_truth(path: Path, simulator: Simulator, shot: Shot, weather: Weather, parts: Sequence[_Part]) -> None:
    """Write the tables SOURCES, EFFECTS, LINEARITY and CROSSTALK of all CCDs, whole or not at all."""
    primary = fits.PrimaryHDU()
    header = primary.header
    header["CAMERA"], header["KIND"] = simulator.name, shot.kind
    header["MJD-OBS"], header["EXPTIME"] = (shot.mjd, "[d] start, UTC"), (shot.exposure_time, "[s]")
    for name, value, comment in _said(weather) if shot.kind == "science" else ():
        header[name] = (round(float(value), 6), comment)
    tables: Mapping[str, Any] = {"SOURCES": [part.sources for part in parts]}
    tables = {**tables, **{name: [part.effects[name] for part in parts] for name in parts[0].effects}}
    hdus = [fits.BinTableHDU(np.concatenate(found), name=name) for name, found in tables.items()]
    with whole_file(path) as partial:
        fits.HDUList([primary, *hdus]).writeto(partial, overwrite=True)


def write_planes(path: Path, ccd: Ccd, read: RawFrame) -> None:
    """Write the true planes of a CCD, for the trimmed image: what is expected, its variance, masks, frames."""
    masks = np.zeros(ccd.shape, np.uint8)
    for name, mask in _masks(ccd, read).items():
        masks[mask] |= MASKS[name]
    truth = read.truth
    planes = {
        "EXPECTED": (truth.expected, "electron"),
        "VARIANCE": (truth.variance, "electron2"),
        "MASKS": (masks, ""),
        "TRAIL": (truth.trail_light, "electron"),
        "RAYS": (truth.cosmic_rays, "electron"),
        "GHOSTS": (truth.ghosts, "adu"),
        "BIAS": (ccd.bias, "adu"),
        "DARK": (ccd.dark, "electron/s"),
        "RESPONSE": (ccd.response, ""),
        "SCREEN": (ccd.screen, ""),
        "FRINGE": (ccd.fringe, ""),
    }
    hdus = [fits.PrimaryHDU()]
    for name, (plane, unit) in planes.items():
        hdu = fits.CompImageHDU(plane, name=name, compression_type="GZIP_2", tile_shape=(64, plane.shape[1]))
        if unit:
            hdu.header["BUNIT"] = unit
        hdus.append(hdu)
    for name, bit in MASKS.items():
        hdus[3].header[f"HIERARCH BIT {name}"] = bit
    fits.HDUList(hdus).writeto(path)


def _masks(ccd: Ccd, read: RawFrame) -> dict[str, np.ndarray]:
    truth = read.truth
    return {
        "hot": ccd.hot,
        "dead": ccd.dead,
        "bad_columns": ccd.bad_columns,
        "saturated": truth.saturated,
        "bleed": truth.bleed,
        "trail": truth.trail,
        "cosmic_rays": truth.cosmic_rays > 0,
    }


def _of_section(table: np.ndarray, section: str) -> np.ndarray:
    found = np.zeros(len(table), [("section", "U8"), *table.dtype.descr])
    for name in table.dtype.names:
        found[name] = table[name]
    found["section"] = section
    return found


def _identity(part: np.ndarray) -> np.ndarray:
    """A number for a place: the HEALPix cell of order 29, nested."""
    from astropy import units

    if not len(part):
        return np.zeros(0, np.int64)
    return lonlat_to_healpix(part["ra"] * units.deg, part["dec"] * units.deg, 29).astype(np.int64)


def _said(weather: Weather) -> list[tuple[str, float, str]]:
    return [
        ("RA", weather.pointing[0], "[deg] where the telescope truly pointed"),
        ("DEC", weather.pointing[1], "[deg]"),
        ("ROTATION", weather.rotation, "[deg] by which the camera was turned"),
        ("AIRMASS", weather.airmass, ""),
        ("CLOUDS", weather.clouds, "[mag]"),
        ("FWHM", weather.seeing, "[px] on the optical axis"),
        ("MOONALT", weather.moon_altitude, "[deg] altitude of the moon"),
        ("MOONDIST", weather.moon_separation, "[deg] distance of the moon"),
        ("MOONLIT", weather.moon_phase, "lit part of the moon"),
    ]
