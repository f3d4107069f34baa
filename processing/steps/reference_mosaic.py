"""Several references as one, on the grid and in the electrons of the new image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from processing.algorithms.inpainting import fill
from processing.algorithms.resampling import (
    MappedPSF,
    StampModel,
    pixel_map,
    warp,
    warp_flags,
    warp_valid,
    warp_variance,
)
from processing.algorithms.variance import total_variance
from processing.providers import ReferenceProducts
from processing.steps.flux_scale import FluxScale
from products.models import Background, Image, ScienceImage, SourceList, WarpedImage, WorldCoordinates, ZeroPoint
from products.pixel_flags import PixelFlag

_UNUSABLE = int(PixelFlag.UNUSABLE)


@dataclass(frozen=True)
class PiecewisePSF:
    """The PSF of whichever reference a pixel was taken from."""

    models: tuple[StampModel, ...]  # on the grid of the mosaic
    origin: np.ndarray  # (ny, nx) int8, place of the reference in `models`; -1 where there is none

    def stamp(self, x: float, y: float) -> np.ndarray:
        """The PSF at pixel (x, y), of the reference that most pixels around it come from."""
        ny, nx = self.origin.shape
        row, column = int(np.clip(np.rint(y), 0, ny - 1)), int(np.clip(np.rint(x), 0, nx - 1))
        around = self.origin[max(0, row - 128) : row + 129 : 8, max(0, column - 128) : column + 129 : 8]
        counts = np.bincount(around[around >= 0], minlength=len(self.models))
        return self.models[int(np.argmax(counts))].stamp(x, y)


@dataclass(frozen=True)
class MosaicProducts(ReferenceProducts):
    """A mosaic looks to subtraction like one reference on the new image's grid; nothing of it is kept but its warp."""

    model: StampModel | None = None
    rms: np.ndarray | None = None  # (ny, nx) float32, of the sky

    def psf_model(self) -> StampModel:
        return self.model

    @property
    def noise(self) -> float | np.ndarray:
        return self.rms


@dataclass(frozen=True)
class _Piece:
    """One reference brought to the grid of the new image."""

    data: np.ndarray
    weight: np.ndarray
    flags: np.ndarray
    rms: np.ndarray
    psf: MappedPSF
    sources: np.ndarray  # its table, in pixels and electrons of the new image


def mosaic(
    parts: Sequence[ReferenceProducts], image: ScienceImage, solution: WorldCoordinates, zero_point: ZeroPoint
) -> MosaicProducts:
    """The first reference where it is usable, else the next that is; each piece keeps its PSF and its noise."""
    pieces = [_piece(part, image, solution, zero_point) for part in parts]
    origin = np.full(image.shape, -1, np.int8)
    for place, piece in enumerate(pieces):
        origin[(origin < 0) & (piece.weight > 0)] = place
    data, weight, rms = (np.zeros(image.shape, np.float32) for _ in range(3))
    flags = np.full(image.shape, int(PixelFlag.OUT_OF_BOUNDS), np.uint16)
    tables = []
    for place, piece in enumerate(pieces):
        here = origin == place
        for plane, values in ((data, piece.data), (weight, piece.weight), (rms, piece.rms), (flags, piece.flags)):
            plane[here] = values[here]
        table = piece.sources
        rows = np.rint(table["y"]).astype(int), np.rint(table["x"]).astype(int)
        tables.append(table[origin[rows] == place])
    missing = origin < 0
    noise = float(np.sqrt(np.mean(rms[~missing] ** 2))) if not missing.all() else 0.0
    rms[missing] = noise
    return MosaicProducts(
        image=Image(data=data, weight=weight, flags=flags, width=image.width, height=image.height),
        psf=parts[0].psf,
        background=Background(value=0.0, noise=noise, level=np.zeros_like(data), rms=rms),
        sources=SourceList(table=np.concatenate(tables), n_sources=sum(map(len, tables))),
        world_coordinates=solution,
        zero_point=zero_point,
        model=PiecewisePSF(tuple(piece.psf for piece in pieces), origin),
        rms=rms,
    )


def made_of_all(warped: WarpedImage, parts: Sequence[ReferenceProducts]) -> WarpedImage:
    """The same row, which will say of which references it was made."""
    warped.related = {"components": [part.zero_point.pk for part in parts]}
    return warped


def _piece(part: ReferenceProducts, image: ScienceImage, solution: WorldCoordinates, zero_point: ZeroPoint) -> _Piece:
    source, shape = part.image, image.shape
    mapping = pixel_map(solution.wcs, shape, part.world_coordinates.wcs, source.shape)
    scale = FluxScale(zero_point, part.zero_point, mapping)
    factor = scale.plane(shape)
    bad = (source.weight <= 0) | ((source.flags & _UNUSABLE) != 0)
    own = np.where(bad & ((source.flags & _UNUSABLE) == 0), int(PixelFlag.ZERO_WEIGHT), 0).astype(np.uint16)
    flags = warp_flags(source.flags | own, mapping, shape)
    data = warp(fill(source.data - part.background.level, bad), mapping, shape) * factor
    spread = warp_variance(total_variance(source.weight, part.background.rms), mapping, shape) * factor**2
    usable = ((flags & _UNUSABLE) == 0) & warp_valid(mapping, shape) & (spread > 0)
    sky = warp_variance(part.background.rms**2, mapping, shape) * factor**2
    return _Piece(
        data=data,
        weight=np.divide(1, spread, out=np.zeros_like(spread), where=usable),
        flags=flags,
        rms=np.sqrt(sky),
        psf=MappedPSF(part.psf_model(), mapping),
        sources=_moved(part, solution, shape, scale),
    )


def _moved(part: ReferenceProducts, solution: WorldCoordinates, shape: tuple[int, int], scale: FluxScale) -> np.ndarray:
    """Sources of a reference that lie in the new image, at its pixels and in its electrons."""
    table: Any = part.sources.table.copy()
    ra, dec = part.world_coordinates.wcs.all_pix2world(table["x"], table["y"], 0)
    table["x"], table["y"] = solution.wcs.all_world2pix(ra, dec, 0, quiet=True)
    ny, nx = shape
    with np.errstate(invalid="ignore"):
        inside = (table["x"] > -0.5) & (table["x"] < nx - 0.5) & (table["y"] > -0.5) & (table["y"] < ny - 0.5)
    table = table[inside]
    factor = scale.at(table["x"], table["y"])
    for name in ("flux_psf", "flux_psf_err"):
        table[name] *= factor
    return table
