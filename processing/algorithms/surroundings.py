"""What surrounds a candidate: light along a line through it, the edge, the mask, bright stars."""

from __future__ import annotations

import numpy as np

REACH = 6.0  # FWHM from the middle of a candidate
_ANGLES = 36  # of a half turn
_FROM, _STEP = 1.75, 0.25  # FWHM


def streak(score: np.ndarray, fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    """Median along the brightest line through the middle of stamps (n, s, s) of the score, and its angle: (n,) each.

    The line runs from 1.75 to 6 FWHM on both sides: a median over both is blind to neighbours, which cover less than
    half of it. The angle is in degrees from x towards y, 0 to 180. Spikes of bright stars, satellite trails and bad
    columns are seen so where the core of the candidate looks like a point source.
    """
    middle, angles = score.shape[-1] // 2, np.arange(_ANGLES) * np.pi / _ANGLES
    distance = np.arange(_FROM, REACH, _STEP) * fwhm
    distance = np.concatenate([-distance, distance])
    columns, rows = (np.rint(middle + np.outer(f(angles), distance)).astype(int) for f in (np.cos, np.sin))
    along = np.median(score[:, rows, columns], axis=2)
    brightest = along.argmax(axis=1)
    return along[np.arange(len(along)), brightest], np.degrees(angles[brightest])


def edge_distance(shape: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance (n,) px of positions (n,) from the centre of the nearest pixel at the edge of an image (ny, nx)."""
    ny, nx = shape
    return np.minimum.reduce([x, y, nx - 1 - x, ny - 1 - y])


def nearest(marked: np.ndarray) -> np.ndarray:
    """Distance (n,) px from the middle of stamps (n, s, s) bool to the nearest marked pixel; NaN where none is."""
    offset = np.arange(marked.shape[-1]) - marked.shape[-1] // 2
    distance = np.where(marked, np.hypot(offset[:, None], offset[None, :]), np.inf).min(axis=(1, 2), initial=np.inf)
    return np.where(np.isfinite(distance), distance, np.nan)
