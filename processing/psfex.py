"""Files that PSFEx wrote: the model of one image, or the models of many CCDs merged into one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from processing.algorithms.psf_model import PSFModel
from processing.algorithms.psfex_model import PSFExBasis, psfex_model
from processing.errors import BadInput

_POSITIONS = ("X_IMAGE", "Y_IMAGE")


def read_psfex(path: Path, shape: tuple[int, int], *, ccd: str = "") -> PSFModel:
    """The PSF in the file `path`, of an image of `shape` (ny, nx).

    In a file with a row for each CCD (columns `psf_mask`, `polzero1` … and `ccdname`) `ccd` names the row; it may be
    left out where there is one. Raises BadInput for a file without such a model, or for a PSF that depends on more than
    position.
    """
    try:
        with fits.open(path, memmap=False) as file:
            table = next((hdu for hdu in file if isinstance(hdu, fits.BinTableHDU)), None)
            if table is None or "PSF_MASK" not in (name.upper() for name in table.columns.names):
                raise BadInput(what=str(path), reason="no table with the column PSF_MASK, so no file of PSFEx")
            row = _row(path, table.data, ccd)
            values = {key.upper(): value for key, value in table.header.items()}
            values |= {name.upper(): _plain(table.data[name][row]) for name in table.columns.names}
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(what=str(path), reason=f"not readable as a FITS table ({error})") from None
    return psfex_model(_planes(values), _basis(path, values), shape)


def _row(path: Path, rows: np.ndarray, ccd: str) -> int:
    names = [str(name).strip() for name in rows["ccdname"]] if "ccdname" in (n.lower() for n in rows.names) else []
    if ccd and names:
        if ccd not in names:
            raise BadInput(what=str(path), reason=f"no CCD {ccd}; there are: {', '.join(sorted(names))}")
        return names.index(ccd)
    if len(rows) != 1:
        raise BadInput(what=str(path), reason=f"{len(rows)} models; the CCD must be named")
    return 0


def _plain(value: Any) -> Any:
    return str(value).strip() if isinstance(value, (str, bytes)) else np.asarray(value)


def _planes(values: dict[str, Any]) -> np.ndarray:
    planes = np.asarray(values["PSF_MASK"], float)
    return planes[None] if planes.ndim == 2 else planes


def _basis(path: Path, values: dict[str, Any]) -> PSFExBasis:
    try:
        names = tuple(str(values[f"POLNAME{k}"]).strip() for k in (1, 2)) if int(values.get("POLNAXIS", 2)) else ()
        if names != _POSITIONS or int(values.get("POLNGRP", 1)) != 1:
            raise BadInput(what=str(path), reason=f"a PSF that depends on {names}; only position is understood")
        return PSFExBasis(
            degree=int(values["POLDEG1"]),
            zero=(float(values["POLZERO1"]), float(values["POLZERO2"])),
            scale=(float(values["POLSCAL1"]), float(values["POLSCAL2"])),
            sampling=float(values["PSF_SAMP"]),
            fwhm=float(values["PSF_FWHM"]),
            n_stars=int(values.get("ACCEPTED", 0)),
            chi2=float(values.get("CHI2", 0.0)),
        )
    except KeyError as error:
        raise BadInput(what=str(path), reason=f"the keyword {error.args[0]} is missing") from None
