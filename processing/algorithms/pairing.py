"""Which points of two sets are the same."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def mutual_pairs(here: np.ndarray, there: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `here` (n, d) and of `there` (m, d) that are each other's nearest, within `radius`: two (k,) int64."""
    if len(here) == 0 or len(there) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    distance, nearest = cKDTree(there).query(here, distance_upper_bound=radius)
    rows = np.flatnonzero(np.isfinite(distance))
    wanted = np.unique(nearest[rows])
    back = np.full(len(there), -1)
    back[wanted] = cKDTree(here).query(there[wanted])[1]
    rows = rows[back[nearest[rows]] == rows]
    return rows, nearest[rows]
