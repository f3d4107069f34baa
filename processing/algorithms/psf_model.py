"""The PSF as a polynomial of position on a grid finer than the pixels, built by stacking residuals of stars.

The construction follows the effective PSF of Anderson & King (2000, PASP 112, 1360): the model gives the value of a
pixel at an offset from the star, so it is never integrated over pixels again.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy import ndimage

from processing.parameters import Parameters, param

STEP = 2  # nodes per pixel
_PIXEL_NODES = 3  # of the quadrature over a pixel, a side
MARGIN = 2  # pixels of nodes beyond the stamp, so that a displaced stamp is still inside


class PSFParameters(Parameters):
    """How the PSF is modelled."""

    order: int = param(2, ge=0, le=3, help="Highest order of the polynomial of position.")
    half_size: float = param(4.0, ge=2.5, le=8, unit="FWHM", help="Half of the side of a stamp.")
    iterations: int = param(5, ge=1, le=20, help="Rounds of fitting the stars and stacking their residuals.")
    fit_radius: float = param(1.75, gt=0.5, unit="FWHM", help="Stars are fitted within this radius.")
    stars_for_order_1: int = param(15, ge=3, help="Fewer stars give a constant PSF.")
    stars_for_order_2: int = param(60, ge=6, help="Fewer stars give a linear one.")
    model_error: float = param(0.03, ge=0, le=0.5, help="Relative error of the model when bad stars are sought.")


def terms(x: np.ndarray, y: np.ndarray, shape: tuple[int, int], order: int) -> np.ndarray:
    """xⁱ yʲ with i + j ≤ order, positions scaled to −1…1 over the image: (n, terms) float64, constant first."""
    ny, nx = shape
    u = (np.atleast_1d(np.asarray(x, float)) - (nx - 1) / 2) / max((nx - 1) / 2, 1)
    v = (np.atleast_1d(np.asarray(y, float)) - (ny - 1) / 2) / max((ny - 1) / 2, 1)
    return np.stack([u ** (n - j) * v**j for n in range(order + 1) for j in range(n + 1)], axis=1)


@dataclass(frozen=True)
class PSFModel:
    """A PSF that varies over the image. Evaluated stamps sum to 1 at every position."""

    planes: np.ndarray  # (terms, m, m) float32, values at the nodes, m = 2·STEP·(half_size + MARGIN) + 1
    order: int
    shape: tuple[int, int]  # (ny, nx) of the image
    half_size: int  # px
    fwhm: float  # px, median over the image
    n_stars: int
    chi2: float  # median reduced χ² of the stars

    @cached_property
    def coefficients(self) -> np.ndarray:
        """Cubic-spline coefficients of the planes, (terms, m, m) float64."""
        return np.stack([ndimage.spline_filter(plane.astype(float), order=3, mode="mirror") for plane in self.planes])

    @cached_property
    def plane_sums(self) -> np.ndarray:
        """Sum of the undisplaced stamp of each plane, (terms,)."""
        return np.array([self._raw(plane, 0.0, 0.0, self.half_size).sum() for plane in self.coefficients])

    def terms(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The polynomial at positions (n,): (n, terms)."""
        return terms(x, y, self.shape, self.order)

    def norms(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Sum of the model at positions (n,): what evaluated stamps are divided by."""
        return self.terms(x, y) @ self.plane_sums

    def stamp(self, x: float, y: float, dx: float = 0.0, dy: float = 0.0, half_size: int | None = None) -> np.ndarray:
        """PSF at (x, y) px, displaced by (dx, dy) from the middle: (2h+1, 2h+1) float32, sum 1 when centred."""
        return self.stamps(np.array([x]), np.array([y]), np.array([dx]), np.array([dy]), half_size)[0]

    def stamps(
        self, x: np.ndarray, y: np.ndarray, dx: np.ndarray, dy: np.ndarray, half_size: int | None = None
    ) -> np.ndarray:
        """`stamp` for positions and displacements (n,): (n, 2h+1, 2h+1) float32."""
        from processing.algorithms.psf_kernels import stamps

        rows, half = self.terms(x, y), self.half_size if half_size is None else half_size
        displaced = (np.asarray(dx, float), np.asarray(dy, float))
        return stamps(self.coefficients, STEP, rows, rows @ self.plane_sums, *displaced, half)

    def fwhm_at(self, x: float, y: float) -> float:
        """FWHM at (x, y), px: of the azimuthally averaged profile, which the nodes sample better than the pixels."""
        return profile_fwhm(np.tensordot(self.terms(x, y)[0], self.planes, axes=1)) / STEP

    def header(self) -> dict[str, Any]:
        """What else than the planes makes the model, as FITS cards."""
        return {
            "PSFORDER": self.order,
            "PSFNY": self.shape[0],
            "PSFNX": self.shape[1],
            "PSFHALF": self.half_size,
            "PSFFWHM": float(self.fwhm),
            "PSFSTARS": self.n_stars,
            "PSFCHI2": float(self.chi2),
        }

    @classmethod
    def from_planes(cls, planes: np.ndarray, header: Mapping[str, Any]) -> PSFModel:
        """The inverse of `header` with the planes."""
        return cls(
            planes=np.asarray(planes, np.float32),
            order=int(header["PSFORDER"]),
            shape=(int(header["PSFNY"]), int(header["PSFNX"])),
            half_size=int(header["PSFHALF"]),
            fwhm=float(header["PSFFWHM"]),
            n_stars=int(header["PSFSTARS"]),
            chi2=float(header["PSFCHI2"]),
        )

    @staticmethod
    def _raw(plane: np.ndarray, dx: float, dy: float, half: int) -> np.ndarray:
        from processing.algorithms.psf_kernels import sample_values

        value = np.zeros((2 * half + 1, 2 * half + 1))
        sample_values(plane, STEP, dx, dy, half, np.inf, value)
        return value


def nodes(half_size: int) -> np.ndarray:
    """Distance of the nodes from the middle along one axis, px."""
    reach = STEP * (half_size + MARGIN)
    return np.arange(-reach, reach + 1) / STEP


def moffat_model(
    fwhm: float, shape: tuple[int, int], beta: float = 3.0, half_size: int | None = None, *, over_pixels: bool = False
) -> PSFModel:
    """A constant Moffat profile of FWHM `fwhm` px: what remains when there are no stars to measure.

    `over_pixels` averages it over the pixels, which matters where they are not much smaller than the FWHM.
    """
    half = half_size or max(12, int(np.ceil(4 * fwhm)))
    u = nodes(half)
    places, weights = leggauss(_PIXEL_NODES if over_pixels else 1)
    profile = np.zeros((u.size, u.size))
    for (dx, wx), (dy, wy) in itertools.product(zip(places / 2, weights / 2), repeat=2):
        profile += wx * wy * moffat_profile(np.hypot(u[:, None] + dy, u[None, :] + dx), fwhm, beta)
    model = PSFModel(profile[None].astype(np.float32), 0, shape, half, fwhm, 0, 0.0)
    return PSFModel((profile / model.plane_sums[0])[None].astype(np.float32), 0, shape, half, fwhm, 0, 0.0)


def moffat_profile(radius: np.ndarray, fwhm: float, beta: float = 3.0) -> np.ndarray:
    """(1 + r²/α²)^−β at `radius` px, 1 in the middle."""
    return (1 + radius**2 * (2 ** (1 / beta) - 1) / (fwhm / 2) ** 2) ** -beta


def profile_fwhm(stamp: np.ndarray) -> float:
    """FWHM, px, of a centred stamp: where the mean over circles falls to half of the value in the middle.

    Quintic spline; good to 0.5 % at FWHM 2 px and to 0.1 % from 2.5 px on.
    """
    half = stamp.shape[0] // 2
    radius = np.arange(0, half, 0.1)
    turn = 2 * np.pi * (np.arange(24) + 0.5) / 24
    at = [half + radius[:, None] * np.sin(turn), half + radius[:, None] * np.cos(turn)]
    profile = ndimage.map_coordinates(stamp.astype(float), at, order=5, mode="mirror").mean(axis=1)
    below = np.flatnonzero(profile < profile[0] / 2)
    if not below.size:
        return float(2 * radius[-1])
    outer = below[0]
    part = (profile[outer - 1] - profile[0] / 2) / (profile[outer - 1] - profile[outer])
    return float(2 * (radius[outer - 1] + 0.1 * part))
