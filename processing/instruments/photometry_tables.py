"""Magnitudes in the filters of an instrument from those of a catalogue, by polynomials of colour that are data.

The table of a photometric system is `tables/<system>_photometry.ecsv` here. One of an archive's own, in the same form,
is `instruments/<system>_photometry_<name>.ecsv` in the data folder: `photocal.photometry_table` names it, so that the
provenance says which was used. Rows are tried in their order, star by star: the first that is good for a star counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from processing.algorithms.zero_point import polynomial_magnitude
from processing.errors import BadInput
from processing.instruments.section_tables import own_path, read_table, table_path

_COEFFICIENTS = ("c0", "c1", "c2", "c3", "c4")
_RANGES = ("color_min", "color_max", "mag_min", "mag_max")
_TEXTS = ("filter", "magnitude", "blue", "red", "source")
COLUMNS = (*_TEXTS, *_COEFFICIENTS, *_RANGES, "scatter")


@dataclass(frozen=True)
class Transformation:
    """m = magnitude − Σ cᵢ (blue − red)ⁱ."""

    filter: str
    magnitude: str  # columns of the catalogue
    blue: str
    red: str
    coefficients: tuple[float, ...]
    color_range: tuple[float, float]
    mag_range: tuple[float, float]
    scatter: float  # mag of one star; NaN: unknown
    source: str

    def is_for(self, names: tuple[str, ...]) -> bool:
        """Whether a catalogue with these columns has what it needs."""
        return {self.magnitude, self.blue, self.red} <= set(names)

    def color(self, stars: np.ndarray) -> np.ndarray:
        """The colour (n,) mag."""
        return stars[self.blue].astype(float) - stars[self.red].astype(float)

    def __call__(self, stars: np.ndarray, *, anywhere: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Magnitudes (n,) and their errors, NaN where it is not good for a star (nowhere, if `anywhere`).

        The errors are those that the catalogue gives; what stars scatter around the polynomial the fit finds out.
        """
        base, color = stars[self.magnitude].astype(float), self.color(stars)
        found = polynomial_magnitude(base, color, self.coefficients)
        if not anywhere:
            good = (color >= self.color_range[0]) & (color <= self.color_range[1])
            good &= (base >= self.mag_range[0]) & (base <= self.mag_range[1])
            found[~good] = np.nan
        slope = np.polynomial.polynomial.polyval(color, np.polynomial.polynomial.polyder(self.coefficients))
        own, blue, red = (_error(stars, name) for name in (self.magnitude, self.blue, self.red))
        return found, np.sqrt(own**2 + slope**2 * (blue**2 + red**2))


def _error(stars: np.ndarray, column: str) -> np.ndarray:
    name = column.replace("mag_", "err_", 1)
    return np.nan_to_num(stars[name].astype(float)) if name in stars.dtype.names else np.zeros(len(stars))


def transformations(system: str, band: str, table: str = "") -> tuple[Transformation, ...]:
    """What leads to the magnitudes in `band`, the best first; those of an archive's own `table` go before the others.

    BadInput where a table is missing or cannot be used.
    """
    paths = [table_path(system, "photometry")]
    if table:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", table):
            raise BadInput(what=f"photometry table '{table}'", reason="name it by letters, digits, dots and dashes")
        paths.insert(0, own_path(system, f"photometry_{table}"))
        if not paths[0].is_file() and not own_path(system, f"zero_points_{table}").is_file():
            raise BadInput(what=f"photometry table '{table}'", reason=f"there is no file {paths[0]}")
    found = [row for path in paths if path.is_file() for row in _rows(path, path.stat().st_mtime_ns)]
    return tuple(row for row in found if row.filter == band)


@lru_cache(maxsize=16)
def _rows(path: Path, changed: int) -> tuple[Transformation, ...]:
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table.colnames]
    unknown = [name for name in table.colnames if name not in COLUMNS]
    if missing or unknown:
        told = [f"{word} column {', '.join(names)}" for word, names in (("no", missing), ("unknown", unknown)) if names]
        raise BadInput(what=str(path), reason=f"{'; '.join(told)}; there must be: {', '.join(COLUMNS)}")
    return tuple(_row(row, f"{path} row {number}") for number, row in enumerate(table, start=1))


def _row(row: Any, where: str) -> Transformation:
    texts = {name: "" if row[name] is np.ma.masked else str(row[name]).strip() for name in _TEXTS}
    if empty := [name for name, text in texts.items() if not text]:
        raise BadInput(what=where, reason=f"{', '.join(empty)} is empty; a row needs all of {', '.join(_TEXTS)}")
    if wrong := [texts[name] for name in ("magnitude", "blue", "red") if not texts[name].startswith("mag_")]:
        raise BadInput(what=where, reason=f"'{wrong[0]}' is no column of magnitudes; they begin with mag_, e.g. mag_G")
    values = {name: _number(row, name, where) for name in (*_COEFFICIENTS, *_RANGES)}
    if not (values["color_min"] < values["color_max"] and values["mag_min"] < values["mag_max"]):
        raise BadInput(what=where, reason="a range ends before it begins (color_min, color_max, mag_min, mag_max)")
    return Transformation(
        **texts,
        coefficients=tuple(values[name] for name in _COEFFICIENTS),
        color_range=(values["color_min"], values["color_max"]),
        mag_range=(values["mag_min"], values["mag_max"]),
        scatter=np.nan if row["scatter"] is np.ma.masked else _number(row, "scatter", where),
    )


def _number(row: Any, name: str, where: str) -> float:
    try:
        found = float(row[name])
    except (TypeError, ValueError):
        found = np.nan
    if row[name] is np.ma.masked or not np.isfinite(found):
        raise BadInput(what=where, reason=f"{name} = {row[name]} must be a number")
    return found
