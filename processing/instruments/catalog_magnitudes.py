"""Magnitudes of catalogue stars in a filter: by the tables of a photometric system, or as the catalogue has them."""

from __future__ import annotations

import numpy as np

from processing.errors import EmptyCatalog
from processing.instruments.photometry_tables import Transformation, transformations

Magnitudes = tuple[np.ndarray, np.ndarray, np.ndarray]  # magnitudes, errors, colours: (n,) each, NaN: unknown
_COLORS = {"u": ("u", "g"), "g": ("g", "r"), "r": ("g", "r"), "i": ("r", "i"), "z": ("i", "z"), "y": ("z", "y")}
_ROUGH = ("mag_G", "mag_r", "mag_i", "mag_g")  # how bright a star is, where nothing leads to the filter
_UNTOLD = 0.02  # mag, error of magnitudes that come without


def precise(stars: np.ndarray, system: str, band: str, table: str = "") -> Magnitudes:
    """Magnitudes that can calibrate; EmptyCatalog where the catalogue has none that lead to the band."""
    rows = _applicable(stars, system, band, table)
    if not rows:
        return _own(stars, band, system)
    magnitude, error = np.full(len(stars), np.nan), np.full(len(stars), np.nan)
    for row in rows:
        found, spread = row(stars)
        new = np.isnan(magnitude) & np.isfinite(found)
        magnitude[new], error[new] = found[new], spread[new]
    return magnitude, error, rows[0].color(stars)


def rough(stars: np.ndarray, system: str, band: str) -> Magnitudes:
    """Magnitudes of as many stars as possible: to tell bright stars from faint ones."""
    if not (rows := _applicable(stars, system, band, "")):
        there = [name for name in _ROUGH if name in stars.dtype.names]
        if f"mag_{band}" in stars.dtype.names or "mag_G" not in there:
            return _own(stars, band, system)
        magnitude = stars["mag_G"].astype(float)
        return magnitude, np.full(len(stars), _UNTOLD), np.full(len(stars), np.nan)
    magnitude, error = rows[0](stars, anywhere=True)
    unknown = np.isnan(magnitude)
    base = next(name for name in (*_ROUGH, rows[0].magnitude) if name in stars.dtype.names)
    magnitude[unknown] = stars[base][unknown]
    return magnitude, error, rows[0].color(stars)


def _applicable(stars: np.ndarray, system: str, band: str, table: str) -> list[Transformation]:
    return [row for row in transformations(system, band, table) if row.is_for(stars.dtype.names)]


def _own(stars: np.ndarray, band: str, system: str) -> Magnitudes:
    """The magnitudes of the catalogue itself."""
    names = stars.dtype.names
    if f"mag_{band}" not in names:
        has = ", ".join(name.removeprefix("mag_") for name in names if name.startswith("mag_")) or "none"
        hint = (
            f"it has no magnitudes in filter '{band}' (it has {has}), and no table of '{system}' leads to them; "
            "import one that has, or name the filter so, or bring a table (photocal.photometry_table)"
        )
        raise EmptyCatalog(catalog="at hand", found=0, needed=1, hint=hint)
    magnitude = stars[f"mag_{band}"].astype(float)
    error = stars[f"err_{band}"].astype(float) if f"err_{band}" in names else np.full(len(stars), _UNTOLD)
    blue, red = (f"mag_{name}" for name in _COLORS.get(band, ("", "")))
    known = {blue, red} <= set(names)
    color = stars[blue].astype(float) - stars[red].astype(float) if known else np.full(len(stars), np.nan)
    return magnitude, error, color
