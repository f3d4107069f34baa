"""Combine images: weighted coadds that leave out what only a few of them show, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from processing.algorithms.master_stacking import FrameStore, MemoryStore, sorting_network
from processing.algorithms.proper_coaddition import TILE, Placed, Tiles, proper_rows
from processing.algorithms.resampling import StampModel
from processing.errors import BadInput
from processing.parameters import Parameters, param

_SEEN = 0.7  # part of the threshold above which a frame counts as deviating
_ALIKE = 0.5  # part of the largest deviation of a pixel above which another frame shows the same
_GROWTH = 0.5  # neighbours of a rejected pixel go with it above this part of the threshold
_HALO = 4  # rows around a strip on which the verdict about its pixels rests
_THIN = 4  # every so many pixels along each axis tell how noisy a frame is
_BAND, _TELLING = 64, 512  # rows looked at together, and in all, to judge whole frames
_BYTES = 13  # of a pixel of a frame while it is combined
_TRUSTED = 1000.0  # sigma of flux, and pixels of sky, that are needed to say that a frame does not belong


class StackParameters(Parameters):
    """How frames are combined."""

    method: Literal["mean", "proper"] = param(
        "mean", help="Weighted mean, or the proper coadd of Zackay & Ofek (2017): 1 to 3 % deeper where seeing differs."
    )
    artefact: float = param(5.0, gt=0, unit="sigma", help="Deviation from the median of what few frames show.")
    sharpness: float = param(
        0.7, ge=0, help="Deviation allowed on top, as part of the local contrast: the seeing of frames differs."
    )
    flux_error: float = param(
        0.3, gt=0, help="A frame is left out if the flux of its sources is off the median by such a part of it."
    )
    noise_error: float = param(
        2.0, gt=1, help="A frame is left out if its sky scatters by so much more than its variance says."
    )
    memory: float = param(256.0, gt=0, unit="MB", critical=False, help="What is combined at once takes about this.")


@dataclass(frozen=True)
class Frame:
    """One frame of a coadd, on the common grid and the common zero point."""

    data: np.ndarray  # (ny, nx) float32, background subtracted
    variance: np.ndarray  # (ny, nx) float32, of the noise as it was before resampling
    mask: np.ndarray  # (ny, nx) bool, True where unusable or outside
    psf: StampModel | None = None  # on the common grid; the proper coadd needs it


@dataclass(frozen=True)
class Coadd:
    """The weighted mean of frames, or their proper coadd."""

    data: np.ndarray  # (ny, nx) float32, in the unit of the frames; 0 where no frame is usable
    variance: np.ndarray  # (ny, nx) float32; 0 where no frame is usable
    mask: np.ndarray  # (ny, nx) bool, True where no frame is usable
    n_frames: np.ndarray  # (ny, nx) uint16, frames that entered each pixel
    rejected: tuple[int, ...]  # pixels of each frame that were left out as artefacts
    left_out: dict[int, str] = field(default_factory=dict)  # frames that do not belong to the others: place → why


@dataclass
class _Waiting:
    """Frames in their stores, data with NaN where they are unusable."""

    data: FrameStore
    variance: FrameStore
    levels: list[float] = field(default_factory=list)  # typical variance of each
    psfs: list[StampModel | None] = field(default_factory=list)
    shape: tuple[int, int] = (0, 0)
    empty: dict[int, str] = field(default_factory=dict)  # frames without a usable pixel: place → why

    def take(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            level = _level(frame)
            if level is None:
                self.empty[len(self.levels)] = "none of its pixels is usable"
            self.levels.append(level or 1.0)
            self.psfs.append(frame.psf)
            self.data.add(np.where(frame.mask, np.float32(np.nan), frame.data))
            self.variance.add(frame.variance)
            self.shape = frame.data.shape
        if not self.levels:
            raise BadInput(what="stack", reason="there is no frame")
        if len(self.empty) == len(self.levels):
            raise BadInput(what="stack", reason="no frame has a usable pixel")


def coadd(
    frames: Iterable[Frame],
    parameters: StackParameters | None = None,
    store: Callable[[], FrameStore] = MemoryStore,
) -> Coadd:
    """Inverse-variance weighted mean, one weight a frame; a pixel is left out of few frames that deviate, not of many.

    Frames are asked for one by one, and wait in `store`. Satellites, cosmic rays and ghosts differ from the median of
    all frames in one or two of them; what differs in more is a variable source or the core of a star seen with
    different seeing, and stays. At steep places a frame may differ by part of the contrast. A frame whose sources or
    sky as a whole are not those of the others, or that has no usable pixel, is left out. Raises BadInput without usable
    frames, where shapes differ, or where a proper coadd is asked for and a frame has no PSF.
    """
    parameters = parameters or StackParameters()
    with store() as data, store() as variance:
        waiting = _Waiting(data, variance)
        waiting.take(frames)
        used = [index for index in range(len(waiting.levels)) if index not in waiting.empty]
        if parameters.method == "proper" and any(psf is None for psf in waiting.psfs):
            raise BadInput(what="proper coadd", reason="a frame has no PSF")
        strange = waiting.empty | _strangers(waiting, used, parameters)
        used = [index for index in used if index not in strange]
        return _combined(waiting, used, strange, parameters)


def allowed_rejections(frames: np.ndarray | int) -> np.ndarray:
    """In how many of `frames` a pixel may be an artefact: 0, 0, 0, 1, 1, 2, then 2 + 3 % (Rubin's DMTN-080)."""
    frames = np.asarray(frames)
    return np.select([frames <= 2, frames <= 4, frames == 5], [0, 1, 2], 2 + (0.03 * frames).astype(int))


@dataclass(frozen=True)
class _Strip:
    """Some rows of the used frames, artefacts taken out."""

    stack: np.ndarray  # (n, rows, nx) float32, NaN where left out
    variance: np.ndarray  # (n, rows, nx) float32
    core: slice  # the rows that were asked for
    inner: slice  # those and what they depend on, all free of artefacts
    rejected: np.ndarray  # (n,) pixels


def _combined(waiting: _Waiting, used: list[int], strange: dict[int, str], parameters: StackParameters) -> Coadd:
    from processing.algorithms import coadd_kernels as kernels

    ny, nx = waiting.shape
    planes = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.uint16)
    levels = np.array([waiting.levels[index] for index in used])
    rejected = np.zeros(len(used), np.int64)
    tiles = None
    if parameters.method == "proper":
        tiles = Tiles.of(waiting.shape, [waiting.psfs[index] for index in used], levels)
    rows = _rows_at_once(len(used), nx, parameters) if tiles is None else TILE
    for start in range(0, ny, rows):
        stop = min(start + rows, ny)
        reach = 0 if tiles is None else tiles.border
        strip = _strip(waiting, used, (start, stop), reach, parameters)
        mean, spread, number = kernels.weighted_mean(strip.stack, strip.variance, 1 / levels)
        if tiles is not None:
            inner = strip.inner
            mean[inner] = proper_rows(Placed(strip.stack[:, inner], mean[inner], max(0, start - reach)), tiles)
        for plane, found in zip(planes, (mean, spread, number)):
            plane[start:stop] = found[strip.core]
        rejected += strip.rejected
    data, variance, number = planes
    counts = dict(zip(used, rejected.tolist()))
    return Coadd(
        data, variance, number == 0, number, tuple(counts.get(i, 0) for i in range(len(waiting.levels))), strange
    )


