"""Synthetic photometry of Gaia DR3: magnitudes of the GSPC, which were made from its spectra."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

_BANDS = tuple(f"{band}_sdss" for band in "ugriz")  # the y of PS1 in it is known to be wrong
POGSON = 2.5 / np.log(10)  # mag of a relative error of the flux
_PARTS = ("mag", "flux", "flux_error")


def gspc_columns(names: Iterable[str]) -> list[str]:
    """Those of the columns of a table that are of the GSPC and are used."""
    wanted = {f"{band}_{part}" for band in _BANDS for part in _PARTS}
    return [name for name in names if name in wanted]


def gspc_magnitudes(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`mag_*_sdss` (AB) and `err_*_sdss` (n,) from columns named as in the archive; nothing where there are none."""
    found = {}
    for band in _BANDS:
        if f"{band}_mag" not in columns:
            continue
        found[f"mag_{band}"] = columns[f"{band}_mag"]
        flux, error = (columns.get(f"{band}_{part}") for part in ("flux", "flux_error"))
        if flux is not None and error is not None:
            with np.errstate(invalid="ignore", divide="ignore"):
                found[f"err_{band}"] = POGSON * error / flux
    return found
