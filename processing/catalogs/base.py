"""What a star catalogue must offer, and the table of stars that all of them give."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import ClassVar

import numpy as np

from processing.plugins import Plugin

_PLAUSIBLE = (-5.0, 40.0)  # magnitudes; surveys write −9999 or 99 for what they did not measure
ASTROMETRY = (
    "ra_error",
    "dec_error",
    "pmra_error",
    "pmdec_error",
    "parallax",
    "parallax_error",
    "ruwe",
)  # f4, NaN unknown
FLAGS = ("is_variable", "is_duplicate")

# Called by a catalogue before it asks the network, and as something comes: whoever waits for it learns that it lives.
heartbeat: ContextVar[Callable[[], None]] = ContextVar("heartbeat", default=lambda: None)


class StarCatalogSource(Plugin):
    """A star catalogue."""

    package = "processing.catalogs"
    epoch: ClassVar[float] = 2000.0  # of its positions, Julian year
    is_fetched: ClassVar[bool] = True  # whether `fetch` may bring stars
    # Stars are fetched and kept by HEALPix cells of this order: 6 are cells of 0.92°, of which a CCD touches few.
    cell_order: ClassVar[int] = 6
    limited_by: ClassVar[str] = ""  # column of the magnitude that `faintest` limits; stars beyond it are left out

    def fetch(self, ra: float, dec: float, radius: float, faintest: float) -> np.ndarray:
        """All stars within `radius` degrees of a position (degrees) down to a magnitude: the array of `star_table`.

        More may come. CatalogAway where the catalogue cannot be asked now, BadInput where it never can.
        """
        raise NotImplementedError


def star_table(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Stars as a structured array; rows without a position are left out.

    Always: ra, dec (f8, ICRS degrees), pmra, pmdec (f8, mas/yr with cos δ, NaN unknown), is_star (bool). Where they are
    given: ra_error (of ra·cos δ), dec_error, parallax, parallax_error (f4, mas), pmra_error, pmdec_error (f4, mas/yr),
    ruwe (f4), `mag_*`, `err_*` (f4, mag; NaN unknown), is_variable, is_duplicate (bool), source_id (i8).
    """
    n = len(columns["ra"])
    motion = {name: columns.get(name, np.full(n, np.nan)) for name in ("pmra", "pmdec")}
    mags = [name for name in columns if name.startswith(("mag_", "err_"))]
    errors = [name for name in ASTROMETRY if name in columns]
    flags = [name for name in FLAGS if name in columns]
    identity = [name for name in ("source_id",) if name in columns]
    dtype = [(name, "f8") for name in ("ra", "dec", *motion)] + [(name, "f4") for name in (*errors, *mags)]
    dtype += [(name, "i8") for name in identity] + [(name, "?") for name in ("is_star", *flags)]
    table = np.zeros(n, dtype)
    for name in ("ra", "dec", *errors, *mags, *identity, *flags):
        table[name] = columns[name]
    for name, values in motion.items():
        table[name] = values
    table["is_star"] = columns.get("is_star", np.ones(n, bool))
    for name in mags:
        low, high = _PLAUSIBLE if name.startswith("mag_") else (0.0, 10.0)
        implausible = ~((table[name] >= low) & (table[name] <= high))
        table[name][implausible] = np.nan
    here = np.isfinite(table["ra"]) & np.isfinite(table["dec"]) & (np.abs(table["dec"]) <= 90)
    return table[here]


def has_magnitudes(table: np.ndarray) -> bool:
    """Whether any star has any magnitude."""
    return any(np.isfinite(table[name]).any() for name in table.dtype.names if name.startswith("mag_"))


def joined(tables: list[np.ndarray]) -> np.ndarray:
    """Rows of all tables, one after the other; a column that some lack is unknown there (NaN, 0 or False)."""
    if len({table.dtype for table in tables}) == 1:
        return np.concatenate(tables)
    dtypes = {name: table.dtype[name] for table in tables for name in table.dtype.names}
    whole = np.zeros(sum(map(len, tables)), list(dtypes.items()))
    start = 0
    for table in tables:
        part = whole[start : start + len(table)]
        for name, dtype in dtypes.items():
            if name in table.dtype.names:
                part[name] = table[name]
            elif dtype.kind == "f":
                part[name] = np.nan
        start += len(table)
    return whole