def _strip(
    waiting: _Waiting, used: list[int], rows: tuple[int, int], reach: int, parameters: StackParameters
) -> _Strip:
    """`rows` (first, last) and `reach` more on both sides, without artefacts."""
    from processing.algorithms import coadd_kernels as kernels

    ny, wide = waiting.shape[0], reach + _HALO
    first, last = max(0, rows[0] - wide), min(ny, rows[1] + wide)
    inner = slice(max(0, rows[0] - reach) - first, min(ny, rows[1] + reach) - first)
    core = slice(rows[0] - first, rows[1] - first)
    stack, variance = waiting.data.rows(first, last, used), waiting.variance.rows(first, last, used)
    rejected = np.zeros(len(used), np.int64)
    if len(used) > 2:
        middle, noise, scales = _medians(waiting, used, stack, variance)
        limits = (parameters.artefact, parameters.sharpness, _ALIKE, _SEEN, _GROWTH)
        verdict = kernels.judge(
            stack,
            (middle, noise, kernels.contrast(middle)),
            scales,
            tuple(map(np.float32, limits)),
            allowed_rejections(np.arange(len(used) + 1)),
        )
        rejected = kernels.reject(stack, verdict, core.start, core.stop)
    return _Strip(stack, variance, core, inner, rejected)


