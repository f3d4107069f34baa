"""Master frames: the robust mean of any number of frames, some rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, Self

import numpy as np

from processing.algorithms.detrend import amplifier_plane
from processing.algorithms.overscan import Amplifier
from processing.errors import BadInput
from processing.parameters import Parameters, param

_MEDIAN = np.pi / 2  # variance of the median of many normal values over that of their mean


class MasterStackParameters(Parameters):
    """How the frames of a master frame are combined."""

    clip: float = param(
        3.0, gt=0, unit="sigma", help="Values farther from the median of their pixel are left out of the mean."
    )
    block: int = param(64, ge=1, unit="px", critical=False, help="Rows combined at once: bounds the memory.")


class FrameStore(Protocol):
    """Where frames of one shape wait until they are combined."""

    def add(self, frame: np.ndarray) -> None:
        """Keep one more frame, (ny, nx) float32. BadInput where its shape is not that of the first."""

    def frame(self, index: int) -> np.ndarray:
        """One frame, (ny, nx) float32."""

    def rows(self, start: int, stop: int, indices: Sequence[int]) -> np.ndarray:
        """Some rows of the frames `indices`, (n, stop - start, nx) float32."""

    def __len__(self) -> int:
        """How many frames are kept."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None:
        """Let go of them."""


class MemoryStore:
    """Frames in memory: for few or small ones."""

    def __init__(self) -> None:
        self._frames: list[np.ndarray] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._frames.clear()

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: np.ndarray) -> None:
        """Keep a frame."""
        if self._frames:
            require_same_shape(frame.shape, self._frames[0].shape)
        self._frames.append(np.array(frame, np.float32))

    def frame(self, index: int) -> np.ndarray:
        """One frame, to be changed as one likes."""
        return self._frames[index].copy()

    def rows(self, start: int, stop: int, indices: Sequence[int]) -> np.ndarray:
        """Some rows of some frames."""
        return np.stack([self._frames[index][start:stop] for index in indices])


@dataclass(frozen=True)
class ReadNoise:
    """The noise of a frame in the unit that is stacked: read_noise² + shot × signal; both (ny, nx) float32."""

    variance: np.ndarray
    shot: np.ndarray  # unit of the stack per electron

    @classmethod
    def of(cls, amplifiers: Sequence[Amplifier], shape: tuple[int, int], *, in_electrons: bool) -> Self:
        """That of a CCD, whose frames are in electrons or in ADU."""
        noise = amplifier_plane(amplifiers, shape, "read_noise")
        if in_electrons:
            return cls(noise * noise, np.ones(shape, np.float32))
        gain = amplifier_plane(amplifiers, shape, "gain")
        return cls((noise / gain) ** 2 + np.float32(1 / 12), 1 / gain)


@dataclass(frozen=True)
class Master:
    """The combination of frames; all (ny, nx)."""

    data: np.ndarray  # float32
    variance: np.ndarray  # float32; 0 where no frame has a value
    number: np.ndarray  # uint16, values that were averaged
    noise_ratio: float  # scatter of the frames over what their noise explains; 1 when the noise is understood

    @property
    def weight(self) -> np.ndarray:
        """Inverse variance (ny, nx) float32, 0 where no frame has a value."""
        return np.divide(1, self.variance, out=np.zeros_like(self.variance), where=self.variance > 0)

    @property
    def is_empty(self) -> np.ndarray:
        """Pixels (ny, nx) bool without any value."""
        return self.number == 0


def combine(
    frames: FrameStore,
    indices: Sequence[int],
    scales: Sequence[float],
    noise: ReadNoise,
    parameters: MasterStackParameters,
    *,
    takes_median: bool = False,
) -> Master:
    """The clipped mean (or median) of the frames `indices`, NaN in them left out; the same whatever `block` is.

    Each frame was divided by one of `scales` after it was read, which says how noisy it is. Raises BadInput when there
    is no frame, or where a scale is not above 0.
    """
    from processing.algorithms import stacking_kernels

    found = np.asarray(scales, np.float32)
    if not len(indices):
        raise BadInput(what="stack", reason="there is no frame")
    if len(found) != len(indices) or not np.all(found > 0):
        raise BadInput(what="stack", reason="every frame needs a scale above 0")
    weights = _weights(frames, indices, found, noise)
    pairs = sorting_network(len(indices))
    height = noise.variance.shape[0]
    parts, chi2 = [], []
    for start in range(0, height, parameters.block):
        stop = min(start + parameters.block, height)
        block = frames.rows(start, stop, indices)
        given = (noise.variance[start:stop], noise.shot[start:stop])
        *planes, square = stacking_kernels.combine(
            block, found, weights, *given, np.float32(parameters.clip), takes_median, pairs
        )
        parts.append(planes)
        chi2.append(square)
    data, variance, number = (np.concatenate(planes) for planes in zip(*parts))
    if takes_median:
        variance *= np.float32(_MEDIAN)
    return Master(data, variance, number, _noise_ratio(np.concatenate(chi2), number))


def _noise_ratio(chi2: np.ndarray, number: np.ndarray) -> float:
    usable = number > 1
    if not usable.any():
        return 1.0
    found = chi2[usable]
    return float(np.sqrt(np.mean(np.minimum(found, np.percentile(found, 99.9)))))  # a few pixels flicker


def _weights(frames: FrameStore, indices: Sequence[int], scales: np.ndarray, noise: ReadNoise) -> np.ndarray:
    """Inverse variance of each frame at its typical signal, (n,) float64; they sum to 1."""
    middle = noise.variance.shape[0] // 2
    rows = frames.rows(max(0, middle - 2), middle + 2, indices)
    signal = max(float(np.nanmedian(rows)) if np.isfinite(rows).any() else 0.0, 0.0)
    read, shot = float(np.median(noise.variance[::16])), float(np.median(noise.shot[::16]))
    weights = scales.astype(float) ** 2 / (read + shot * signal * scales)
    return weights / weights.sum()


@cache
def sorting_network(n: int) -> np.ndarray:
    """Pairs (m, 2) of places to compare, one after the other, that sort any `n` values (Batcher 1968)."""
    pairs = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


def require_same_shape(found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """BadInput where a frame has another shape than the others."""
    if tuple(found) != tuple(wanted):
        raise BadInput(what="a frame of the stack", reason=f"its shape is {found}, that of the others is {wanted}")
