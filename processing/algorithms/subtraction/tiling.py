"""Tiles of an image and their Fourier transforms: small enough for one PSF each, with a border against wrap-around."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import fft


def _border(half: int) -> int:
    return -(-3 * half // 2)


def power(spectrum: np.ndarray) -> np.ndarray:
    """|spectrum|^2, float32."""
    return spectrum.real**2 + spectrum.imag**2


@dataclass(frozen=True)
class Tiling:
    """Nearly equal tiles with a border that keeps the wrap-around of an FFT out of them."""

    shape: tuple[int, int]  # (ny, nx) px
    counts: tuple[int, int]  # tiles along y, along x
    half: int  # px, half size of the PSF stamps
    fft_shape: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, int], tile: int, half: int) -> Tiling:
        """Tiles of about `tile` px for PSF stamps of half size `half`."""
        counts = tuple(max(1, round(size / tile)) for size in shape)
        sizes = (-(-size // count) + 2 * _border(half) for size, count in zip(shape, counts))
        return cls(tuple(shape), counts, half, tuple(fft.next_fast_len(size, real=True) for size in sizes))

    @staticmethod
    def edges(size: int, count: int) -> np.ndarray:
        """First pixel of each tile along an axis, and the end of the last."""
        return np.round(np.linspace(0, size, count + 1)).astype(int)

    @property
    def border(self) -> int:
        """Pixels around a tile that its filters reach."""
        return _border(self.half)

    def cores(self) -> list[tuple[int, int, slice, slice]]:
        """Row and column of every tile, and the pixels that it covers."""
        ys, xs = (self.edges(size, count) for size, count in zip(self.shape, self.counts))
        return [
            (i, j, slice(int(ys[i]), int(ys[i + 1])), slice(int(xs[j]), int(xs[j + 1])))
            for i in range(self.counts[0])
            for j in range(self.counts[1])
        ]

    def window(self, plane: np.ndarray, core: tuple[slice, slice], outside: float) -> np.ndarray:
        """The part of a plane for the FFT of a tile: from `border` pixels before it; off the plane is `outside`."""
        starts = [part.start - self.border for part in core]
        ends = [start + size for start, size in zip(starts, self.fft_shape)]
        inside = tuple(slice(max(a, 0), min(b, size)) for a, b, size in zip(starts, ends, plane.shape))
        if all(part.stop - part.start == size for part, size in zip(inside, self.fft_shape)):
            return plane[inside]
        cut = np.full(self.fft_shape, outside, np.float32)
        cut[tuple(slice(part.start - a, part.stop - a) for part, a in zip(inside, starts))] = plane[inside]
        return cut


@dataclass(frozen=True)
class Transforms:
    """Fourier transforms of the tiles of a tiling; spectra are half planes (rfft2), complex64."""

    tiling: Tiling
    workers: int = 1
    slope_x: np.ndarray = field(init=False)  # (nx // 2 + 1,), radian / px: what `slopes` makes of a wave, over i
    slope_y: np.ndarray = field(init=False)  # (ny, 1)
    half_plane: np.ndarray = field(init=False)  # (nx // 2 + 1,), how often a column counts in the full plane

    def __post_init__(self) -> None:
        ny, nx = self.tiling.fft_shape
        twice = np.full(nx // 2 + 1, 2.0)
        twice[0] = 1
        if nx % 2 == 0:
            twice[-1] = 1
        along_x, along_y = _slope_of_wave(fft.rfftfreq(nx)), _slope_of_wave(fft.fftfreq(ny))
        for name, value in (("slope_x", along_x), ("slope_y", along_y[:, None]), ("half_plane", twice)):
            object.__setattr__(self, name, value.astype(np.float32))

    def forward(self, window: np.ndarray) -> np.ndarray:
        """Spectrum of a window of `Tiling.window`."""
        return fft.rfft2(window, workers=self.workers)

    def spectrum(self, stamp: np.ndarray) -> np.ndarray:
        """Transform of an odd stamp with its middle pixel at [0, 0]."""
        nx, (h, w) = self.tiling.fft_shape[1], (size // 2 for size in stamp.shape)
        rows = np.zeros((2 * h + 1, nx), np.float32)
        rows[:, : w + 1], rows[:, nx - w :] = stamp[:, w:], stamp[:, :w]
        return self._down(np.arange(-h, h + 1), rows)

    def _down(self, places: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Spectrum of an image that is 0 but for the rows at `places`."""
        ny, nx = self.tiling.fft_shape
        spread = np.zeros((ny, nx // 2 + 1), np.complex64)
        spread[places] = fft.rfft(rows, axis=1, workers=self.workers)
        return fft.fft(spread, axis=0, overwrite_x=True, workers=self.workers)

    def columns(self, spectrum: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        """Transform back along y only and keep some rows; filters that depend on kappa_x alone may still follow."""
        return fft.ifft(spectrum, axis=0, workers=self.workers)[rows]

    def rows(self, columns: np.ndarray) -> np.ndarray:
        """Transform back along x what `columns` gave."""
        return fft.irfft(columns, n=self.tiling.fft_shape[1], axis=1, workers=self.workers)

    def squared(self, spectrum: np.ndarray) -> np.ndarray:
        """Spectrum of the square of a kernel that reaches no farther than the border."""
        reach = np.arange(-self.tiling.border, self.tiling.border + 1)
        return self._down(reach, self.rows(self.columns(spectrum, reach)) ** 2)

    def stamp(self, spectrum: np.ndarray) -> np.ndarray:
        """The middle of a kernel, (2 half + 1, 2 half + 1)."""
        reach = np.arange(-self.tiling.half, self.tiling.half + 1)
        return self.rows(self.columns(spectrum, reach))[:, reach]

    def mean(self, half: np.ndarray) -> float:
        """The mean over the full plane of a real, even quantity given on the half plane."""
        ny, nx = self.tiling.fft_shape
        return float(np.dot(half.sum(axis=0, dtype=np.float64), self.half_plane) / (ny * nx))


@dataclass(frozen=True)
class Core:
    """Back transforms of one tile without its border."""

    transforms: Transforms
    size: tuple[int, int]

    def pixels(self, spectrum: np.ndarray, margin: int = 0) -> np.ndarray:
        """The pixels of the tile, and `margin` px around it."""
        border = self.transforms.tiling.border
        rows, columns = (slice(border - margin, border + size + margin) for size in self.size)
        return self.transforms.rows(self.transforms.columns(spectrum, rows))[:, columns]


def slopes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives along x and y of (..., ny, nx), per px, by differences of fourth order; 2 px less on every side."""
    rows, columns = values[..., 2:-2, :], values[..., 2:-2]
    along_x = (8 * (rows[..., 3:-1] - rows[..., 1:-3]) - (rows[..., 4:] - rows[..., :-4])) / 12
    along_y = (8 * (columns[..., 3:-1, :] - columns[..., 1:-3, :]) - (columns[..., 4:, :] - columns[..., :-4, :])) / 12
    return along_x, along_y


def _slope_of_wave(frequency: np.ndarray) -> np.ndarray:
    kappa = 2 * np.pi * frequency
    return (8 * np.sin(kappa) - np.sin(2 * kappa)) / 6