def _medians(
    waiting: _Waiting, used: list[int], stack: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median of the frames, median of their variances per unit of their own level, roots of the levels (n,)."""
    from processing.algorithms import coadd_kernels as kernels

    levels = np.array([waiting.levels[index] for index in used], np.float32)
    pairs = sorting_network(len(used))
    middle = kernels.medians(stack, stack, np.ones(len(used), np.float32), pairs)
    # Per unit of the frame's own level: a hit raises its own variance, but not the median of all.
    return middle, kernels.medians(variance, stack, 1 / levels, pairs), np.sqrt(levels)


def _strangers(waiting: _Waiting, used: list[int], parameters: StackParameters) -> dict[int, str]:
    """Place → why, of frames that show another sky than the median; of two nobody can say which."""
    from processing.algorithms import coadd_kernels as kernels

    if len(used) <= 2:
        return {}
    sums = np.zeros((len(used), 5))
    height = min(_BAND, _rows_at_once(len(used), waiting.shape[1], parameters))
    for start, stop in _samples(waiting.shape[0], height):
        stack, variance = waiting.data.rows(start, stop, used), waiting.variance.rows(start, stop, used)
        sums += kernels.figures(stack, *_medians(waiting, used, stack, variance), 0, stop - start)
    found = {}
    for index, (flux, expected, sky, inside, squares) in zip(used, sums):
        ratio = flux / expected if expected > 0 else 1.0
        scatter = np.sqrt(squares / inside) if inside > 0 else 1.0
        outside = 1 - inside / sky if sky > 0 else 0.0
        if expected > _TRUSTED * np.sqrt(waiting.levels[index]) and abs(ratio - 1) > parameters.flux_error:
            found[index] = f"its sources have {ratio:.2f} of the flux of those of the other images"
        elif sky > _TRUSTED and (scatter > parameters.noise_error or outside > 0.2):
            found[index] = f"its sky scatters {max(scatter, 4 * outside):.1f} times as much as its noise says"
    if len(found) > (len(used) - 1) // 2:  # then the median is nobody's
        return {}
    return found


def _samples(ny: int, height: int) -> Iterator[tuple[int, int]]:
    """Bands of rows that tell of the whole."""
    number = -(-_TELLING // height)
    if ny <= height * number:
        yield from ((start, min(start + height, ny)) for start in range(0, ny, height))
        return
    for start in np.linspace(0, ny - height, number).astype(int):
        yield int(start), int(start) + height


def _rows_at_once(number: int, nx: int, parameters: StackParameters) -> int:
    return int(np.clip(parameters.memory * 1e6 / (number * nx * _BYTES) - 2 * _HALO, 8, 1024))


def _level(frame: Frame) -> float | None:
    """Typical variance of a frame; None where no pixel is usable."""
    thin = np.s_[::_THIN, ::_THIN]
    for part in (thin, np.s_[:]):
        good = ~frame.mask[part] & (frame.variance[part] > 0)
        if good.any():
            return float(np.median(frame.variance[part][good]))
    return None
