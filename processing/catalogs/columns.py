"""What the columns of star tables mean: names and units of the Gaia archive, VizieR, LSST, and of tables of people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from astropy.table import Table
from astropy.units import Unit, UnitConversionError, UnrecognizedUnit

from processing.catalogs.base import FLAGS, star_table
from processing.catalogs.synthetic import POGSON, gspc_columns, gspc_magnitudes
from processing.errors import BadInput
from products.models import CatalogExcerpt

NAMES = {  # column of `star_table` -> what it is called elsewhere, in any case
    "ra": ("ra", "ra_icrs", "raj2000", "radeg", "coord_ra"),
    "dec": ("dec", "de_icrs", "decj2000", "dej2000", "decdeg", "coord_dec"),
    "ra_error": ("ra_error", "ra_err", "e_ra_icrs", "coord_raerr"),
    "dec_error": ("dec_error", "dec_err", "e_de_icrs", "coord_decerr"),
    "pmra": ("pmra", "pm_ra", "pmra_cosdec"),
    "pmdec": ("pmdec", "pmde", "pm_dec"),
    "pmra_error": ("pmra_error", "pmra_err", "e_pmra", "pm_raerr"),
    "pmdec_error": ("pmdec_error", "pmdec_err", "e_pmde", "pm_decerr"),
    "parallax": ("parallax", "plx"),
    "parallax_error": ("parallax_error", "parallax_err", "e_plx", "parallaxerr"),
    "ruwe": ("ruwe",),
    "is_star": ("is_star", "starnotgal", "star"),
    "is_variable": ("is_variable", "phot_variable_flag", "varflag"),
    "is_duplicate": ("is_duplicate", "duplicated_source", "dup"),
}
IDENTITIES = ("source_id", "source", "id")  # columns of whole numbers, of which floats would lose digits
_ANGLES_A_YEAR = {"rad", "mas", "arcsec", "deg"}  # of proper motions, as reference catalogues of LSST say it
_BANDS = ("u", "g", "r", "i", "z", "y", "B", "V", "R", "I", "J", "H", "K")
_MAGNITUDES = ("mag_{}", "{}mag", "{}_mag", "psfMag_{}", "{}")
_ERRORS = ("err_{}", "{}_err", "e_{}mag", "{}err", "psfMagErr_{}")
_OTHER = re.compile(r"mag_(?!err)(\w+?)(?<!_err)")
# Magnitudes of Gaia in G, BP and RP: the name of the magnitude, and of what tells its error, in each kind of table.
_GAIA = {
    "archive": ("phot_{}_mean_mag", "phot_{}_mean_flux_over_error", ("g", "bp", "rp")),
    "vizier": ("{}mag", "e_{}mag", ("G", "BP", "RP")),
    "lsst": ("phot_{}_mean_flux", "phot_{}_mean_fluxErr", ("g", "bp", "rp")),
    "ours": ("mag_{}", "err_{}", ("G", "BP", "RP")),
}
# AB − Vega magnitudes of G, BP, RP by the zero points of Gaia EDR3 (documentation, table 5.2); LSST keeps AB fluxes.
_AB_MINUS_VEGA = (25.8010 - 25.6874, 25.3540 - 25.3385, 25.1040 - 24.7479)


def used(names: Iterable[str]) -> list[str]:
    """Those of the columns of a table that `stars_of` may read; the other ones need not be loaded."""
    known = {other for others in NAMES.values() for other in others} | set(IDENTITIES)
    known |= {form.format(band).lower() for form in (*_MAGNITUDES, *_ERRORS) for band in _BANDS}
    known |= {form.format(band).lower() for *forms, bands in _GAIA.values() for form in forms for band in bands}
    known.update(gspc_columns(names := list(names)))
    return [name for name in names if name.lower() in known or name.startswith(("mag_", "err_"))]


def stars_of(found: Table, what: str) -> np.ndarray:
    """The stars of a table as `star_table` gives them; `what` names it in the BadInput that says what is missing.

    `found.meta["names"]` may have the names of all its columns, where only those of use were read.
    """
    if several := [name for name in used(found.colnames) if found[name].ndim > 1]:
        raise BadInput(what=what, reason=f"the column {several[0]} holds several values a row; one is needed")
    lower = {name.lower(): name for name in found.colnames}
    columns: dict[str, Any] = {}
    for name, others in NAMES.items():
        own = next((lower[other] for other in others if other in lower), None)
        if own is not None:
            flag = name in FLAGS or name == "is_star"
            columns[name] = _flag(found[own]) if flag else numbers(found[own], CatalogExcerpt.UNITS.get(name, ""), what)
    there = f"it has {', '.join(found.meta.get('names', found.colnames)[:20])}"
    for name in ("ra", "dec"):
        if name not in columns:
            reason = f"it has no column {name} (ICRS degrees; or {', '.join(NAMES[name][1:])}); {there}"
            raise BadInput(what=what, reason=reason)
    own = next((lower[name] for name in IDENTITIES if name in lower), None)
    if own is not None and found[own].dtype.kind in "iu":
        columns["source_id"] = np.ma.filled(np.ma.asarray(found[own]), 0).astype(np.int64)
    magnitudes = _gaia(found, lower, what) | _magnitudes(found, what)
    if not any(name.startswith("mag_") for name in magnitudes):
        raise BadInput(what=what, reason=f"it has no magnitudes; name their columns mag_g, mag_r, …; {there}")
    return star_table(columns | magnitudes)


def _magnitudes(found: Table, what: str) -> dict[str, np.ndarray]:
    """Magnitudes and errors of every band that is named in one of the usual ways; exact case: r and R differ."""
    columns = {}
    others = [match[1] for name in found.colnames if (match := _OTHER.fullmatch(name))]
    for band in dict.fromkeys((*_BANDS, *others)):
        own = next((name for form in _MAGNITUDES if (name := form.format(band)) in found.colnames), None)
        if own is None:
            continue
        columns[f"mag_{band}"] = numbers(found[own], "", what)
        error = next((name for form in _ERRORS if (name := form.format(band)) in found.colnames), None)
        columns[f"err_{band}"] = np.full(len(found), 0.02) if error is None else numbers(found[error], "", what)
    return columns


def _gaia(found: Table, lower: dict[str, str], what: str) -> dict[str, np.ndarray]:
    """Magnitudes G, BP, RP (Vega, as Gaia publishes them) and those in g, r, i that follow; none of another table."""
    from processing.catalogs.gaia import magnitudes

    for kind, (form, error_form, bands) in _GAIA.items():
        names = [form.format(band) for band in bands]
        if names[0] not in found.colnames or (kind == "lsst" and str(found[names[0]].unit) != "nJy"):
            continue
        if missing := [name for name in names if name not in found.colnames]:
            raise BadInput(what=what, reason=f"it is a table of Gaia without {', '.join(missing)}")
        values = [numbers(found[name], "", what) for name in names]
        spread = [lower.get(error_form.format(band).lower()) for band in bands]
        errors = [np.full(len(found), np.nan) if own is None else numbers(found[own], "", what) for own in spread]
        with np.errstate(invalid="ignore", divide="ignore"):
            if kind == "archive":
                errors = [POGSON / ratio for ratio in errors]
            elif kind == "lsst":
                errors = [POGSON * error / flux for error, flux in zip(errors, values)]
                values = [31.4 - 2.5 * np.log10(flux) - ab for flux, ab in zip(values, _AB_MINUS_VEGA)]
        synthetic = {name: numbers(found[name], "", what) for name in gspc_columns(found.colnames)}
        return magnitudes(*values, *errors) | gspc_magnitudes(synthetic)
    return {}


def numbers(column: Any, unit: str, what: str) -> np.ndarray:
    """A column as floats (n,), NaN where masked, in `unit` where it has one of its own; BadInput where it is text."""
    try:
        values = np.ma.filled(np.ma.asarray(column, float), np.nan)
    except (TypeError, ValueError) as error:
        kind = f"numbers{f' in {unit}' if unit else ''}"
        reason = f"the column {column.name} holds {str(column[0])!r}; {kind} are needed"
        raise BadInput(what=what, reason=reason) from error
    if unit and column.unit is not None and not isinstance(column.unit, UnrecognizedUnit):
        own = Unit(column.unit)
        if unit.endswith("/yr") and str(own) in _ANGLES_A_YEAR:
            own = own / Unit("yr")
        try:
            return values * own.to(unit)
        except (UnitConversionError, ValueError, TypeError) as error:
            reason = f"the column {column.name} is in {column.unit}, which cannot be brought to {unit}"
            raise BadInput(what=what, reason=reason) from error
    return values


def _flag(column: Any) -> np.ndarray:
    """A column of yes and no (n,), however it is written; False where it is masked or unknown."""
    values = np.ma.asarray(column)
    if values.dtype.kind in "OSU":
        said = np.char.strip(np.char.upper(np.ma.filled(values, "").astype("U16")))
        return np.isin(said, ("VARIABLE", "TRUE", "T", "1", "Y", "YES"))
    return np.nan_to_num(np.ma.filled(values.astype(float), 0.0)) > 0
