"""Distortion that is known before a fit: that of a header (SIP, TPV), kept under an affine correction of the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.spatial.transform import Rotation

from processing.algorithms.polynomials import Basis, Fit, fit, terms
from processing.algorithms.sip import add_distortion, fit_sip, tan_header, unit_of
from processing.algorithms.sky import tangent_plane

_GRID = 15  # points a side of the grid to which a polynomial is fitted without noise
_KEPT_ORDER = 5  # highest order of a SIP polynomial that stands for another distortion


def has_distortion(wcs: WCS) -> bool:
    """Whether a WCS knows more than a plane."""
    return wcs.sip is not None or str(wcs.wcs.ctype[0]).endswith("TPV")


def local_matrix(wcs: WCS, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Where a pixel (from 0) points, (2,) degrees, and the matrix (2, 2) from pixels to (ξ, η) arcsec there."""
    sky = wcs.all_pix2world(np.array([[x, y], [x + 1, y], [x - 1, y], [x, y + 1], [x, y - 1]]), 0)
    plane = np.c_[tangent_plane(sky[:, 0], sky[:, 1], *sky[0])]
    return sky[0], np.c_[plane[1] - plane[2], plane[3] - plane[4]] / 2


def pointed_at(wcs: WCS, centre: np.ndarray, ra: float, dec: float) -> WCS:
    """A copy that points with the pixel `centre` (2,) from 0 to ra, dec: the telescope moves, not the distortion.

    It moves along the great circle without turning; near a pole that is much to its meridian, hence LONPOLE.
    """
    above = np.array([centre, [centre[0], centre[1] + 1]])
    start = _vectors(wcs.all_pix2world(above, 0))
    end = _vectors(np.array([[ra, dec]]))[0]
    cross = np.cross(start[0], end)
    turn = Rotation.from_rotvec(cross * (np.arcsin(min(np.linalg.norm(cross), 1)) / max(np.linalg.norm(cross), 1e-30)))
    moved = wcs.deepcopy()
    x, y, z = turn.apply(_vectors(wcs.wcs.crval[None])[0])
    moved.wcs.crval = np.degrees([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))])
    moved.wcs.latpole = np.nan
    moved.wcs.set()
    wanted = turn.apply(start[1]) - end
    for _ in range(2):  # the second time the centre of rotation has moved too
        first, second = _vectors(moved.all_pix2world(above, 0))
        is_at = second - first
        angle = np.degrees(np.arctan2(np.cross(is_at, wanted) @ end, is_at @ wanted))
        moved.wcs.lonpole = moved.wcs.lonpole + angle
        moved.wcs.set()
    return moved


def _vectors(sky: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3) of (n, 2) ra, dec (degrees)."""
    ra, dec = np.radians(sky).T
    return np.c_[np.cos(ra) * np.cos(dec), np.sin(ra) * np.cos(dec), np.sin(dec)]


@dataclass(frozen=True)
class KeptDistortion:
    """A WCS whose pixels an affine transformation corrects."""

    wcs: WCS
    centre: np.ndarray  # (2,) px from 0
    offset: np.ndarray  # (2,) px from 0, where the centre falls in `wcs`
    matrix: np.ndarray  # (2, 2), what a pixel becomes
    fitted: Fit  # arcsec along ξ and η

    @property
    def order(self) -> int:
        """Order of the polynomial that stands for it."""
        if self.wcs.sip is not None:
            return int(max(self.wcs.sip.a_order or 0, self.wcs.sip.b_order or 0, 1))
        return 3 if max((number for _, number, _ in self.wcs.wcs.get_pv()), default=0) < 12 else _KEPT_ORDER

    def sky(self, xy: np.ndarray) -> np.ndarray:
        """(n, 2) ra, dec (degrees) of pixels (n, 2) from 0."""
        return self.wcs.all_pix2world((xy - self.centre) @ self.matrix.T + self.offset, 0)

    def header(self, shape: tuple[int, int]) -> fits.Header:
        """TPV cards where the WCS is one; else TAN-SIP cards, which stand for it to a millionth of a pixel or so."""
        if str(self.wcs.wcs.ctype[0]).endswith("TPV"):
            return self._tpv()
        ny, nx = shape
        x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, _GRID), np.linspace(-0.5, ny - 0.5, _GRID))
        pixels = np.c_[x.ravel(), y.ravel()]
        ra, dec = self.sky(pixels).T
        crval = self.sky(self.centre[None])[0]
        basis = Basis(min(max(self.order, 3), _KEPT_ORDER))
        return fit_sip(pixels, ra, dec, np.ones(len(pixels)), centre=self.centre, crval=crval, basis=basis).header(
            shape
        )

    def _tpv(self) -> fits.Header:
        wcs = self.wcs.deepcopy()
        crpix = self.centre + np.linalg.solve(self.matrix, wcs.wcs.crpix - 1 - self.offset)
        header = tan_header(wcs.wcs.crval, crpix, wcs.pixel_scale_matrix @ self.matrix)
        header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
        header["LONPOLE"] = float(wcs.wcs.lonpole)
        for axis, number, value in sorted(wcs.wcs.get_pv()):
            header[f"PV{axis}_{number}"] = value
        return header


def fit_kept(
    wcs: WCS,
    xy: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
    sigma: np.ndarray,
    *,
    centre: np.ndarray,
    extra: np.ndarray | None = None,
) -> KeptDistortion:
    """Robust fit of an affine correction of the pixels xy (n, 2) from 0 to stars (n,) degrees, errors arcsec."""
    _, matrix = local_matrix(wcs, *centre)
    there = wcs.all_world2pix(np.c_[ra, dec], 0, quiet=True)
    unit = unit_of(xy)
    found = fit((xy - centre) / unit, (there - centre) @ matrix.T, sigma, Basis(1), extra=extra)
    back = found.coefficients @ np.linalg.inv(matrix).T
    return KeptDistortion(wcs, np.asarray(centre, float), back[0] + centre, back[1:3].T / unit, found)


def with_distortion(
    header: fits.Header, values: dict[tuple[int, int], tuple[float, float]], shape: tuple[int, int]
) -> fits.Header:
    """TAN cards about the centre of a CCD (ny, nx) with a SIP polynomial there: exponents of (x, y) → px of A and B.

    A header that has a distortion stays as it is.
    """
    wcs = WCS(header, naxis=2)
    exponents = [one for one in terms(max((i + j for i, j in values), default=0)) if sum(one) > 1]
    if has_distortion(wcs) or not exponents:
        return header
    centre = (np.array(shape[::-1]) - 1) / 2
    crval, matrix = local_matrix(wcs, *centre)
    found = tan_header(crval, centre, matrix / 3600)
    add_distortion(found, exponents, np.array([values.get(one, (0.0, 0.0)) for one in exponents], float), shape)
    return found
