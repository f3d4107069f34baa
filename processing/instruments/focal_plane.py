"""Where the CCDs of a mosaic lie on the sky around the pointing, and the rough WCS of each that follows from it.

A place is the centre of a CCD in the tangent plane about the boresight, and the similarity there: the rotation of its
columns from the boresight's north, carried along the great circle to the CCD, and its pixel scale. A camera without
distortion whose CCDs are parallel has one rotation for all, wherever it points, the poles included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from processing.algorithms.sky import from_tangent_plane, tangent_plane
from processing.errors import BadInput
from processing.instruments.section_tables import own_path, read_table, table_path
from products.storage import whole_file

COLUMNS = ("section", "xi", "eta", "rotation", "scale", "mirrored", "source")
_MEANING = {
    "section": (None, "CCD"),
    "xi": ("deg", "centre east of the boresight, in the tangent plane"),
    "eta": ("deg", "centre north of the boresight"),
    "rotation": ("deg", "from the boresight's north to the direction in which rows are counted, eastwards"),
    "scale": ("arcsec / pix", "at the centre"),
    "mirrored": (None, "whether columns are counted towards the east where rows are counted towards the north"),
    "source": (None, "where it comes from, and when"),
}


@dataclass(frozen=True)
class Place:
    """Where a CCD lies."""

    xi: float  # degrees to the east of the boresight, in the tangent plane; of the centre of the CCD
    eta: float  # degrees to the north
    rotation: float  # degrees from the boresight's north to the direction in which rows are counted, eastwards
    scale: float  # arcsec/px at the centre
    mirrored: bool  # whether columns are counted towards the east where rows are counted towards the north


def rough_wcs(place: Place, ra: float, dec: float, shape: tuple[int, int]) -> fits.Header:
    """Cards of a TAN projection about the centre of a CCD (ny, nx), with the boresight at `ra`, `dec` (degrees)."""
    centre = from_tangent_plane(place.xi * 3600, place.eta * 3600, ra, dec)
    rows = np.radians(place.rotation + carried_north(axes(ra, dec), *centre))
    columns = rows + np.pi / 2 * (1 if place.mirrored else -1)
    step = place.scale / 3600
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = (float(value) for value in centre)
    header["CRPIX1"], header["CRPIX2"] = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["CD1_1"], header["CD1_2"] = float(step * np.sin(columns)), float(step * np.sin(rows))
    header["CD2_1"], header["CD2_2"] = float(step * np.cos(columns)), float(step * np.cos(rows))
    header["RADESYS"] = "ICRS"
    return header


@dataclass(frozen=True)
class Similarity:
    """What a WCS says of its CCD as a whole."""

    ra: float  # degrees, of the centre
    dec: float
    angle: float  # degrees from north there to the direction in which rows are counted, eastwards
    scale: float  # arcsec/px
    mirrored: bool


def similarity(wcs: WCS, shape: tuple[int, int]) -> Similarity:
    """The similarity that fits a WCS best between the centre of a CCD (ny, nx) and a quarter of its size from there."""
    ny, nx = shape
    offsets = np.array([[0, 0], [-1, -1], [1, -1], [-1, 1], [1, 1]]) * np.array([nx / 4, ny / 4])
    sky = wcs.all_pix2world(offsets + np.array([(nx - 1) / 2, (ny - 1) / 2]), 0)
    ra, dec = (float(value) for value in sky[0])
    local = np.transpose(tangent_plane(sky[:, 0], sky[:, 1], ra, dec))
    matrix = np.linalg.lstsq(offsets[1:], local[1:], rcond=None)[0].T  # arcsec per pixel
    mirrored = bool(np.linalg.det(matrix) > 0)
    along = matrix[:, 1] + np.array([-matrix[1, 0], matrix[0, 0]]) * (1 if mirrored else -1)
    return Similarity(ra, dec, float(np.degrees(np.arctan2(*along))), float(np.hypot(*along) / 2), mirrored)


def place_of(found: Similarity, frame: np.ndarray) -> Place:
    """The place of a CCD in a frame (3, 3) of unit vectors: boresight, its east and north, as `axes` gives them."""
    outwards, east, north = frame @ axes(found.ra, found.dec)[0]
    rotation = found.angle - carried_north(frame, found.ra, found.dec)
    return Place(
        xi=float(np.degrees(east / outwards)),
        eta=float(np.degrees(north / outwards)),
        rotation=float((rotation + 180) % 360 - 180),
        scale=found.scale,
        mirrored=found.mirrored,
    )


def carried_north(frame: np.ndarray, ra: float, dec: float) -> float:
    """Position angle (degrees) at a position of the north of a `frame`, carried there along the great circle."""
    start, _, north = frame
    end, east_there, north_there = axes(ra, dec)
    carried = north - (end @ north) / (1 + start @ end) * (start + end)
    return float(np.degrees(np.arctan2(carried @ east_there, carried @ north_there)))


def axes(ra: float, dec: float) -> np.ndarray:
    """Unit vectors at a position (degrees), (3, 3): outwards, east, north."""
    (sa, sd), (ca, cd) = (np.sin(np.radians([ra, dec])), np.cos(np.radians([ra, dec])))
    return np.array([[ca * cd, sa * cd, sd], [-sa, ca, 0.0], [-ca * sd, -sa * sd, cd]])


def focal_plane(instrument: str) -> dict[str, Place]:
    """Places of the CCDs of an instrument by name; where the archive has a table of its own, that goes before.

    The table that comes with the code is `tables/<instrument>_focal_plane.ecsv`, that of the archive
    `instruments/<instrument>_focal_plane.ecsv` in the data folder. BadInput where one cannot be used.
    """
    paths = [table_path(instrument, "focal_plane"), own_path(instrument, "focal_plane")]
    found: dict[str, Place] = {}
    for path in paths:
        found |= places_in(path)
    return found


def places_in(path: Path) -> dict[str, Place]:
    """Places by section in one table; none where there is no such file. BadInput where it cannot be used."""
    return _places(path, path.stat().st_mtime_ns) if path.is_file() else {}


def sources_in(path: Path) -> dict[str, str]:
    """By section, where the rows of a table come from; none where there is no such file."""
    if not path.is_file():
        return {}
    table = read_table(path)
    told = table["source"] if "source" in table.colnames else [""] * len(table)
    return {str(section).strip(): str(source) for section, source in zip(table["section"], told)}


@lru_cache(maxsize=16)
def _places(path: Path, changed: int) -> dict[str, Place]:
    table = read_table(path)
    if missing := [name for name in COLUMNS[:6] if name not in table.colnames]:
        raise BadInput(what=str(path), reason=f"it has no column {', '.join(missing)}")
    found = {}
    for number, row in enumerate(table, start=1):
        try:
            place = Place(*(float(row[name]) for name in COLUMNS[1:5]), mirrored=bool(row["mirrored"]))
        except (TypeError, ValueError):
            place = Place(np.nan, np.nan, np.nan, np.nan, False)
        numbers = (place.xi, place.eta, place.rotation, place.scale)
        if not (np.isfinite(numbers).all() and place.scale > 0 and max(abs(place.xi), abs(place.eta)) < 60):
            reason = "xi, eta (degrees), rotation (degrees) and scale (arcsec/px) must be numbers of a focal plane"
            raise BadInput(what=f"{path} row {number}", reason=reason)
        found[str(row["section"]).strip()] = place
    return found


def write_places(path: Path, instrument: str, places: Mapping[str, Place], source: str | Mapping[str, str]) -> None:
    """Write a table that `focal_plane` reads, whole or not at all; `source` says where all, or each, come from."""
    sources = source if isinstance(source, Mapping) else dict.fromkeys(places, source)
    rows = [
        (name, *(round(value, 6) for value in (at.xi, at.eta, at.rotation, at.scale)), at.mirrored, sources[name])
        for name, at in sorted(places.items())
    ]
    table = Table(rows=rows, names=COLUMNS)
    for name, (unit, said) in _MEANING.items():
        table[name].unit, table[name].description = unit, said
    table.meta = {"instrument": instrument}
    with whole_file(path) as partial:
        table.write(partial, format="ascii.ecsv", delimiter=",", overwrite=True)
