"""A simulated sky without end: drawn in tiles, so that every CCD of every night finds the same sources in its part.

Tiles are HEALPix cells. Stars and galaxies of a tile are drawn by its number; transients also by the month in which
they begin, so that any night has young and old ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processing.algorithms.simulation import (
    GALAXIES,
    KNOTS,
    STARS,
    TRANSIENTS,
    Sky,
    SkyParameters,
    draw_galaxies,
    draw_stars,
    draw_transients,
    knots_of,
)
from processing.algorithms.sky import tangent_plane

ORDER = 8  # HEALPix order of the tiles: 0.052 deg² each
AREA = 4 * np.pi / (12 * 4**ORDER) * np.degrees(1) ** 2
_FINEST = 29  # HEALPix order of cells of 0.4 mas
_MONTH = 30.0  # days
_MONTHS = 5  # that a transient is looked back for: by then even the slowest has faded by more than 3 mag
_STREAMS = {"stars": 1, "galaxies": 2, "transients": 3}


@dataclass(frozen=True)
class Tiles:
    """Which sky, and how much is on it."""

    parameters: SkyParameters  # densities and limits; where its field is does not matter
    rate: float = 150.0  # transients per deg² and year
    own_stars: np.ndarray | None = None  # dtype STARS: these instead of drawn ones


def tiles_within(ra: float, dec: float, radius: float) -> list[int]:
    """Numbers of the tiles that come within `radius` degrees of a position."""
    from astropy import units
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix.nested import cone_search

    place = Longitude(ra * units.deg), Latitude(dec * units.deg)
    found, _, _ = cone_search(*place, radius * units.deg, ORDER, flat=True)
    return sorted(int(number) for number in found)


def sky_around(tiles: Tiles, ra: float, dec: float, radius: float, mjd: float) -> Sky:
    """The part of the sky within `radius` degrees of a position, at a date: what has begun by then and not ended."""
    stars, galaxies, knots, transients = [], [], [], []
    for number in tiles_within(ra, dec, radius):
        tile = _tile(tiles, number, mjd)
        host = tile.transients["host"]
        host[host >= 0] += sum(map(len, galaxies))
        tile.knots["galaxy"] += sum(map(len, galaxies))
        stars.append(tile.stars)
        galaxies.append(tile.galaxies)
        knots.append(tile.knots)
        transients.append(tile.transients)
    together = _joined(galaxies, GALAXIES)
    drawn = tiles.own_stars if tiles.own_stars is not None else _joined(stars, STARS)
    return Sky(
        parameters=tiles.parameters,
        stars=drawn[_near(drawn, ra, dec, radius)],
        galaxies=together,
        knots=_joined(knots, KNOTS),
        transients=_joined(transients, TRANSIENTS),
    )


def star_tiles(tiles: Tiles, numbers: Sequence[int]) -> np.ndarray:
    """All stars of tiles, dtype STARS."""
    return _joined([_stars(tiles, number, _field(tiles, number)) for number in numbers], STARS)


def _tile(tiles: Tiles, number: int, mjd: float) -> Sky:
    p = _field(tiles, number)
    rng = _stream(p, number, "galaxies")
    galaxies = draw_galaxies(p, rng)
    _spread(galaxies, number, rng)
    month = int(np.floor(mjd / _MONTH))
    found = []
    for begun in range(month - _MONTHS, month + 1):
        rng = _stream(p, number, "transients", begun)
        density = rng.poisson(tiles.rate * AREA * _MONTH / 365.25) / AREA
        span = {"first_start": begun * _MONTH, "last_start": (begun + 1) * _MONTH, "transients": density}
        part = draw_transients(_changed(p, **span), galaxies, rng)
        alone = part["host"] < 0
        part[alone] = _spread(part[alone], number, rng)
        found.append(part[part["start"] < mjd])
    stars = np.zeros(0, STARS) if tiles.own_stars is not None else _stars(tiles, number, p)
    return Sky(p, stars, galaxies, knots_of(galaxies, p), _joined(found, TRANSIENTS))


def _stars(tiles: Tiles, number: int, p: SkyParameters) -> np.ndarray:
    rng = _stream(p, number, "stars")
    return _spread(draw_stars(p, rng), number, rng)


def _field(tiles: Tiles, number: int) -> SkyParameters:
    """The parameters for a square of the area of a tile around its middle."""
    from cdshealpix.nested import healpix_to_lonlat

    ra, dec = (float(value[0].deg) for value in healpix_to_lonlat(np.array([number]), ORDER))
    side = float(np.sqrt(AREA))
    return _changed(tiles.parameters, ra=ra, dec=dec, width=side, height=side)


def _changed(p: SkyParameters, **values: float) -> SkyParameters:
    return p.model_copy(update=values)


def _stream(p: SkyParameters, number: int, what: str, month: int = 0) -> np.random.Generator:
    return np.random.default_rng([p.seed, number, _STREAMS[what], month])


def _spread(table: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Put sources anywhere in a tile, evenly: on its cells of the finest order, which all have the same area."""
    from cdshealpix.nested import healpix_to_lonlat

    if len(table):
        depth = 2 * (_FINEST - ORDER)
        cells = (number << depth) + rng.integers(0, 1 << depth, len(table))
        ra, dec = healpix_to_lonlat(cells, _FINEST)
        table["ra"], table["dec"] = ra.deg, dec.deg
    return table


def _near(table: np.ndarray, ra: float, dec: float, radius: float) -> np.ndarray:
    xi, eta = tangent_plane(table["ra"], table["dec"], ra, dec)
    return np.hypot(xi, eta) < 3600 * (radius + 0.02)  # as stars move and fields are flat


def _joined(parts: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts])
