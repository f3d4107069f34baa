"""The last look at a raw CCD, by the process that reads it: a picture, and near where the telescope pointed."""

from __future__ import annotations

import numpy as np

from processing.admission.codes import Code
from processing.algorithms.wcs_fit import footprint, wcs_from_header
from processing.errors import BadExposureFile
from processing.instruments.base import RawSection
from products.models import Exposure
from products.pixel_flags import PixelFlag
from products.sky import separation

_LEAST_FINITE = 0.5  # of the pixels of a CCD
_ABSURD = 1e12  # ADU
_FARTHEST = 5.0  # degrees, of a corner from the position of the exposure


def check_pixels(raw: RawSection, what: str) -> None:
    """BadExposureFile for pixels that are no picture of anything."""
    data = raw.data
    finite = 1.0 if data.dtype.kind in "biu" or not data.size else float(np.isfinite(data).mean())
    if raw.flags is not None and (raw.flags & int(PixelFlag.BAD)).all():
        finite = 0.0
    if data.size == 0 or finite < _LEAST_FINITE:
        few = f"{finite:.0%} of its pixels have" if finite else "no pixel of it has"
        raise BadExposureFile(Code.NO_VALUES, f"{few} a usable value", what)
    low, high = float(np.nanmin(data)), float(np.nanmax(data))
    if low == high:
        raise BadExposureFile(Code.CONSTANT, f"every pixel has the value {low:g}", what)
    if max(high, -low) >= _ABSURD:
        raise BadExposureFile(Code.ABSURD_VALUES, f"its pixels go from {low:g} to {high:g}", what)


def check_place(raw: RawSection, exposure: Exposure, what: str) -> None:
    """BadExposureFile where an image of the sky would be far from where its exposure says that the telescope pointed.

    BadInput where its coordinates cannot be used at all.
    """
    if exposure.kind != Exposure.Kind.SCIENCE:
        return
    wcs = wcs_from_header(raw.wcs)
    try:
        ra, dec = footprint(wcs, raw.data.shape).T
    except Exception as error:  # wcslib raises many kinds of its own
        said = " ".join(str(error).split())
        raise BadExposureFile(Code.BAD_WCS, f"its corners have no place on the sky: {said}", what) from error
    away = separation(ra, dec, exposure.ra, exposure.dec)
    if not (np.isfinite(away).all() and away.max() <= _FARTHEST):
        text = f"{np.max(away):.1f}°" if np.isfinite(away).all() else "nowhere, and not within 5°"
        raise BadExposureFile(Code.BAD_WCS, f"a corner of it would be {text} from the position of the exposure", what)
