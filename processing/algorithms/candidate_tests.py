"""Whether a candidate moved, and whether it is a hit of one pixel: statistics beside the score, at single places."""

from __future__ import annotations

import numpy as np

from processing.algorithms.peaks import ScorePlanes
from processing.algorithms.stamps import cut_stamps
from processing.algorithms.subtraction.tiling import slopes

_TOGETHER = 200  # candidates whose stamps are in memory at a time


def significance_around(planes: ScorePlanes, x: np.ndarray, y: np.ndarray, half: int) -> np.ndarray:
    """S/√V_S, without registration and flux-ratio terms, in ±`half` px around pixels (n,) int: (n, s, s) float32.

    0 where the image is unusable.
    """
    alpha = cut_stamps(planes.alpha, x, y, size=2 * half + 1)[0]
    return _over_error(alpha, planes, x, y, half)


def motion(planes: ScorePlanes, x: np.ndarray, y: np.ndarray, half: int) -> np.ndarray:
    """Z² of Springer, Ofek & Zackay 2024 (arXiv:2403.09771) in ±`half` px around pixels (n,) int: (n, s, s) float32.

    The squared gradient of the score in units of its variance: χ² of two degrees of freedom on noise, large for a
    source that moved. Multiplied with F_S/V_S, so that source noise is in it.
    """
    along_x, along_y = slopes(cut_stamps(planes.alpha, x, y, size=2 * half + 5)[0])
    scale_x, scale_y = (np.sqrt(planes.tiles.at(name, x, y))[:, None, None] for name in ("motion_x", "motion_y"))
    found = np.hypot(scale_x * along_x, scale_y * along_y)
    return _over_error(found.astype(np.float32), planes, x, y, half) ** 2


def hits(planes: ScorePlanes, x: np.ndarray, y: np.ndarray, half: int) -> np.ndarray:
    """Significance of a hit of one pixel of the new image in ±`half` px around pixels (n,) int: (n, s, s) float32."""
    index, size = planes.tiles.index(x, y), planes.tiles.hit.shape[-1]
    found = np.empty((len(index), 2 * half + 1, 2 * half + 1), np.float32)
    for first in range(0, len(index), _TOGETHER):
        rows = slice(first, first + _TOGETHER)
        data = cut_stamps(planes.data, x[rows], y[rows], size=size + 2 * half)[0]
        windows = np.lib.stride_tricks.sliding_window_view(data, (size, size), axis=(1, 2))
        found[rows] = np.einsum("nyxij,nij->nyx", windows, planes.tiles.hit[index[rows]], optimize=True)
    return _over_error(found, planes, x, y, half)


def _over_error(values: np.ndarray, planes: ScorePlanes, x: np.ndarray, y: np.ndarray, half: int) -> np.ndarray:
    """`values` (n, s, s) over the error of the PSF flux of their pixels, 0 where that is not known."""
    variance = cut_stamps(planes.variance, x, y, size=2 * half + 1)[0]
    per_flux = planes.tiles.at("flux_noise", x, y)[:, None, None].astype(np.float32)
    known = np.isfinite(variance) & (variance > 0)
    return np.where(known, values / np.sqrt(np.where(known, variance * per_flux, 1)), 0)
