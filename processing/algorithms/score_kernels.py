"""What is computed pixel by pixel for a tile, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def finish(difference, signal, mean, noise, scales, systematic, images):
    """Write data, variance, score and alpha of a tile, in this order the `images` (ny, nx); everything float32.

    `signal` = S, `noise` = V_S, `mean` = the mean score with 2 px more on every side. `scales` = (1/F_D, 1/F_D²,
    1/F_S, smallest V_S); `systematic` = relative error of the mean score, shifts along x and y, px.
    """
    data, variance, score, alpha = images
    eight, twelfth = np.float32(8), np.float32(1 / 12)
    for y in range(noise.shape[0]):
        v = y + 2
        for x in range(noise.shape[1]):
            u = x + 2
            slope_x = eight * (mean[v, u + 1] - mean[v, u - 1]) - (mean[v, u + 2] - mean[v, u - 2])
            slope_y = eight * (mean[v + 1, u] - mean[v - 1, u]) - (mean[v + 2, u] - mean[v - 2, u])
            a = mean[v, u] * systematic[0]
            b, c = slope_x * twelfth * systematic[1], slope_y * twelfth * systematic[2]
            spread = max(noise[y, x], scales[3])
            data[y, x] = difference[y, x] * scales[0]
            variance[y, x] = spread * scales[2] * scales[1]
            score[y, x] = signal[y, x] / np.sqrt(spread + (a * a + b * b + c * c))
            alpha[y, x] = signal[y, x] * scales[2]
