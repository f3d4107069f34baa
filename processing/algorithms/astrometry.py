"""What an astrometric fit is given and what it gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from processing.parameters import Parameters, param


class AstrometryParameters(Parameters):
    """How a solution is found, fitted and trusted."""

    max_order: int = param(5, ge=1, le=5, help="Highest order of the polynomial; the stars decide up to there.")
    min_matches: int = param(8, ge=5, help="Fewer matched stars are no solution.")
    pointing_error: float = param(60.0, gt=0, unit="arcsec", help="How far off the header's position may be.")
    rotation_range: float = param(1.0, ge=0, unit="deg", help="How far off the header's rotation may be.")
    scale_range: float = param(0.02, ge=0, le=0.1, help="How far off the header's pixel scale may be, relative.")
    brightest_sources: int = param(150, ge=10, help="Detections that vote.")
    brightest_stars: int = param(300, ge=10, help="Catalogue stars that vote.")
    min_significance: float = param(6.0, gt=0, unit="sigma", help="Weaker votes are not trusted.")
    is_blind_allowed: bool = param(
        True, help="Where the vote fails, look for patterns of stars in all of the catalogue at hand."
    )
    max_residual: float = param(0.5, gt=0, unit="px", help="A solution with a larger residual per axis is refused.")
    position_floor: float = param(0.004, gt=0, unit="px", help="Error that is added to that of every position.")
    reference_color: float = param(
        0.8, unit="mag", help="Where refraction by colour is fitted, the solution is that of a star of this colour."
    )


@dataclass(frozen=True)
class PixelStars:
    """Detections; arrays (n,)."""

    x: np.ndarray  # px from 0
    y: np.ndarray  # px from 0
    flux: np.ndarray  # electrons
    error: np.ndarray  # px, of the position along one axis


@dataclass(frozen=True)
class SkyStars:
    """Catalogue stars at the epoch of the image; arrays (n,)."""

    ra: np.ndarray  # degrees
    dec: np.ndarray  # degrees
    mag: np.ndarray  # only the order counts
    error: np.ndarray | None = None  # arcsec, of the position along one axis; none: far below those of detections
    color: np.ndarray | None = None  # mag, NaN unknown


@dataclass(frozen=True)
class AstrometricSolution:
    """A fitted WCS and how good it is."""

    header: fits.Header  # TAN, TAN-SIP with its inverse, or TPV
    n_matches: int
    rms_ra_arcsec: float  # robust leave-one-out residual along ra
    rms_dec_arcsec: float
    order: int
    detected: np.ndarray  # (n_matches,) rows of the detections
    matched: np.ndarray  # (n_matches,) rows of the catalogue stars
    warnings: tuple[str, ...]
    kind: str = "polynomial"  # polynomial, radial (its cubic terms), or kept (the header's distortion)
    error_arcsec: float = 0.0  # formal error of the solution per axis, root mean square over the stars
    largest_error_arcsec: float = 0.0  # the largest on the image if any one star is a wrong match
    chance: float = 0.0  # matches that lists without anything in common would give
    refraction: float | None = None  # arcsec per mag of colour and tan z, towards the zenith; where it was fitted
    refraction_error: float | None = None

    @property
    def rms_arcsec(self) -> float:
        """Residual per axis."""
        return float(np.hypot(self.rms_ra_arcsec, self.rms_dec_arcsec) / np.sqrt(2))

    @property
    def wcs(self) -> WCS:
        """The solution as astropy's WCS."""
        return WCS(self.header)
