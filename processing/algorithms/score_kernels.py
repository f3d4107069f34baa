"""What is computed pixel by pixel for a tile, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def finish(seen, mean_score, noise, scales, systematic, planes):
    """Write the eight planes of a tile, in the order of `Planes`; everything float32.

    `seen` = (difference, S, its derivatives along x and y, the filter of a hit of one pixel), `mean_score` = (the mean
    score, its derivatives), `noise` = V_S; all (ny, nx). `scales` = (1/F_D, 1/F_D², 1/F_S, 1 over the variance of the
    derivatives along x and y, smallest V_S); `systematic` = relative error of the mean score, shifts along x and y, px.
    """
    difference, signal, along_x, along_y, hit = seen
    mean, mean_x, mean_y = mean_score
    data, variance, score, plain, alpha, alpha_err, translient, cosmic_ray = planes
    per_flux, per_variance, per_noise = scales[0], scales[1], scales[2]
    for y in range(noise.shape[0]):
        for x in range(noise.shape[1]):
            v = max(noise[y, x], scales[5])
            error, excess = np.sqrt(v), v * per_noise  # excess: source noise over pure background
            a, b, c = mean[y, x] * systematic[0], mean_x[y, x] * systematic[1], mean_y[y, x] * systematic[2]
            data[y, x] = difference[y, x] * per_flux
            variance[y, x] = excess * per_variance
            score[y, x] = signal[y, x] / np.sqrt(v + (a * a + b * b + c * c))
            plain[y, x] = signal[y, x] / error
            alpha[y, x] = signal[y, x] * per_noise
            alpha_err[y, x] = error * per_noise
            # Z^2 of Springer, Ofek & Zackay 2024 (arXiv:2403.09771): squared gradient of S in units of its variance.
            moved = along_x[y, x] * along_x[y, x] * scales[3] + along_y[y, x] * along_y[y, x] * scales[4]
            translient[y, x] = moved / excess
            cosmic_ray[y, x] = hit[y, x] / np.sqrt(excess)
