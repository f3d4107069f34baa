"""Loops over pairs of detections and catalogue stars, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def tally(detected, predicted, matrices, bins, bin_size):
    """Fullest 3 × 3 bins of the differences detected − matrix · predicted for each of `matrices` (k, 2, 2).

    `detected` (n, 2) and `predicted` (m, 2) are px from one centre. The histogram has `bins` × `bins` bins of
    `bin_size` px about 0. Returns (k, 4): pairs in the fullest bins, x and y of their middle, the mean of all.
    """
    found = np.zeros((matrices.shape[0], 4))
    counts = np.zeros((bins, bins), np.int32)
    edge = bins * bin_size / 2
    for k in range(matrices.shape[0]):
        counts[:] = 0
        inside = 0
        for j in range(predicted.shape[0]):
            x = matrices[k, 0, 0] * predicted[j, 0] + matrices[k, 0, 1] * predicted[j, 1] - edge
            y = matrices[k, 1, 0] * predicted[j, 0] + matrices[k, 1, 1] * predicted[j, 1] - edge
            for i in range(detected.shape[0]):
                u, v = (detected[i, 0] - x) / bin_size, (detected[i, 1] - y) / bin_size
                if 0 <= u < bins and 0 <= v < bins:
                    counts[int(v), int(u)] += 1
                    inside += 1
        best = -1
        for v in range(1, bins - 1):
            for u in range(1, bins - 1):
                if counts[v, u] == 0:
                    continue
                total = counts[v - 1 : v + 2, u - 1 : u + 2].sum()
                if total > best:
                    best = total
                    found[k, 1], found[k, 2] = (u + 0.5) * bin_size - edge, (v + 0.5) * bin_size - edge
        found[k, 0] = max(best, 0)
        found[k, 3] = 9.0 * inside / (bins * bins)
    return found
