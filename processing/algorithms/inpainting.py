"""Fill unusable pixels, so that Fourier transforms and spline filters do not spread them."""

from __future__ import annotations

import numpy as np

REACH = 32


def fill(data: np.ndarray, mask: np.ndarray, *, background: float = 0.0) -> np.ndarray:
    """Replace masked pixels by the inverse-square mean of the nearest good pixels in their row and column.

    `data` (ny, nx); `mask` (ny, nx) bool, True where unusable; the result is float32 and finite where the unmasked
    data are. A pixel with no good one within 32 px in its row and column becomes `background`: far inside a gap
    there is nothing to continue.
    """
    from processing.algorithms.pixel_loops import fill_masked

    data = np.ascontiguousarray(data, np.float32)
    if not mask.any():
        return data.copy()
    return fill_masked(data, np.ascontiguousarray(mask, bool), REACH, np.float32(background))
