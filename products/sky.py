"""Positions and footprints: one HEALPix integer a position, cones as ranges of it, exact tests on the sphere."""

from __future__ import annotations

from functools import cache

import numpy as np
from astropy.coordinates import Angle, CartesianRepresentation, SkyCoord
from cdshealpix.nested import cone_search, lonlat_to_healpix
from django.db.models import Q

ORDER = 29  # nested HEALPix order of the column `hpx`: pixels of 0.4 mas


def hpx(ra: float | np.ndarray, dec: float | np.ndarray) -> np.ndarray:
    """HEALPix numbers (int64, shape of the input) of positions in ICRS degrees."""
    from astropy import units

    ra, dec = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
    return lonlat_to_healpix(ra * units.deg, dec * units.deg, ORDER).astype(np.int64)


def cells(ra: float | np.ndarray, dec: float | np.ndarray, order: int) -> np.ndarray:
    """Nested HEALPix numbers (int64, n) of an order, of positions in ICRS degrees."""
    return hpx(ra, dec) >> 2 * (ORDER - order)


def cell_corners(order: int, cell: int) -> np.ndarray:
    """The corners (4, 2) of a HEALPix cell in ICRS degrees; its edges are no great circles, but nearly."""
    from cdshealpix.nested import vertices

    ra, dec = vertices(np.array([cell]), order)
    return np.stack([ra.deg[0], dec.deg[0]], axis=1)


def cell_circle(order: int, cell: int) -> tuple[float, float, float]:
    """Centre (ra, dec) of a HEALPix cell and a radius around it that holds all of it, degrees."""
    from cdshealpix.nested import healpix_to_lonlat, vertices

    ra, dec = healpix_to_lonlat(np.array([cell]), order)
    around_ra, around_dec = vertices(np.array([cell]), order, step=4)
    radius = separation(ra.deg[0], dec.deg[0], around_ra.deg[0], around_dec.deg[0]).max()
    return float(ra.deg[0]), float(dec.deg[0]), float(radius) * 1.01


GALACTIC, ECLIPTIC = "galactic", "barycentricmeanecliptic"  # as astropy names them; the ecliptic is that of J2000


@cache
def _axes(system: str) -> np.ndarray:
    """The rotation (3, 3) from ICRS to a system."""
    return SkyCoord(CartesianRepresentation(np.eye(3)), frame="icrs").transform_to(system).cartesian.xyz.value


