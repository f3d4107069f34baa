"""Forced photometry: the flux at given places of a stored difference image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.forced import REACH, ForcedPlanes, forced_fluxes
from processing.algorithms.stamps import nearest_pixel
from processing.parameters import Parameters, param
from processing.step import Step
from processing.steps.planes import tiles_of
from products.models import DifferenceImage, ForcedFlux, WorldCoordinates, ZeroPoint
from products.pixel_flags import PixelFlag

PLANES = ("score", "alpha", "weight", "flags")


@dataclass(frozen=True)
class Places:
    """Positions on the sky, (n,) each, ICRS degrees."""

    ra: np.ndarray
    dec: np.ndarray


class ForcedParameters(Parameters):
    core: float = param(0.5, gt=0, unit="FWHM", help="A pixel this close to a position must not be masked.")
    edge: float = param(
        1.0, ge=0, unit="FWHM", help="A position this close to the edge of the image cannot be used: light is missing."
    )
    known_objects: bool = param(
        False, critical=False, help="Whether objects that are known in its field are measured after each CCD."
    )
    position_tolerance: float = param(
        0.1, ge=0, unit="arcsec", critical=False,
        help="An object is measured where it was before until its mean position is farther away than this.",
    )  # fmt: skip


class ForcedPhotometry(Step):
    """Measure the PSF flux of a difference image at given places, whether or not something was detected there."""

    name = "forced_photometry"
    version = (1, 0, 0)
    parameters: ForcedParameters

    def run(
        self, image: DifferenceImage, world_coordinates: WorldCoordinates, zero_point: ZeroPoint, places: Places
    ) -> list[ForcedFlux]:
        x, y = world_coordinates.wcs.all_world2pix(places.ra, places.dec, 0, quiet=True)
        ny, nx = image.shape
        inside = (x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5)
        if not inside.any():
            return []
        x, y = x[inside], y[inside]
        rows, columns = _span(y, ny), _span(x, nx)
        parts = image.part(PLANES, rows, columns)
        per_variance = tiles_of(image).plane("flux_noise")[rows, columns]
        weight = parts.pop("weight")
        variance = np.divide(per_variance, weight, out=np.zeros_like(per_variance), where=weight > 0)
        planes = ForcedPlanes(**parts, alpha_error=np.sqrt(variance))
        fwhm = max((image.fwhm or 0) / (image.pixel_scale or 1), 2.0)  # px; stars of less are sampled by one pixel
        outside, core = int(PixelFlag.OUT_OF_BOUNDS), self.parameters.core * fwhm
        found = forced_fluxes(planes, x - columns.start, y - rows.start, core=core, outside=outside)
        from_edge = np.minimum.reduce([x + 0.5, nx - 0.5 - x, y + 0.5, ny - 0.5 - y])
        found["flags"][from_edge < self.parameters.edge * fwhm] |= outside
        made = [_row(image, zero_point, float(a), float(b), one) for a, b, one in zip(x, y, found)]
        ForcedFlux.set_positions(made, places.ra[inside], places.dec[inside])
        return made


def _span(positions: np.ndarray, size: int) -> slice:
    """The pixels along one axis that the numbers at `positions` depend on."""
    first, last = nearest_pixel(positions.min()) - REACH, nearest_pixel(positions.max()) + REACH
    return slice(int(max(first, 0)), int(min(last + 1, size)))


def _row(image: DifferenceImage, zero_point: ZeroPoint, x: float, y: float, found: np.void) -> ForcedFlux:
    flux, error, flags = float(found["flux"]), float(found["flux_err"]), int(found["flags"])
    is_known = bool(np.isfinite(flux) and np.isfinite(error) and error > 0)
    flux, error = (flux, error) if is_known else (0.0, 0.0)
    magnitude, magnitude_error = zero_point.magnitude(abs(flux), error, x, y)
    return ForcedFlux(
        image=image, mjd=image.mjd_middle, filter=image.filter, x=x, y=y, flux=flux, flux_error=error,
        zp=float(zero_point.at(x, y)), magnitude=magnitude, magnitude_error=magnitude_error, flags=flags,
        is_bad=not is_known or bool(flags & PixelFlag.UNUSABLE),
    )  # fmt: skip
