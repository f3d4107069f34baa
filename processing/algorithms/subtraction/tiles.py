"""What is constant over a tile of a difference image: its PSF, and how noise and statistics follow from its planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.subtraction.tiling import Tiling

TILE = np.dtype(
    [
        ("y0", "i4"),  # pixels from 0 that it covers, ends excluded
        ("y1", "i4"),
        ("x0", "i4"),
        ("x1", "i4"),
        ("flux_noise", "f8"),  # variance of the PSF flux over that of a pixel of the difference
        ("motion_x", "f8"),  # px^2: variance of the PSF flux over that of its slope along x
        ("motion_y", "f8"),
        ("hit_ratio", "f8"),  # significance of a hit of one pixel over that of a point source, for a point source
    ]
)


@dataclass(frozen=True)
class Tiles:
    """One row a tile, row by row of tiles."""

    table: np.ndarray  # (n,) dtype TILE
    psf: np.ndarray  # (n, k, k) float32, PSF of the difference: a new source of flux f appears as f times it
    hit: np.ndarray  # (n, k, k) float32: its product with `data` over the error of the PSF flux is that of a hit

    @classmethod
    def empty(cls, tiling: Tiling) -> Tiles:
        """Arrays to be written tile by tile."""
        number, size = int(np.prod(tiling.counts)), 2 * tiling.half + 1
        return cls(np.zeros(number, TILE), *(np.empty((number, size, size), np.float32) for _ in range(2)))

    def index(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The row of the tile that holds each position (n,), px from 0; of the nearest one outside the image."""
        starts = [np.unique(self.table[name]) for name in ("y0", "x0")]
        found = [
            np.clip(np.searchsorted(start, np.asarray(position) + 0.5, side="right") - 1, 0, len(start) - 1)
            for start, position in zip(starts, (y, x))
        ]
        return found[0] * len(starts[1]) + found[1]

    def at(self, name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """A column of TILE at each position (n,)."""
        return self.table[name][self.index(x, y)]

    def stamp(self, x: float, y: float) -> np.ndarray:
        """The PSF of the tile with pixel (x, y): (k, k) float32, sum 1 but for what lies outside the stamp."""
        return self.psf[int(self.index(np.array([x]), np.array([y]))[0])]

    def plane(self, name: str) -> np.ndarray:
        """A column of TILE at every pixel, (ny, nx) float32."""
        found = np.empty((self.table["y1"].max(), self.table["x1"].max()), np.float32)
        for row in self.table:
            found[row["y0"] : row["y1"], row["x0"] : row["x1"]] = row[name]
        return found
