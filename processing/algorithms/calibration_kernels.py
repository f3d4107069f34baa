"""Loops over pixels of a calibration, compiled once and cached. Import this module inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def calibrate(adu, which, gain, noise, dark, flat, illumination, flags, limits, bits):
    """Electrons and their weight (ny, nx) float32 from linear `adu`; sets bits of `flags` (ny, nx) uint16.

    `which` (ny, nx) uint8 is the place of a pixel's amplifier in `gain` and `noise` (n,) float32. The frames are
    (ny, nx) float32, `dark` the ADU of this exposure that were subtracted; what is None is not applied. `limits` =
    response below which and above which a pixel of the flat is a defect; `bits` = (bad, no weight). The weight is 0
    where a flag is set.
    """
    electrons, weight = np.empty_like(adu), np.empty_like(adu)
    zero, one = np.float32(0), np.float32(1)
    variances = noise * noise
    for y in range(adu.shape[0]):
        for x in range(adu.shape[1]):
            k = which[y, x]
            value = adu[y, x]
            bad = not np.isfinite(value)
            if bad:
                value = zero
            counted = value if dark is None else value + dark[y, x]
            counted *= gain[k]
            value *= gain[k]
            spread = variances[k] + (counted if counted > zero else zero)
            response = one
            if flat is not None:
                response = flat[y, x]
                if not (limits[0] <= response <= limits[1]):
                    response, bad = one, True
            if illumination is not None:
                smooth = illumination[y, x]
                if smooth > zero and np.isfinite(smooth):
                    response *= smooth
                else:
                    bad = True
            value /= response
            spread /= response * response
            if bad or not np.isfinite(value):
                value = value if np.isfinite(value) else zero
                flags[y, x] |= bits[0]
            elif flags[y, x] == 0 and not spread > zero:
                flags[y, x] |= bits[1]
            electrons[y, x] = value
            weight[y, x] = one / spread if flags[y, x] == 0 else zero
    return electrons, weight


@njit(cache=True)
def at_least(adu, levels, which):
    """True where a pixel of `adu` (ny, nx) has at least the level (n,) of its amplifier; (ny, nx) bool."""
    found = np.empty(adu.shape, np.bool_)
    for y in range(adu.shape[0]):
        for x in range(adu.shape[1]):
            found[y, x] = adu[y, x] >= levels[which[y, x]]
    return found


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
