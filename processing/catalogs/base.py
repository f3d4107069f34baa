"""What a star catalogue must offer, and the reading of tables that people bring."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.table import Table
from astropy.units import Unit, UnitConversionError, UnrecognizedUnit

from processing.admission.admitting import ensure_admitted
from processing.errors import BadInput
from processing.plugins import Plugin

_POSITIONS = {
    "ra": ("ra", "ra_icrs", "raj2000", "radeg", "coord_ra"),
    "dec": ("dec", "de_icrs", "decj2000", "dej2000", "decdeg", "coord_dec"),
    "pmra": ("pmra", "pm_ra", "pmra_cosdec"),
    "pmdec": ("pmdec", "pmde", "pm_dec"),
}
_STAR = ("is_star", "starnotgal", "star")
_BANDS = ("u", "g", "r", "i", "z", "y", "B", "V", "R", "I", "J", "H", "K")
_FITS_NAME = re.compile(r"\.(?:fits?|fts)(?:\.gz)?$", re.IGNORECASE)
_PLAUSIBLE = (-5.0, 40.0)  # magnitudes; surveys write −9999 or 99 for what they did not measure


class StarCatalogSource(Plugin):
    """A star catalogue."""

    package = "processing.catalogs"
    epoch: ClassVar[float] = 2000.0  # of its positions, Julian year

    def fetch(self, ra: float, dec: float, radius: float, faintest: float) -> np.ndarray:
        """Stars within `radius` degrees of a position (degrees) down to a magnitude: the array of `star_table`."""
        raise NotImplementedError


def star_table(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Stars as a structured array: ra, dec (f8, ICRS degrees), pmra, pmdec (f8, mas/yr, NaN unknown), `mag_*`, `err_*`
    (f4, NaN unknown) and is_star (bool). Rows without a position are left out."""
    n = len(columns["ra"])
    unknown = np.full(n, np.nan)
    motion = {name: columns.get(name, unknown) for name in ("pmra", "pmdec")}
    mags = {name: values for name, values in columns.items() if name.startswith(("mag_", "err_"))}
    dtype = [(name, "f8") for name in ("ra", "dec", *motion)] + [(name, "f4") for name in mags] + [("is_star", "?")]
    table = np.zeros(n, dtype)
    for name, values in {**{k: columns[k] for k in ("ra", "dec")}, **motion, **mags}.items():
        table[name] = values
    table["is_star"] = columns.get("is_star", np.ones(n, bool))
    for name in mags:
        low, high = _PLAUSIBLE if name.startswith("mag_") else (0.0, 10.0)
        implausible = ~((table[name] >= low) & (table[name] <= high))
        table[name][implausible] = np.nan
    here = np.isfinite(table["ra"]) & np.isfinite(table["dec"]) & (np.abs(table["dec"]) <= 90)
    return table[here]


def read_catalog(path: Path) -> np.ndarray:
    """Stars of a table file (FITS, CSV, ECSV, VOTable) as `star_table` gives them. BadInput says what is missing."""
    if not Path(path).is_file():
        raise BadInput(what=str(path), reason="there is no such file")
    if _FITS_NAME.search(Path(path).name):
        ensure_admitted(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Table.read(path)
    except Exception as error:  # every format has its own way of being unreadable
        text = " ".join(str(error).split())
        if "Format could not be identified" in text:
            text = "its ending tells no format; let it end in .fits, .csv, .ecsv or .vot (VOTable)"
        raise BadInput(what=str(path), reason=f"it cannot be read as a table: {text[:150]}") from error
    if "phot_g_mean_mag" in found.colnames:
        from processing.catalogs.gaia import COLUMNS, from_gaia
        from processing.catalogs.synthetic import gspc_columns

        if missing := [name for name in COLUMNS if name not in found.colnames]:
            raise BadInput(what=str(path), reason=f"it is a table of Gaia without {', '.join(missing)}")
        return from_gaia({name: floats(found[name]) for name in (*COLUMNS, *gspc_columns(found.colnames))})
    lower = {name.lower(): name for name in found.colnames}

    def column(*wanted: str, unit: str = "") -> np.ndarray | None:
        for name in wanted:
            if name in found.colnames:
                return _numbers(found[name], unit, path)
        return None

    there = f"it has {', '.join(found.colnames[:20])}"
    columns = {
        name: column(*(lower.get(one, "") for one in wanted), unit="mas/yr" if name.startswith("pm") else "deg")
        for name, wanted in _POSITIONS.items()
    }
    for name in ("ra", "dec"):
        if columns[name] is None:
            reason = f"it has no column {name} (ICRS degrees; or {', '.join(_POSITIONS[name][1:])}); {there}"
            raise BadInput(what=str(path), reason=reason)
    others = [match[1] for name in found.colnames if (match := re.fullmatch(r"mag_(?!err)(\w+?)(?<!_err)", name))]
    for band in dict.fromkeys((*_BANDS, *others)):  # exact spellings: `r` and `R` are different filters
        columns[f"mag_{band}"] = column(*_spellings(band, ("mag_{}", "{}mag", "{}_mag", "psfMag_{}", "{}")))
        if columns[f"mag_{band}"] is not None:
            errors = column(*_spellings(band, ("err_{}", "{}_err", "e_{}mag", "{}err", "psfMagErr_{}")))
            columns[f"err_{band}"] = np.full(len(found), 0.02) if errors is None else errors
    is_star = column(*_STAR)
    columns["is_star"] = None if is_star is None else np.nan_to_num(is_star) > 0
    if not any(name.startswith("mag_") and values is not None for name, values in columns.items()):
        raise BadInput(what=str(path), reason=f"it has no magnitudes; name their columns mag_g, mag_r, …; {there}")
    table = star_table({name: values for name, values in columns.items() if values is not None})
    if len(table) and not any(np.isfinite(table[name]).any() for name in table.dtype.names if name.startswith("mag_")):
        low, high = _PLAUSIBLE
        raise BadInput(what=str(path), reason=f"no magnitude in it is between {low:g} and {high:g}")
    return table


def _spellings(band: str, patterns: tuple[str, ...]) -> list[str]:
    return [pattern.format(band) for pattern in patterns]


def _numbers(column: Any, unit: str, path: Path) -> np.ndarray:
    """A column as floats, in `unit` where it has a unit of its own; BadInput where it is text."""
    try:
        values = floats(column)
    except (TypeError, ValueError) as error:
        kind = f"numbers{f' in {unit}' if unit else ''}"
        reason = f"the column {column.name} holds {str(column[0])!r}; {kind} are needed"
        raise BadInput(what=str(path), reason=reason) from error
    if unit and column.unit is not None and not isinstance(column.unit, UnrecognizedUnit):
        try:
            return values * Unit(column.unit).to(unit)
        except (UnitConversionError, ValueError, TypeError) as error:
            reason = f"the column {column.name} is in {column.unit}, which cannot be brought to {unit}"
            raise BadInput(what=str(path), reason=reason) from error
    return values


def floats(column: Any) -> np.ndarray:
    """A column as float64 (n,), NaN where it is masked."""
    return np.ma.filled(np.ma.asarray(column, float), np.nan)
