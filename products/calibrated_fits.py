"""A copy of an image's file with its calibration in the headers: the stored file is older than its astrometry."""

from __future__ import annotations

import io
import re
from pathlib import Path

from astropy.io import fits

from products.models import ZeroPoint

WCS_KEYWORD = re.compile(
    r"(WCSAXES|RADESYS|EQUINOX|LONPOLE|LATPOLE|C(TYPE|UNIT|RVAL|RPIX|DELT|ROTA)\d|(CD|PC)\d_\d|PV\d_\d+"
    r"|[AB]P?_(ORDER|DMAX|\d_\d))$"
)


def calibrated_copy(path: Path, zero_point: ZeroPoint) -> io.BytesIO:
    """The FITS file at `path` with the WCS of `zero_point` in every plane on the sky, and MAGZP; pixels stay."""
    solution = fits.Header.fromstring(zero_point.world_coordinates.header, sep="\n")
    out = io.BytesIO()
    with fits.open(path, memmap=False, disable_image_compression=True) as hdus:
        for hdu in hdus[1:]:
            if "CTYPE1" in hdu.header:
                for key in [key for key in hdu.header if WCS_KEYWORD.match(key)]:
                    del hdu.header[key]
                hdu.header.extend(
                    (card for card in solution.cards if WCS_KEYWORD.match(card.keyword)), strip=False, update=True
                )
        primary = hdus[0].header
        primary.update(zero_point.cards())
        primary["CALID"] = (zero_point.provenance_id, "provenance id of WCS and MAGZP")
        hdus[0].add_checksum(when="of this extension")
        hdus.writeto(out)
    out.seek(0)
    return out
