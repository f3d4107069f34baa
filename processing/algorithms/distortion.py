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

Polynomial = dict[tuple[int, int], tuple[float, float]]  # powers of pixels from the centre → px along x and y
_GRID = 15  # points a side of the grid to which a polynomial is fitted without noise
_KEPT_ORDER = 5  # highest order of a SIP polynomial that stands for another distortion


def has_distortion(wcs: WCS) -> bool:
    """Whether a WCS knows more than a plane."""
    return wcs.sip is not None or bool(_tpv_cards(wcs))


def _tpv_cards(wcs: WCS) -> dict[str, float]:
    """The PV cards of a TPV projection; none of another one. wcslib turns it into TAN inside, and back when written."""
    header = {} if wcs.sip is not None else wcs.to_header()
    if not str(header.get("CTYPE1", "")).endswith("TPV"):
        return {}
    return {name: header[name] for name in header if name.startswith("PV")}


def local_matrix(wcs: WCS, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Where a pixel (from 0) points, (2,) degrees, and the matrix (2, 2) from pixels to (ξ, η) arcsec there."""
    sky = wcs.all_pix2world(np.array([[x, y], [x + 1, y], [x - 1, y], [x, y + 1], [x, y - 1]]), 0)
    plane = np.c_[tangent_plane(sky[:, 0], sky[:, 1], *sky[0])]
    return sky[0], np.c_[plane[1] - plane[2], plane[3] - plane[4]] / 2


def pointed_at(wcs: WCS, centre: np.ndarray, ra: float, dec: float) -> WCS:
    """A copy that points with the pixel `centre` (2,) from 0 to ra, dec: the telescope moves, not the distortion.

    The whole sphere is turned along the great circle; near a pole that turns north too, hence LONPOLE.
    """
    start, end = _vectors(np.array([wcs.all_pix2world([centre], 0)[0], [ra, dec]]))
    axis = np.cross(start, end)
    sine = float(np.linalg.norm(axis))
    turn = Rotation.from_rotvec(axis * (np.arctan2(sine, start @ end) / max(sine, 1e-30)))
    moved = wcs.deepcopy()
    x, y, z = turn.apply(_vectors(wcs.wcs.crval[None])[0])
    moved.wcs.crval = np.degrees([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))])
    east, north = _axes(*moved.wcs.crval)
    carried = turn.apply(_axes(*wcs.wcs.crval)[1])
    moved.wcs.lonpole = wcs.wcs.lonpole + np.degrees(np.arctan2(carried @ east, carried @ north))
    moved.wcs.latpole = 90.0
    moved.wcs.set()
    return moved


def _axes(ra: float, dec: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (3,) towards east and north at a position (degrees)."""
    a, d = np.radians([ra, dec])
    return np.array([-np.sin(a), np.cos(a), 0]), np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])


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
        return 3 if max(int(name.split("_")[1]) for name in _tpv_cards(self.wcs)) < 12 else _KEPT_ORDER

    def sky(self, xy: np.ndarray) -> np.ndarray:
        """(n, 2) ra, dec (degrees) of pixels (n, 2) from 0."""
        return self.wcs.all_pix2world((xy - self.centre) @ self.matrix.T + self.offset, 0)

    def header(self, shape: tuple[int, int]) -> fits.Header:
        """TPV cards where the WCS is one; else TAN-SIP cards, which stand for it to a millionth of a pixel or so."""
        if cards := _tpv_cards(self.wcs):
            return self._tpv(cards)
        pixels = _grid(shape)
        ra, dec = self.sky(pixels).T
        crval = self.sky(self.centre[None])[0]
        basis = Basis(min(max(self.order, 3), _KEPT_ORDER))
        return fit_sip(pixels, ra, dec, np.ones(len(pixels)), centre=self.centre, crval=crval, basis=basis).header(
            shape
        )

    def _tpv(self, cards: dict[str, float]) -> fits.Header:
        wcs = self.wcs
        crpix = self.centre + np.linalg.solve(self.matrix, wcs.wcs.crpix - 1 - self.offset)
        header = tan_header(wcs.wcs.crval, crpix, wcs.pixel_scale_matrix @ self.matrix)
        header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
        header["LONPOLE"] = float(wcs.wcs.lonpole)
        header.update(cards)
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
    lost = ~np.isfinite(there).all(axis=1)  # where a polynomial of the header cannot be inverted
    there, sigma = np.where(lost[:, None], xy, there), np.where(lost, np.inf, sigma)
    found = fit((xy - centre) / unit, (there - centre) @ matrix.T, sigma, Basis(1), extra=extra)
    back = found.coefficients @ np.linalg.inv(matrix).T
    return KeptDistortion(wcs, np.asarray(centre, float), back[0] + centre, back[1:3].T / unit, found)


def with_distortion(wcs: WCS, polynomial: Polynomial, shape: tuple[int, int]) -> fits.Header | None:
    """TAN-SIP cards about the centre of a CCD (ny, nx) of what a plane WCS says; None where it has a distortion."""
    if has_distortion(wcs) or not polynomial:
        return None
    centre = (np.array(shape[::-1]) - 1) / 2
    crval, matrix = local_matrix(wcs, *centre)
    found = tan_header(crval, centre, matrix / 3600)
    exponents = terms(max(map(sum, polynomial)))[3:]
    add_distortion(found, exponents, np.array([polynomial.get(one, (0.0, 0.0)) for one in exponents], float), shape)
    return found


def polynomial_of(wcs: WCS, shape: tuple[int, int], order: int) -> Polynomial:
    """The distortion of a WCS about the centre of a CCD (ny, nx), whatever the WCS writes it in."""
    centre, pixels = (np.array(shape[::-1]) - 1) / 2, _grid(shape)
    ra, dec = wcs.all_pix2world(pixels, 0).T
    crval, _ = local_matrix(wcs, *centre)
    header = fit_sip(
        pixels, ra, dec, np.ones(len(pixels)), centre=centre, crval=crval, basis=Basis(max(order, 2))
    ).header(shape)
    return {(i, j): (header[f"A_{i}_{j}"], header[f"B_{i}_{j}"]) for i, j in terms(max(order, 2))[3:]}


def displacements(polynomial: Polynomial, shape: tuple[int, int]) -> np.ndarray:
    """(n, 2) px by which a distortion moves a grid of points of a CCD (ny, nx)."""
    u, v = (_grid(shape) - (np.array(shape[::-1]) - 1) / 2).T
    return np.sum([(u**i * v**j)[:, None] * np.array(pair) for (i, j), pair in polynomial.items()], axis=0)


def _grid(shape: tuple[int, int]) -> np.ndarray:
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, _GRID), np.linspace(-0.5, ny - 0.5, _GRID))
    return np.c_[x.ravel(), y.ravel()]
