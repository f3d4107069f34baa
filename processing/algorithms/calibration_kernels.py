"""Loops over raw pixels, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def calibrate(adu, gain, noise, bias, dark, flat, bad_pixels, flags, limits, bits):
    """Electrons and their variance (ny, nx) float32 from `adu` without overscan; sets bits of `flags` (ny, nx) uint16.

    `gain` and `noise` are (ny, nx) float32, and so are the frames; what is None is not applied. `dark` is that of this
    exposure; `limits` = response below which and above which a pixel of the flat is a defect; `bits` = (bad, no
    weight). The variance is 0 where a flag is set.
    """
    electrons, variance = np.empty_like(adu), np.empty_like(adu)
    zero, one = np.float32(0), np.float32(1)
    for y in range(adu.shape[0]):
        for x in range(adu.shape[1]):
            value = adu[y, x]
            bad = not np.isfinite(value)
            if bad:
                value = zero
            if bias is not None:
                value -= bias[y, x]
            if dark is not None:
                value -= dark[y, x]
            value *= gain[y, x]
            spread = noise[y, x] * noise[y, x] + (zero if value < zero else value)
            if flat is not None:
                response = flat[y, x]
                if not (limits[0] <= response <= limits[1]):
                    response, bad = one, True
                value /= response
                spread /= response * response
            if bad_pixels is not None:
                bad = bad or bad_pixels[y, x]
            if bad:
                flags[y, x] |= bits[0]
            elif flags[y, x] == 0 and not spread > zero:
                flags[y, x] |= bits[1]
            electrons[y, x] = value
            variance[y, x] = spread if flags[y, x] == 0 else zero
    return electrons, variance


@njit(cache=True)
def along_columns(core, bright):
    """True where a pixel is of `core`, or joined to one through pixels of `bright` in its column; (ny, nx) bool."""
    found = core.copy()
    ny, nx = core.shape
    for y in range(1, ny):
        for x in range(nx):
            found[y, x] |= found[y - 1, x] & bright[y, x]
    for y in range(ny - 2, -1, -1):
        for x in range(nx):
            found[y, x] |= found[y + 1, x] & bright[y, x]
    return found
