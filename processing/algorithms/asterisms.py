"""Find the offset and rotation between a list of detections and a list of catalogue stars by vote."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter


@dataclass(frozen=True)
class Vote:
    """What most pairs agree on: detected = R(rotation, scale) · (predicted − centre) + centre + shift."""

    rotation: float  # degrees
    scale: float
    shift: tuple[float, float]  # px (x, y)
    significance: float  # Poisson σ above the mean of the histogram
    votes: int

    def apply(self, xy: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Predicted positions (n, 2) moved to where they are detected, px."""
        return _turned(xy, centre, self.rotation, self.scale) + np.array(self.shift)


def vote(
    detected: np.ndarray,
    predicted: np.ndarray,
    centre: np.ndarray,
    *,
    reach: float,
    rotations: np.ndarray,
    scales: np.ndarray,
    bin_size: float = 8.0,
) -> Vote:
    """Histogram detected − predicted, (n, 2) and (m, 2) px, for each rotation and scale; the highest peak wins.

    `reach` is the largest shift in px, `rotations` in degrees. The histogram is summed over 3 × 3 bins.
    """
    best = Vote(0.0, 1.0, (0.0, 0.0), -np.inf, 0)
    bins = max(3, int(np.ceil(2 * reach / bin_size)))
    edge = bins * bin_size / 2
    for scale in scales:
        for rotation in rotations:
            turned = _turned(predicted, centre, float(rotation), float(scale))
            difference = (detected[:, None, :] - turned[None, :, :]).reshape(-1, 2)
            index = np.floor((difference + edge) / bin_size).astype(int)
            inside = np.all((index >= 0) & (index < bins), axis=1)
            counts = np.bincount(index[inside] @ np.array([bins, 1]), minlength=bins * bins).reshape(bins, bins)
            summed = uniform_filter(counts.astype(float), 3, mode="constant") * 9
            mean = max(float(summed.mean()), 0.5)
            peak = np.unravel_index(np.argmax(summed), summed.shape)
            significance = (summed[peak] - mean) / np.sqrt(mean)
            if significance > best.significance:
                middle = (np.array(peak) + 0.5) * bin_size - edge
                close = np.all(np.abs(difference - middle) < 1.5 * bin_size, axis=1)
                shift = np.median(difference[close], axis=0) if close.any() else middle
                best = Vote(
                    float(rotation), float(scale), tuple(shift), float(significance), round(float(summed[peak]))
                )
    return best


def _turned(xy: np.ndarray, centre: np.ndarray, rotation: float, scale: float) -> np.ndarray:
    c, s = np.cos(np.radians(rotation)) * scale, np.sin(np.radians(rotation)) * scale
    return (xy - centre) @ np.array([[c, s], [-s, c]]) + centre
