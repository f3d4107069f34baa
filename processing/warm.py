"""Imported by the process that the children are forked from, to do once what each of them would do for itself."""

from __future__ import annotations

import contextlib
import ctypes

import numpy as np

from processing.algorithms.pixel_loops import paint_discs

# Numbers of glibc's mallopt. By default an array of 32 MB or more is given back to the system when it is freed, and to
# get the same memory again page by page takes longer than most of what is done with it.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
with contextlib.suppress(OSError, AttributeError):  # another C library keeps its own ways
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 256 << 20)
    ctypes.CDLL(None).mallopt(_TRIM_THRESHOLD, 256 << 20)

# At the call of the first compiled loop numba sets itself up, which takes a third of a second.
paint_discs(np.zeros((1, 1), bool), np.zeros(1, np.int64))
