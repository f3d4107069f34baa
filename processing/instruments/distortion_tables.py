"""The distortion of each CCD of an instrument as solved exposures tell it, and headers that know of it.

It is a SIP polynomial about the centre of the CCD: displacements in pixels along columns and rows, which neither the
pointing nor the rotation of an exposure changes. The table that comes with the code is
`tables/<instrument>_distortion.ecsv`, that of the archive `instruments/<instrument>_distortion.ecsv` in its data folder
and goes before, CCD by CCD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from processing.algorithms.distortion import Polynomial, displacements, polynomial_of, with_distortion
from processing.algorithms.wcs_fit import wcs_from_header
from processing.errors import BadInput
from processing.instruments.section_tables import own_path, read_table, table_path
from products.storage import whole_file

_UNIT = 1000.0  # px: coefficients are displacements at this distance
_MEANING = {
    "section": (None, "CCD"),
    "i": (None, "power of the distance along columns from the centre of the CCD, in 1000 px"),
    "j": (None, "power of that along rows"),
    "a": ("pix", "displacement along columns"),
    "b": ("pix", "displacement along rows"),
    "scatter": ("pix", "of the displacement between exposures, root mean square over the CCD"),
    "count": (None, "solutions"),
    "source": (None, "where it comes from, and when"),
}
_ORDER = 3
_CLIP, _FLOOR = 5.0, 0.02  # typical distances from the median, px: solutions farther off are left out


@dataclass(frozen=True)
class LearntDistortion:
    """The distortion of a CCD and how well solutions agree on it."""

    polynomial: Polynomial
    scatter: float  # px, root mean square over the CCD of one solution
    count: int  # solutions
    rejected: int
    largest: float  # px, the largest displacement on the CCD


def learn(solved: Sequence[tuple[WCS, float]], shape: tuple[int, int]) -> LearntDistortion:
    """The distortion on which solutions (WCS, weight) of one CCD (ny, nx) agree.

    Displacements are averaged, those far from the median of all are left out, and the mean is fitted.
    """
    found = [polynomial_of(wcs, shape, _ORDER) for wcs, _ in solved]
    weight = np.array([weight for _, weight in solved], float)
    moved = np.array([displacements(one, shape) for one in found])  # (n, points, 2)
    away = np.sqrt(np.mean(np.sum((moved - np.median(moved, axis=0)) ** 2, axis=2), axis=1))
    good = away <= _CLIP * max(float(np.median(away)), _FLOOR)
    mean = {
        key: tuple(
            np.average([one.get(key, (0.0, 0.0)) for one, ok in zip(found, good) if ok], axis=0, weights=weight[good])
        )
        for key in sorted(set().union(*found), key=lambda pair: (sum(pair), pair[1]))
    }
    there = displacements(mean, shape)
    scatter = float(np.sqrt(np.mean((moved[good] - there) ** 2))) if good.sum() > 1 else np.nan
    return LearntDistortion(mean, scatter, len(found), int((~good).sum()), float(np.hypot(*there.T).max()))


def distortion_in_use(instrument: str, section: str) -> Polynomial:
    """The distortion of a CCD by the tables; empty where they tell none. BadInput where one cannot be used."""
    for path in (own_path(instrument, "distortion"), table_path(instrument, "distortion")):
        if path.is_file() and section in (found := _polynomials(path, path.stat().st_mtime_ns)):
            return found[section]
    return {}


def header_with_distortion(header: fits.Header, instrument: str, section: str, shape: tuple[int, int]) -> fits.Header:
    """A rough WCS (of a CCD of (ny, nx)) with the distortion that is known of it; one that has its own stays."""
    polynomial = distortion_in_use(instrument, section)
    if not polynomial:
        return header
    return with_distortion(wcs_from_header(header), polynomial, shape) or header


@lru_cache(maxsize=16)
def _polynomials(path: Path, changed: int) -> dict[str, Polynomial]:
    table = read_table(path)
    if missing := [name for name in ("section", "i", "j", "a", "b") if name not in table.colnames]:
        raise BadInput(what=str(path), reason=f"it has no column {', '.join(missing)}")
    found: dict[str, Polynomial] = {}
    for number, row in enumerate(table, start=1):
        try:
            key, pair = (int(row["i"]), int(row["j"])), (float(row["a"]), float(row["b"]))
        except (TypeError, ValueError, np.ma.MaskError):
            key, pair = (-1, -1), (np.nan, np.nan)
        if min(key) < 0 or not 2 <= sum(key) <= 5 or not np.isfinite(pair).all():
            reason = "i and j must be powers of 2 to 5 together, a and b displacements in px"
            raise BadInput(what=f"{path} row {number}", reason=reason)
        scale = _UNIT ** sum(key)
        found.setdefault(str(row["section"]).strip(), {})[key] = (pair[0] / scale, pair[1] / scale)
    return found


def write_distortions(path: Path, instrument: str, learnt: Mapping[str, LearntDistortion], source: str) -> None:
    """Write a table that `distortion_in_use` reads, whole or not at all; rows of other CCDs that it has stay.

    BadInput where what is there already cannot be used.
    """
    kept = _kept(path, learnt) if path.is_file() else []
    rows = [
        (
            name,
            i,
            j,
            *(round(float(value) * _UNIT ** (i + j), 7) for value in pair),
            round(one.scatter, 5),
            one.count,
            source,
        )
        for name, one in sorted(learnt.items())
        for (i, j), pair in one.polynomial.items()
    ]
    table = Table(rows=sorted(kept + rows, key=lambda row: row[0]), names=list(_MEANING))
    for name, (unit, said) in _MEANING.items():
        table[name].unit, table[name].description = unit, said
    table.meta = {"instrument": instrument}
    with whole_file(path) as partial:
        table.write(partial, format="ascii.ecsv", delimiter=",", overwrite=True)


def _kept(path: Path, learnt: Mapping[str, LearntDistortion]) -> list[tuple]:
    """The rows of a table about other CCDs, in the order of the columns; it need not have those that only inform."""
    _polynomials(path, path.stat().st_mtime_ns)
    unknown = {"scatter": np.nan, "count": 0, "source": ""}
    found = []
    for row in read_table(path):
        said = {name: row[name] for name in row.colnames if row[name] is not np.ma.masked}
        values = {**unknown, **said, "section": str(row["section"]).strip()}
        if values["section"] not in learnt:
            found.append(tuple(values[name] for name in _MEANING))
    return found
