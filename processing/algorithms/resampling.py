"""Bring an image onto the pixel grid of another: the map between two WCSs, and the warps along it.

The map is one polynomial, not an interpolated grid of positions: splines through a grid are wrong by pixels near the
border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from astropy.wcs import WCS
from scipy import ndimage
from scipy.interpolate import BSpline

from processing.errors import BadInput

ORDER = 5  # of the polynomial map
TOLERANCE = 1e-3  # px
_PHASES = 4096
_POLES = {  # of the filters that give the coefficients of a spline of that order
    3: np.array([np.sqrt(3) - 2]),
    5: np.array(
        [
            np.sqrt(67.5 - np.sqrt(4436.25)) + np.sqrt(26.25) - 6.5,
            np.sqrt(67.5 + np.sqrt(4436.25)) - np.sqrt(26.25) - 6.5,
        ]
    ),
}


class StampModel(Protocol):
    """Anything that gives the PSF at a position."""

    def stamp(self, x: float, y: float) -> np.ndarray:
        """The PSF at pixel (x, y): (2h+1, 2h+1), sum 1, centred on the middle pixel."""
        ...


@dataclass(frozen=True)
class PixelMap:
    """Where each pixel of a target grid lies in a source image: polynomials of order 5 of the target position.

    `cx[i, j]` and `cy[i, j]` multiply u^i v^j with u = (x - centre_x) / half_x and v = (y - centre_y) / half_y.
    """

    cx: np.ndarray  # (6, 6) float64, source px
    cy: np.ndarray  # (6, 6) float64, source px
    centre: tuple[float, float]  # target px (x, y)
    half: tuple[float, float]  # target px (x, y)
    source_shape: tuple[int, int]  # (ny, nx)
    error: float  # px, largest deviation from the two WCSs on a grid of positions that the fit did not use

    def at(self, x: np.ndarray | float, y: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Source pixel positions (x, y) of the target pixel positions."""
        u, v = self._scaled(x, y)
        polyval2d = np.polynomial.polynomial.polyval2d
        return polyval2d(u, v, self.cx), polyval2d(u, v, self.cy)

    def jacobian(self, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """d(source x, y) / d(target x, y), (..., 2, 2): row = source axis, column = target axis."""
        u, v = self._scaled(x, y)
        polynomial = np.polynomial.polynomial
        rows = [
            [polynomial.polyval2d(u, v, polynomial.polyder(c, axis=axis)) / self.half[axis] for axis in (0, 1)]
            for c in (self.cx, self.cy)
        ]
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    def area(self, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """Source pixels per target pixel; a background rms grows by its square root from source to target pixels."""
        return np.abs(np.linalg.det(self.jacobian(x, y)))

    def loop_arguments(self) -> tuple:
        """The map as the compiled loops take it."""
        return (self.cx, self.cy, *map(float, self.centre), *map(float, self.half))

    def _scaled(self, x: np.ndarray | float, y: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.asarray(x, float), np.asarray(y, float)
        return (x - self.centre[0]) / self.half[0], (y - self.centre[1]) / self.half[1]


def pixel_map(
    target_wcs: WCS,
    target_shape: tuple[int, int],
    source_wcs: WCS,
    source_shape: tuple[int, int] | None = None,
) -> PixelMap:
    """Fit the map from target to source pixels through both WCSs, to better than 0.001 px up to the outermost pixels.

    `target_shape` is (ny, nx); `source_shape` defaults to that of the source WCS or, where it has none, of the target.
    Raises BadInput where a WCS has no solution in the frame or no polynomial of this order describes the map.
    """
    ny, nx = target_shape
    shape = source_shape or source_wcs.array_shape or target_shape
    centre, half = ((nx - 1) / 2, (ny - 1) / 2), (max(nx, 2) / 2, max(ny, 2) / 2)

    def exact(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sky = target_wcs.all_pix2world(x, y, 0)
        return source_wcs.all_world2pix(*sky, 0, tolerance=1e-7, maxiter=50, quiet=True)

    # Chebyshev spacing keeps a polynomial fit from swinging towards the edges.
    x, y = _nodes(nx, 24, chebyshev=True), _nodes(ny, 24, chebyshev=True)
    x, y = (axis.ravel() for axis in np.meshgrid(x, y))
    source = exact(x, y)
    if not np.isfinite(source).all():
        raise BadInput(what="pixel map", reason="a WCS has no solution inside the frame")
    u, v = (x - centre[0]) / half[0], (y - centre[1]) / half[1]
    design = np.polynomial.polynomial.polyvander2d(u, v, [ORDER, ORDER])
    low = np.add.outer(np.arange(ORDER + 1), np.arange(ORDER + 1)).ravel() <= ORDER
    coefficients = np.zeros((low.size, 2))
    coefficients[low] = np.linalg.lstsq(design[:, low], np.transpose(source), rcond=None)[0]
    cx, cy = (np.ascontiguousarray(c.reshape(ORDER + 1, ORDER + 1)) for c in coefficients.T)

    held_out = [axis.ravel() for axis in np.meshgrid(_nodes(nx, 17), _nodes(ny, 17))]
    fitted = PixelMap(cx, cy, centre, half, tuple(shape), 0.0)
    error = float(np.abs(np.subtract(fitted.at(*held_out), exact(*held_out))).max())
    if not error < TOLERANCE:
        raise BadInput(what="pixel map", reason=f"a polynomial of order {ORDER} misses it by {error:.3g} px")
    return PixelMap(cx, cy, centre, half, tuple(shape), error)


def _nodes(size: int, count: int, *, chebyshev: bool = False) -> np.ndarray:
    position = np.linspace(-1, 1, count)
    if chebyshev:
        position = np.sin(np.pi / 2 * position)
    return (size - 1) / 2 * (1 + position)


def warp(data: np.ndarray, mapping: PixelMap, shape: tuple[int, int], order: int = 5) -> np.ndarray:
    """Resample `data` onto the target grid by a B-spline of `order` 1, 3 or 5, times pixel area: fluxes stay; float32.

    Unusable pixels must have been filled: the spline prefilter reaches infinitely far. Pixels outside the source are 0.
    Raises BadInput on values that are not finite.
    """
    from processing.algorithms.pixel_loops import spline_filter

    if not np.isfinite(data).all():
        raise BadInput(what="image to resample", reason="not finite everywhere: fill unusable pixels first")
    spline = spline_filter(np.ascontiguousarray(data, np.float32), _POLES[order]) if order > 1 else data
    return _resample(spline, mapping, shape, order)


def warp_variance(variance: np.ndarray, mapping: PixelMap, shape: tuple[int, int]) -> np.ndarray:
    """Variance per target pixel, bilinear, float32, 0 outside: of the noise as it was before resampling.

    Resampling lowers the scatter of single pixels but not of matched-filtered fluxes, hence no propagation through
    the spline.
    """
    # Flux in a target pixel collects `area` source pixels of independent noise: the variance scales as the flux.
    return _resample(variance, mapping, shape, 1)


def warp_flags(flags: np.ndarray, mapping: PixelMap, shape: tuple[int, int]) -> np.ndarray:
    """Each bit of the source pixels around the mapped position, then grown by one pixel; uint16, 0 outside."""
    from processing.algorithms.pixel_loops import or_of_neighbours, resample_flags

    flags = np.ascontiguousarray(flags, np.uint16)
    return or_of_neighbours(resample_flags(flags, mapping.loop_arguments(), tuple(shape)))


def warp_valid(mapping: PixelMap, shape: tuple[int, int], margin: float = 0.0) -> np.ndarray:
    """True where a target pixel lies inside the source frame, `margin` px within its outermost pixel centres."""
    from processing.algorithms.pixel_loops import inside

    return inside(mapping.loop_arguments(), mapping.source_shape, tuple(shape), float(margin))


def _resample(spline: np.ndarray, mapping: PixelMap, shape: tuple[int, int], order: int) -> np.ndarray:
    from processing.algorithms.pixel_loops import RESAMPLERS

    spline = np.ascontiguousarray(spline, np.float32)
    return RESAMPLERS[order](spline, mapping.loop_arguments(), tuple(shape), _taps(order))


def _taps(order: int) -> np.ndarray:
    """B-spline weights of the `order` + 1 neighbours for each sub-pixel phase: (phases + 1, order + 1) float32."""
    basis: Callable[[np.ndarray], np.ndarray] = BSpline.basis_element(np.arange(order + 2) - (order + 1) / 2, False)
    phase = np.linspace(0, 1, _PHASES + 1)[:, None]
    offsets = np.arange(order + 1) - (order + 1) // 2 + 1
    return np.nan_to_num(basis(phase - offsets)).astype(np.float32)


@dataclass(frozen=True)
class MappedPSF:
    """The PSF of a source image as it appears on the target grid: at the mapped position, through the Jacobian."""

    model: StampModel
    mapping: PixelMap
    made: dict[tuple[float, float], np.ndarray] = field(default_factory=dict, repr=False)  # the middles of tiles, twice

    def stamp(self, x: float, y: float) -> np.ndarray:
        """The PSF at target pixel (x, y): odd, sum 1, centred on the middle pixel, float64."""
        if (x, y) not in self.made:
            self.made[x, y] = self._stamp(x, y)
        return self.made[x, y]

    def _stamp(self, x: float, y: float) -> np.ndarray:
        u, v = self.mapping.at(x, y)
        stamp = np.asarray(self.model.stamp(float(u), float(v)), float)
        jacobian = self.mapping.jacobian(x, y)
        middle = stamp.shape[0] // 2
        half = int(np.ceil(middle / np.sqrt(abs(np.linalg.det(jacobian))) - 0.05))
        offset = np.mgrid[-half : half + 1, -half : half + 1][::-1]
        source = np.tensordot(jacobian, offset, axes=1)[::-1] + middle
        resampled = ndimage.map_coordinates(stamp, source, order=5, mode="constant")
        return resampled / resampled.sum()
