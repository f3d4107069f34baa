"""Loops over pixels of a readout, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def look_up(adu, lut):
    """Replace `adu` (ny, nx) float32 by `lut` (n,) float32, which holds the new value of every whole ADU from 0 on.

    Between them it is interpolated; below 0 and beyond the end the curve goes on straight.
    """
    last = lut.size - 2
    for y in range(adu.shape[0]):
        for x in range(adu.shape[1]):
            value = adu[y, x]
            if not np.isfinite(value):
                continue
            k = int(value)
            k = 0 if value < 0 else last if k > last else k
            adu[y, x] = lut[k] + (value - np.float32(k)) * (lut[k + 1] - lut[k])
