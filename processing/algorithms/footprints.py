"""Parents of peaks: connected pixels of a score above a low threshold, found without labelling the whole image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Footprints:
    """Regions that hold peaks, numbered from 1 in the order of their first peak."""

    number: np.ndarray  # (peaks,) int32, of each peak
    area: np.ndarray  # (regions,) int32, pixels
    box: np.ndarray  # (regions, 4) int32: x0, x1, y0, y1, px from 0, ends excluded


def find_footprints(score: np.ndarray, above: np.ndarray, x: np.ndarray, y: np.ndarray) -> Footprints:
    """The regions of `above` (ny, nx) bool that hold the pixels (x, y) of peaks, (n,) int, all of them above.

    Pixels are connected to those of the eight around them where the `score` (ny, nx) has the same sign. The cost goes
    with the number of pixels above, not with that of the image.
    """
    if not len(x):
        return Footprints(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 4), np.int32))
    pixels, nx = np.flatnonzero(above), above.shape[1]
    region = _regions(pixels, score.ravel()[pixels] < 0, nx)
    of_peak = region[np.searchsorted(pixels, np.asarray(y, np.int64) * nx + x)]
    found, first, number = np.unique(of_peak, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(found), np.int32)
    rank[order] = np.arange(len(found))
    of_region = np.full(region.max() + 1, -1, np.int32)
    of_region[found] = rank
    mine = of_region[region] >= 0
    owner, (rows, columns) = of_region[region[mine]], np.divmod(pixels[mine], nx)
    order = np.argsort(owner, kind="stable")
    start = np.searchsorted(owner[order], np.arange(len(found)))
    box = [extreme.reduceat(values[order], start) for values in (columns, rows) for extreme in (np.minimum, np.maximum)]
    box = np.stack(box, axis=1).astype(np.int32)
    box[:, 1::2] += 1
    return Footprints(rank[number] + 1, np.bincount(owner, minlength=len(found)).astype(np.int32), box)


def _regions(pixels: np.ndarray, negative: np.ndarray, nx: int) -> np.ndarray:
    """Number from 0 of the region of each pixel: flat indices (n,), in ascending order, of rows of `nx` pixels."""
    column, edges = pixels % nx, []
    for step, across in ((1, 1), (nx - 1, -1), (nx, 0), (nx + 1, 1)):
        place = np.minimum(np.searchsorted(pixels, pixels + step), len(pixels) - 1)
        inside = (column + across >= 0) & (column + across < nx)
        joined = np.flatnonzero((pixels[place] == pixels + step) & (negative[place] == negative) & inside)
        edges.append(np.stack([joined, place[joined]]))
    first, second = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(pixels), len(pixels)))
    return connected_components(graph, directed=False)[1]