def rotated(ra: float | np.ndarray, dec: float | np.ndarray, system: str) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude (n,), degrees, of ICRS positions in GALACTIC or ECLIPTIC coordinates."""
    x, y, z = _axes(system) @ unit_vectors(ra, dec).T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(np.clip(z, -1, 1)))


def separation(ra1, dec1, ra2, dec2) -> np.ndarray:
    """Great-circle distance in degrees (haversine: exact for small distances, RA 0 and poles alike)."""
    ra1, dec1, ra2, dec2 = (np.radians(np.asarray(v, float)) for v in (ra1, dec1, ra2, dec2))
    h = np.sin((dec2 - dec1) / 2) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(h, 0, 1))))


def cone(ra: float, dec: float, radius_deg: float, field: str = "hpx") -> Q:
    """Condition on the column `field` that holds for every position within `radius_deg`, and for few others."""
    from astropy import units
    from astropy.coordinates import Latitude, Longitude

    radius = min(max(radius_deg * 1.01, 1e-6), 180.0)
    depth = int(np.clip(np.floor(np.log2(58.6 / radius)) + 1, 0, ORDER))
    pixels, orders, _ = cone_search(
        Longitude(ra * units.deg), Latitude(dec * units.deg), radius * units.deg, depth, flat=False
    )
    shift = 2 * (ORDER - orders.astype(np.int64))
    low, high = pixels.astype(np.int64) << shift, (pixels.astype(np.int64) + 1) << shift
    order = np.argsort(low)
    found, start, end = Q(pk__in=[]), None, None
    for a, b in zip(low[order].tolist(), high[order].tolist()):
        if start is not None and a <= end:
            end = max(end, b)
            continue
        if start is not None:
            found |= Q(**{f"{field}__gte": start, f"{field}__lt": end})
        start, end = a, b
    return found | Q(**{f"{field}__gte": start, f"{field}__lt": end})


def direction(ra1: float, dec1: float, ra2: float, dec2: float) -> str:
    """The side of the first position (degrees) on which the second lies, as one of eight words: `north-east`."""
    start, end, turn = np.radians(dec1), np.radians(dec2), np.radians(ra2 - ra1)
    north = np.cos(start) * np.sin(end) - np.sin(start) * np.cos(end) * np.cos(turn)
    eighth = round(np.degrees(np.arctan2(np.sin(turn) * np.cos(end), north)) / 45) % 8
    return ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")[eighth]


def unit_vectors(ra, dec) -> np.ndarray:
    """Unit vectors, shape (n, 3), of positions in degrees."""
    ra, dec = np.radians(np.atleast_1d(ra)), np.radians(np.atleast_1d(dec))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def between(start: tuple[float, float], end: tuple[float, float], share: float) -> tuple[float, float]:
    """The position that lies `share` of the way from one (ra, dec) in degrees to another, near it."""
    x, y, z = (1 - share) * unit_vectors(*start)[0] + share * unit_vectors(*end)[0]
    return float(np.degrees(np.arctan2(y, x)) % 360), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def contains(corners: np.ndarray, ra, dec) -> np.ndarray:
    """Which positions lie inside the convex spherical polygon with `corners` (4, 2), degrees, in either sense."""
    edge = unit_vectors(corners[:, 0], corners[:, 1])
    inside = unit_vectors(ra, dec) @ np.cross(edge, np.roll(edge, -1, axis=0)).T
    return np.all(inside >= 0, axis=1) | np.all(inside <= 0, axis=1)


def distance_to(corners: np.ndarray, ra: float, dec: float) -> float:
    """Degrees from a position to the nearest point of the convex spherical polygon with `corners` (4, 2); 0 inside."""
    if contains(corners, ra, dec)[0]:
        return 0.0
    start, position = unit_vectors(corners[:, 0], corners[:, 1]), unit_vectors(ra, dec)[0]
    end = np.roll(start, -1, axis=0)
    pole = np.cross(start, end)
    pole /= np.maximum(np.linalg.norm(pole, axis=1), 1e-30)[:, None]
    height = pole @ position
    foot = position - height[:, None] * pole  # on the great circle of each edge
    beside = (np.sum(np.cross(start, foot) * pole, axis=1) > 0) & (np.sum(np.cross(foot, end) * pole, axis=1) > 0)
    to_edges = np.degrees(np.arcsin(np.clip(np.abs(height[beside]), 0, 1)))
    return float(min([*to_edges, *separation(ra, dec, corners[:, 0], corners[:, 1])]))


def positions_within(corners: np.ndarray, n: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """RA and Dec (n²,), degrees, of an n × n grid of points in the footprint `corners` (4, 2)."""
    u, v = (np.arange(n) + 0.5) / n, (np.arange(n)[:, None] + 0.5) / n
    p = unit_vectors(corners[:, 0], corners[:, 1])
    grid = ((1 - u) * (1 - v))[..., None] * p[0] + (u * (1 - v))[..., None] * p[1]
    grid = grid + (u * v)[..., None] * p[2] + ((1 - u) * v)[..., None] * p[3]
    grid = (grid / np.linalg.norm(grid, axis=-1, keepdims=True)).reshape(-1, 3)
    return np.degrees(np.arctan2(grid[:, 1], grid[:, 0])), np.degrees(np.arcsin(grid[:, 2]))


def overlap_fraction(searched: np.ndarray, other: np.ndarray, n: int = 32) -> float:
    """Part of the footprint `searched` (4, 2) that `other` covers, by an n × n grid of points."""
    return float(np.mean(contains(other, *positions_within(searched, n))))


def centre_and_radius(corners: np.ndarray) -> tuple[float, float, float]:
    """Centre (ra, dec) and the largest distance of a corner from it, degrees."""
    middle = unit_vectors(corners[:, 0], corners[:, 1]).mean(axis=0)
    middle /= np.linalg.norm(middle)
    ra = float(np.degrees(np.arctan2(middle[1], middle[0])) % 360)
    dec = float(np.degrees(np.arctan2(middle[2], np.hypot(middle[0], middle[1]))))
    return ra, dec, float(separation(ra, dec, corners[:, 0], corners[:, 1]).max())


def parse_position(text: str) -> tuple[float, float]:
    """(ra, dec) in degrees from `35.4 -4.7`, `02:21:40.3 -04:44:08`, `02h21m40s -04d44m08s`; ValueError otherwise."""
    parts = text.replace(",", " ").split()
    if len(parts) == 6:
        parts = [":".join(parts[:3]), ":".join(parts[3:])]
    if len(parts) != 2:
        raise ValueError(f"'{text}' is not a position: give ra and dec, e.g. 35.418 -4.736 or 02:21:40.3 -04:44:08")
    sexagesimal = any(mark in parts[0] for mark in ":hH")
    try:
        ra = Angle(parts[0], unit="hourangle" if sexagesimal else "deg").deg
        dec = Angle(parts[1], unit="deg").deg
    except ValueError as error:
        raise ValueError(f"'{text}' is not a position: {error}") from None
    if not (np.isfinite(ra) and -90 <= dec <= 90):
        raise ValueError(f"'{text}' is not a position on the sky")
    return float(ra % 360), float(dec)
