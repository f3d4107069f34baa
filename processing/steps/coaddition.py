"""Coaddition: a deep image from several calibrated ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.inpainting import fill
from processing.algorithms.resampling import pixel_map, warp, warp_flags, warp_valid, warp_variance
from processing.algorithms.stacking import Frame, StackParameters, coadd
from processing.algorithms.wcs_fit import footprint, pixel_scale_arcsec
from processing.errors import BadInput
from processing.parameters import Parameters, param
from processing.providers import CoaddInputs, ReferenceProducts
from processing.step import Step
from processing.steps.extraction import total_variance
from products.models import CoaddImage, ZeroPoint
from products.pixel_flags import PixelFlag


class CoadditionParameters(Parameters):
    stack: StackParameters = param(StackParameters(), help="How the frames are combined.")
    min_frames_fraction: float = param(0.5, ge=0, le=1, help="Pixels that fewer of the frames reach are flagged.")


class Coaddition(Step):
    """Warp calibrated images to one grid and one zero point and combine them, leaving artefacts out."""

    name = "coaddition"
    version = (1, 0, 1)
    parameters: CoadditionParameters

    def run(self, inputs: CoaddInputs) -> CoaddImage:
        parts = inputs.components
        first = parts[0]
        if len({part.image.filter for part in parts}) > 1:
            raise BadInput(what="the images to stack", reason="they are of different filters")
        wcs, shape = common_grid([part.world_coordinates.wcs for part in parts], [part.image.shape for part in parts])
        found = coadd([_frame(part, wcs, shape, first.zero_point.zp) for part in parts], self.parameters.stack)
        thin = found.n_frames < max(1, self.parameters.min_frames_fraction * len(parts))
        flags = np.where(found.mask, int(PixelFlag.BAD), 0) | np.where(thin, int(PixelFlag.OUT_OF_BOUNDS), 0)
        saturated = np.mean([_saturated(part, wcs, shape) for part in parts], axis=0) >= 0.5
        flags |= np.where(saturated, int(PixelFlag.SATURATED), 0)
        weight = np.divide(
            1, found.variance, out=np.zeros_like(found.variance), where=(found.variance > 0) & (flags == 0)
        )
        images = [part.image for part in parts]
        image = CoaddImage(
            data=np.where(np.isfinite(found.data), found.data, 0).astype(np.float32),
            weight=weight.astype(np.float32),
            flags=flags.astype(np.uint16),
            width=shape[1],
            height=shape[0],
            wcs=wcs.to_header().tostring(sep="\n"),
            pixel_scale=pixel_scale_arcsec(wcs, shape),
            mjd=min(row.mjd for row in images),
            mjd_end=max(row.mjd_end for row in images),
            exposure_time=sum(row.exposure_time for row in images),
            saturation=min((row.saturation for row in images if row.saturation), default=None),
            components_digest=digest([part.zero_point for part in parts]),
            **{name: getattr(first.image, name) for name in ("instrument", "project", "target", "filter", "section")},
        )
        image.related = {"components": [part.zero_point.pk for part in parts]}
        return image.set_footprint(footprint(wcs, shape))


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


def _frame(part: ReferenceProducts, wcs: WCS, shape: tuple[int, int], zero_point: float) -> Frame:
    image = part.image
    mapping = pixel_map(wcs, shape, part.world_coordinates.wcs, image.shape)
    bad = (image.weight <= 0) | ((image.flags & int(PixelFlag.UNUSABLE)) != 0)
    scale = np.float32(10 ** (0.4 * (zero_point - part.zero_point.zp)))
    data = warp(fill(image.data - part.background.level, bad), mapping, shape) * scale
    variance = warp_variance(total_variance(image.weight, part.background.rms), mapping, shape) * scale**2
    flags = warp_flags(bad.astype(np.uint16), mapping, shape)
    mask = (flags != 0) | ~warp_valid(mapping, shape)
    return Frame(data=data.astype(np.float32), variance=variance.astype(np.float32), mask=mask)


def _saturated(part: ReferenceProducts, wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    mapping = pixel_map(wcs, shape, part.world_coordinates.wcs, part.image.shape)
    full = int(PixelFlag.SATURATED | PixelFlag.BLEED)
    return warp_flags((part.image.flags & full).astype(np.uint16), mapping, shape) != 0
