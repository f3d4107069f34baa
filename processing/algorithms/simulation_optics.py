"""The optics of a simulated camera: the projection that a header describes, and what no header tells of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

_FIELD = 1000.0  # px


@dataclass(frozen=True)
class Optics:
    """Sky → pixels of one CCD: the WCS of `header`, and a smooth distortion about the optical axis besides.

    The distortion is that of a whole focal plane: neighbouring CCDs agree on it.
    """

    header: fits.Header  # TAN or TPV, for the trimmed image
    centre: tuple[float, float]  # px from 0, of the optical axis; may lie outside the CCD
    radial: float = 0.0  # px at 1000 px from the axis, growing with the cube of the distance
    tilt: float = 0.0  # px at 1000 px, growing with its square

    def pixels(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) px from 0 of positions (n,) in degrees; NaN for what is not before the telescope."""
        x, y = WCS(self.header).all_world2pix(ra, dec, 0) if len(ra) else (np.zeros(0), np.zeros(0))
        p, q = (x - self.centre[0]) / _FIELD, (y - self.centre[1]) / _FIELD
        cubic = self.radial * (p**2 + q**2)
        return x + cubic * p + self.tilt * p * q, y + cubic * q + self.tilt * q**2

    def sky(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ra, dec) degrees of pixels (n,) from 0; the distortion that no header tells is left out."""
        return WCS(self.header).all_pix2world(x, y, 0)
