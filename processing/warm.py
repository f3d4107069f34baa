"""Imported by the process that the children are forked from, to do once what each of them would do at its first use."""

from __future__ import annotations

import numpy as np

from processing.algorithms.pixel_loops import paint_discs

# At the call of the first compiled loop numba sets itself up, which takes a third of a second.
paint_discs(np.zeros((1, 1), bool), np.zeros(1, np.int64))
