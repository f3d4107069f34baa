"""Combine images: weighted coadds that leave out what only a few of them show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from processing.errors import BadInput
from processing.parameters import Parameters, param

_SEEN = 0.7  # part of the threshold above which a frame counts as deviating
_ALIKE = 0.5  # part of the largest deviation of a pixel above which another frame shows the same
_GROWTH = 0.5  # neighbours of a rejected pixel go with it above this part of the threshold
_CORE = 5  # px, the neighbourhood whose contrast tells how far a sharper frame may rise above the median
_EIGHT = np.ones((3, 3), bool)


class StackParameters(Parameters):
    """How frames are combined."""

    artefact: float = param(5.0, gt=0, unit="sigma", help="Deviation from the median of what few frames show.")
    sharpness: float = param(
        0.7, ge=0, help="Deviation allowed on top, as part of the local contrast: the seeing of frames differs."
    )
    block: int = param(256, ge=1, unit="px", critical=False, help="Rows combined at once: bounds the memory.")


@dataclass(frozen=True)
class Frame:
    """One frame of a coadd, on the common grid and the common zero point."""

    data: np.ndarray  # (ny, nx) float32, background subtracted
    variance: np.ndarray  # (ny, nx) float32, of the noise as it was before resampling
    mask: np.ndarray  # (ny, nx) bool, True where unusable or outside


@dataclass(frozen=True)
class Coadd:
    """The weighted mean of frames."""

    data: np.ndarray  # (ny, nx) float32, in the unit of the frames; 0 where no frame is usable
    variance: np.ndarray  # (ny, nx) float32; 0 where no frame is usable
    mask: np.ndarray  # (ny, nx) bool, True where no frame is usable
    n_frames: np.ndarray  # (ny, nx) uint16, frames that entered each pixel


def coadd(frames: Sequence[Frame], parameters: StackParameters | None = None) -> Coadd:
    """Inverse-variance weighted mean, one weight a frame; a pixel is left out of few frames that deviate, not of many.

    Satellites, cosmic rays and ghosts differ from the median of all frames in one or two of them; what differs in more
    is a variable source or the core of a star seen with different seeing, and stays. At steep places a frame may differ
    by part of the contrast. Raises BadInput without usable frames.
    """
    parameters = parameters or StackParameters()
    shape = _common_shape([frame.data.shape for frame in frames])
    levels = [_median_variance(frame) for frame in frames]
    rejected = _artefacts(frames, levels, parameters)
    total, weight, variance = (np.zeros(shape, np.float64) for _ in range(3))
    count = np.zeros(shape, np.uint16)
    for frame, level, artefact in zip(frames, levels, rejected):
        usable = ~(frame.mask | artefact)
        share = usable / level
        total += share * np.where(usable, frame.data, 0)
        variance += share**2 * np.where(usable, frame.variance, 0)
        weight += share
        count += usable
    empty = weight == 0
    weight[empty] = 1
    return Coadd(
        data=(total / weight).astype(np.float32),
        variance=(variance / weight**2).astype(np.float32),
        mask=empty,
        n_frames=count,
    )


def allowed_rejections(frames: np.ndarray | int) -> np.ndarray:
    """In how many of `frames` a pixel may be an artefact: 0, 0, 0, 1, 1, 2, then 2 + 3 % (Rubin's DMTN-080)."""
    frames = np.asarray(frames)
    return np.select([frames <= 2, frames <= 4, frames == 5], [0, 1, 2], 2 + (0.03 * frames).astype(int))


def _artefacts(frames: Sequence[Frame], levels: list[float], parameters: StackParameters) -> list[np.ndarray]:
    """For each frame the pixels (ny, nx) bool that deviate in so few frames that they cannot be sky."""
    shape = frames[0].data.shape
    if len(frames) <= 2:
        return [np.zeros(shape, bool)] * len(frames)
    planes = [np.where(frame.mask, np.nan, frame.data).astype(np.float32) for frame in frames]
    # Noise per unit of the frame's own level: a hit raises its own variance, but not the median of all.
    relative = [
        np.where(frame.mask, np.nan, frame.variance / level).astype(np.float32) for frame, level in zip(frames, levels)
    ]
    middle, noise = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for rows, _, median, _ in _blocks(planes, parameters.block):
        middle[rows] = median
    for rows, _, median, _ in _blocks(relative, parameters.block):
        noise[rows] = median
    del relative
    contrast = ndimage.maximum_filter(middle, _CORE) - ndimage.minimum_filter(middle, _CORE)

    def deviation(plane: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """In sigma, as it is and less what another seeing explains."""
        sigma = np.sqrt(noise * level)
        sigma[sigma == 0] = 1
        found = np.abs(np.nan_to_num(plane - middle)) / sigma
        # On empty sky the contrast of the median is its noise, which must not hide a faint trail.
        slope = contrast / sigma
        return found, found - parameters.sharpness * np.where(slope > 3, slope, 0)

    largest = np.zeros(shape, np.float32)
    usable, seen = np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    for frame, plane, level in zip(frames, planes, levels):
        np.maximum(largest, deviation(plane, level)[0], out=largest)
        usable += ~frame.mask
    alike = np.maximum(_SEEN * parameters.artefact, _ALIKE * largest)
    for plane, level in zip(planes, levels):
        seen += deviation(plane, level)[0] >= alike
    few = seen <= allowed_rejections(usable)
    found = []
    for plane, level in zip(planes, levels):
        excess = deviation(plane, level)[1]
        found.append(_with_wings((excess > parameters.artefact) & few, excess > _GROWTH * parameters.artefact))
    return found


def _with_wings(seeds: np.ndarray, wings: np.ndarray) -> np.ndarray:
    if not seeds.any():
        return seeds
    return seeds | (ndimage.binary_dilation(seeds, _EIGHT) & wings)


def _blocks(planes: list[np.ndarray], size: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Some rows of all planes at a time: the rows, the values (n, rows, nx), their median and their robust scatter."""
    from processing.algorithms.pixel_loops import median_and_spread

    for start in range(0, planes[0].shape[0], size):
        rows = slice(start, start + size)
        block = np.stack([plane[rows] for plane in planes])
        yield rows, block, *median_and_spread(block)


def _median_variance(frame: Frame) -> float:
    good = ~frame.mask & (frame.variance > 0)
    if not good.any():
        raise BadInput(what="frame to stack", reason="none of its pixels is usable")
    return float(np.median(frame.variance[good]))


def _common_shape(shapes: list[tuple[int, ...]]) -> tuple[int, int]:
    if not shapes:
        raise BadInput(what="stack", reason="there is no frame")
    if len(set(shapes)) > 1:
        raise BadInput(what="stack", reason=f"frames of different shapes: {sorted(set(shapes))}")
    return shapes[0]
