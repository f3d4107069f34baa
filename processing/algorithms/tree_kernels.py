"""The walk through decision trees, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def leaves(values, root, feature, limit, left, right):
    """The leaf (n, trees) int32 in which each row of `values` (n, features) ends; a leaf points to itself."""
    found = np.empty((values.shape[0], root.size), np.int32)
    for row in range(values.shape[0]):
        for tree in range(root.size):
            node = root[tree]
            while left[node] != node:
                node = left[node] if values[row, feature[node]] <= limit[node] else right[node]
            found[row, tree] = node
    return found
