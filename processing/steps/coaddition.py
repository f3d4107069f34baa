"""Coaddition: a deep image from several calibrated ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.first_look import first_look
from processing.algorithms.inpainting import fill
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.resampling import MappedPSF, pixel_map, warp, warp_flags, warp_valid, warp_variance
from processing.algorithms.stacking import Coadd, Frame, StackParameters, coadd
from processing.algorithms.variance import total_variance
from processing.algorithms.wcs_fit import footprint, pixel_scale_arcsec
from processing.errors import BadInput
from processing.parameters import Parameters, param
from processing.providers import CoaddInputs, ReferenceProducts
from processing.step import Step
from processing.steps.flux_scale import FluxScale
from products.models import CoaddImage, ZeroPoint
from products.pixel_flags import PixelFlag
from products.sky import overlap_fraction

COMMON = ("instrument", "telescope", "project", "target", "filter", "section")
_SATURATED = np.uint16(PixelFlag.SATURATED | PixelFlag.BLEED)


class CoadditionParameters(Parameters):
    stack: StackParameters = param(StackParameters(), help="How the frames are combined.")
    min_frames_fraction: float = param(0.5, ge=0, le=1, help="Pixels that fewer of the frames reach are flagged.")
    min_overlap: float = param(
        0.1, ge=0, le=1, help="An image that shares less of its area with the first one is refused."
    )


class Coaddition(Step):
    """Warp calibrated images to one grid and one zero point and combine them, leaving artefacts out."""

    name = "coaddition"
    version = (1, 4, 0)
    parameters: CoadditionParameters

    def run(self, inputs: CoaddInputs) -> CoaddImage:
        self._said: list[str] = []
        parts = inputs.components
        self._refuse_strangers(parts)
        grid = Grid.of(parts)
        found = coadd(grid.frames(parts), self.parameters.stack, inputs.store)
        self._said = [f"{_name(parts[index])} is not in it: {why}" for index, why in found.left_out.items()]
        used = [part for index, part in enumerate(parts) if index not in found.left_out]
        thin = found.n_frames < max(1, self.parameters.min_frames_fraction * len(used))
        flags = np.where(found.mask, int(PixelFlag.BAD), 0) | np.where(thin, int(PixelFlag.OUT_OF_BOUNDS), 0)
        flags |= np.where(grid.saturated >= 0.5 * len(parts), int(PixelFlag.SATURATED), 0)
        weight = np.divide(
            1, found.variance, out=np.zeros_like(found.variance), where=(found.variance > 0) & (flags == 0)
        )
        image = CoaddImage(
            data=found.data,
            weight=weight,
            flags=flags.astype(np.uint16),
            coverage=found.n_frames,
            quality=_quality(parts, found),
            components_digest=digest([part.zero_point for part in parts]),
            **grid.facts(parts[0], used, found, weight),
        )
        image.related = {"components": [part.zero_point.pk for part in used]}
        return image.set_footprint(footprint(grid.wcs, grid.shape))

    def warnings(self) -> list[str]:
        return getattr(self, "_said", [])

    def _refuse_strangers(self, parts: Sequence[ReferenceProducts]) -> None:
        """BadInput where the images cannot be of one piece of sky in one filter."""
        if not parts:
            raise BadInput(what="the images to stack", reason="there is none")
        if len({part.image.filter for part in parts}) > 1:
            raise BadInput(what="the images to stack", reason="they are of different filters")
        first, *others = (footprint(part.world_coordinates.wcs, part.image.shape) for part in parts)
        for part, corners in zip(parts[1:], others):
            shared = max(overlap_fraction(corners, first), overlap_fraction(first, corners))
            if shared < self.parameters.min_overlap:
                reason = f"{shared:.0%} of it is on {_name(parts[0])}, {self.parameters.min_overlap:.0%} needed"
                raise BadInput(what=_name(part), reason=f"{reason}; is its WCS right? Else stack them apart")


@dataclass
class Grid:
    """The pixels of the coadd, and how often each was saturated in the frames that were brought to them."""

    wcs: WCS
    shape: tuple[int, int]
    zero_point: ZeroPoint
    saturated: np.ndarray  # (ny, nx) uint16

    @classmethod
    def of(cls, parts: Sequence[ReferenceProducts]) -> Grid:
        """With the pixels and the zero point of the first image, around all of them."""
        wcs, shape = common_grid([part.world_coordinates.wcs for part in parts], [part.image.shape for part in parts])
        return cls(wcs, shape, ZeroPoint(zp=parts[0].zero_point.zp), np.zeros(shape, np.uint16))

    def frames(self, parts: Sequence[ReferenceProducts]) -> Iterator[Frame]:
        """Each image on the grid; what was read from its files is let go before the next is read."""
        for part in parts:
            yield self._frame(part)
            part.image.free()
            part.background.free()

    def _frame(self, part: ReferenceProducts) -> Frame:
        from processing.algorithms import coadd_kernels as kernels

        image = part.image
        mapping = pixel_map(self.wcs, self.shape, part.world_coordinates.wcs, image.shape)
        bits = kernels.as_bits(image.weight, image.flags, np.uint16(PixelFlag.UNUSABLE), _SATURATED)
        signal = fill(image.data - part.background.level, (bits & kernels.UNUSABLE) != 0)
        data = warp(signal, mapping, self.shape)
        variance = warp_variance(total_variance(image.weight, part.background.rms), mapping, self.shape)
        moved = warp_flags(bits, mapping, self.shape)
        scale = FluxScale(self.zero_point, part.zero_point, mapping).plane(self.shape)
        data *= scale
        variance *= scale**2
        kernels.count_full(moved, self.saturated)
        mask = ((moved & kernels.UNUSABLE) != 0) | ~warp_valid(mapping, self.shape)
        psf = PSFModel.from_planes(part.psf.planes, part.psf.model_header)
        return Frame(data=data, variance=variance, mask=mask, psf=MappedPSF(psf, mapping))

    def facts(
        self, first: ReferenceProducts, used: Sequence[ReferenceProducts], found: Coadd, weight: np.ndarray
    ) -> dict[str, Any]:
        """The columns of the coadd."""
        look, scale = first_look(found.data, weight <= 0), pixel_scale_arcsec(self.wcs, self.shape)
        images = [part.image for part in used]
        return {
            "width": self.shape[1],
            "height": self.shape[0],
            "wcs": self.wcs.to_header().tostring(sep="\n"),
            "pixel_scale": scale,
            "fwhm": look.fwhm and look.fwhm * scale,
            "background_level": look.level,
            "background_noise": look.noise,
            "zero_point_estimate": self.zero_point.zp,
            "limiting_magnitude_estimate": look.limiting_magnitude(self.zero_point.zp),
            "mjd": min(row.mjd for row in images),
            "mjd_end": max(row.mjd_end for row in images),
            "exposure_time": sum(row.exposure_time for row in images),
            "saturation": min((row.saturation for row in images if row.saturation), default=None),
            "alignment_target": first.image,
            **{name: getattr(first.image, name) for name in COMMON},
        }


def _name(part: ReferenceProducts) -> str:
    return str(part.image)


def _quality(parts: Sequence[ReferenceProducts], found: Coadd) -> dict[str, Any]:
    """Figures of the stack as a whole, and of each image in it."""
    reached = found.n_frames[found.n_frames > 0]
    return {
        "images": len(parts) - len(found.left_out),
        "median_images": float(np.median(reached)) if reached.size else 0.0,
        "fully_covered": float(np.mean(found.n_frames >= 0.9 * (len(parts) - len(found.left_out)))),
        "artefact_pixels": {_name(part): number for part, number in zip(parts, found.rejected)},
        "left_out": {_name(parts[index]): why for index, why in found.left_out.items()},
    }


def digest(zero_points: Sequence[ZeroPoint]) -> str:
    """20 hexadecimal characters for a set of zero points, whatever their order."""
    text = ",".join(sorted(str(row.pk) for row in zero_points))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def common_grid(solutions: Sequence[WCS], shapes: Sequence[tuple[int, int]]) -> tuple[WCS, tuple[int, int]]:
    """A tangent-plane WCS with the pixels of the middle of the first image, and a shape that holds all images."""
    first, (ny, nx) = solutions[0], shapes[0]
    middle = np.array([[(nx - 1) // 2, (ny - 1) // 2]])  # a pixel centre: there the first image is not resampled
    around = middle + np.array([[0, 0], [1, 0], [0, 1]])
    sky = first.all_pix2world(around, 0)
    flat = WCS(naxis=2)
    flat.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    flat.wcs.crval, flat.wcs.crpix = sky[0], [1, 1]
    flat.wcs.cd = np.diag([1 / 3600, 1 / 3600])
    steps = flat.all_world2pix(sky, 0)
    flat.wcs.cd = np.column_stack([steps[1] - steps[0], steps[2] - steps[0]]) / 3600
    corners = []
    for wcs, (height, width) in zip(solutions, shapes):
        edge = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
        corners.append(flat.all_world2pix(wcs.all_pix2world(edge, 0), 0))
    low, high = np.floor(np.min(np.vstack(corners), axis=0)), np.ceil(np.max(np.vstack(corners), axis=0))
    flat.wcs.crpix = 1 - low
    width, height = (high - low).astype(int)
    return WCS(fits.Header(flat.to_header())), (int(height), int(width))
