"""Fringes of the night sky: a fixed pattern whose strength is fitted to each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep

_CLIP = 3.0  # σ
_BOX = 128  # px: what is smoother is sky, in the pattern as in the image
_ENOUGH = 2_000_000  # pixels that tell the amplitude to 0.1 % of any fringe worth taking off


@dataclass(frozen=True)
class FringeFit:
    """How strong the pattern is in an image."""

    amplitude: float  # electrons of the image per unit of the pattern
    error: float


def fit_fringe(data: np.ndarray, weight: np.ndarray, pattern: np.ndarray, box: int = _BOX) -> FringeFit:
    """Fit `pattern` (ny, nx) float32, mean 0, to `data` (ny, nx) float32 without sky, with inverse variance `weight`.

    Both are compared without what is smoother than `box` pixels, sources are clipped away.
    a = Σ w f d / Σ w f²; without usable pixels or pattern the amplitude is 0.
    """
    step = max(1, data.size // _ENOUGH)  # rows that tell enough stand for the others
    data, weight, pattern = (np.ascontiguousarray(plane[::step]) for plane in (data, weight, pattern))
    known = np.isfinite(pattern)
    usable = (weight > 0) & known
    if not usable.any():
        return FringeFit(0.0, 0.0)
    f = _without_smooth(np.where(known, pattern, np.float32(0)), ~known, (max(1, box // step), box))[usable]
    d, w = data[usable], weight[usable]
    noise = 1 / np.sqrt(w)
    amplitude = 0.0
    keep = np.abs(d) < _CLIP * noise
    for _ in range(2):
        total = float(np.sum(w[keep] * f[keep] ** 2, dtype=np.float64))
        if total <= 0:
            return FringeFit(0.0, 0.0)
        amplitude = float(np.sum(w[keep] * f[keep] * d[keep], dtype=np.float64)) / total
        keep = np.abs(d - np.float32(amplitude) * f) < _CLIP * noise
    return FringeFit(amplitude, total**-0.5)


def _without_smooth(plane: np.ndarray, mask: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    height, width = (min(side, size) for side, size in zip(box, plane.shape))
    smooth = sep.Background(plane, mask=mask, bw=width, bh=height)
    return plane - smooth.back(dtype=np.float32)
