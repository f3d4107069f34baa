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


def closest_pairs(here: np.ndarray, there: np.ndarray, reach: np.ndarray) -> list[tuple[int, int, float]]:
    """(row of `here` (n, d), row of `there` (m, d), distance) within the `reach` (m,) of the latter, closest first.

    Each row is in one pair at most.
    """
    if len(here) == 0 or len(there) == 0:
        return []
    found = cKDTree(here).sparse_distance_matrix(cKDTree(there), float(reach.max()), output_type="ndarray")
    found = found[found["v"] <= reach[found["j"]]]
    taken_here, taken_there, pairs = set(), set(), []
    for i, j, distance in found[np.lexsort([found["j"], found["i"], found["v"]])].tolist():
        if i not in taken_here and j not in taken_there:
            taken_here.add(i)
            taken_there.add(j)
            pairs.append((i, j, distance))
    return pairs
