"""Find the offset, rotation, scale and flip between a list of detections and a list of catalogue stars by vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FLIPS = {"": (1, 1), "x": (-1, 1), "y": (1, -1), "xy": (-1, -1)}  # axes that may be counted the other way


@dataclass(frozen=True)
class Vote:
    """What most pairs agree on: detected = R(rotation) · scale · flip · (predicted − centre) + centre + shift."""

    rotation: float  # degrees
    scale: float
    shift: tuple[float, float]  # px (x, y)
    significance: float  # Poisson σ above the mean of the histogram
    votes: int
    flip: str = ""  # one of FLIPS

    @property
    def matrix(self) -> np.ndarray:
        """(2, 2), for column vectors."""
        return transform(self.rotation, self.scale, self.flip)

    def apply(self, xy: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Predicted positions (n, 2) moved to where they are detected, px."""
        return (xy - centre) @ self.matrix.T + centre + np.array(self.shift)

    def undo(self, xy: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Where detections (n, 2) px are predicted."""
        return (xy - centre - np.array(self.shift)) @ np.linalg.inv(self.matrix).T + centre


def transform(rotation: float, scale: float, flip: str = "") -> np.ndarray:
    """Matrix (2, 2) that flips axes, then scales, then turns by `rotation` degrees."""
    c, s = np.cos(np.radians(rotation)) * scale, np.sin(np.radians(rotation)) * scale
    return np.array([[c, -s], [s, c]]) * np.array(FLIPS[flip])


def vote(
    detected: np.ndarray,
    predicted: np.ndarray,
    centre: np.ndarray,
    *,
    reach: float,
    rotations: np.ndarray,
    scales: np.ndarray,
    bin_size: float = 8.0,
    flips: Sequence[str] = ("",),
) -> Vote:
    """Histogram detected − predicted, (n, 2) and (m, 2) px, for each flip, scale and rotation; the highest peak wins.

    `reach` is the largest shift in px, `rotations` in degrees. The histogram is summed over 3 × 3 bins. Of equal peaks
    the first in the order of `flips`, `scales`, `rotations` wins.
    """
    from processing.algorithms.matching_kernels import tally

    if len(detected) == 0 or len(predicted) == 0:
        return Vote(0.0, 1.0, (0.0, 0.0), 0.0, 0)
    tried = [(flip, float(s), float(r)) for flip in flips for s in scales for r in rotations]
    matrices = np.array([transform(rotation, scale, flip) for flip, scale, rotation in tried])
    here, there = (np.ascontiguousarray(xy - centre, float) for xy in (detected, predicted))
    bins = max(3, int(np.ceil(2 * reach / bin_size)))
    peak, x, y, mean = tally(here, there, matrices, bins, float(bin_size)).T
    mean = np.maximum(mean, 0.5)
    significance = (peak - mean) / np.sqrt(mean)
    best = int(np.argmax(significance))
    flip, scale, rotation = tried[best]
    difference = (here[:, None] - (there @ matrices[best].T)[None]).reshape(-1, 2)
    close = np.all(np.abs(difference - [x[best], y[best]]) < 1.5 * bin_size, axis=1)
    shift = np.median(difference[close], axis=0) if close.any() else np.zeros(2)
    return Vote(rotation, scale, tuple(map(float, shift)), float(significance[best]), int(peak[best]), flip)
