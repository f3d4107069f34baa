"""Grow masks by the kind of defect, and find the haloes of saturated stars."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_EIGHT = np.ones((3, 3), bool)
_LARGEST_HALO = 0.02  # part of the image; a larger component is a crowded field, not one star
_HALO_RADII = 8.0  # radius kept of a star in such a component, in radii of its saturated core


def grow(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Dilate `mask` (ny, nx) bool by a round kernel: True within `radius_px` of a masked pixel centre."""
    return _dilate(mask, radius_px)


def bright_haloes(
    significant: np.ndarray, saturated: np.ndarray, min_saturated: int = 5, grow: float = 5
) -> np.ndarray:
    """Mask the haloes and diffraction spikes of saturated stars, which rotate between epochs.

    `significant` and `saturated` are (ny, nx) bool: pixels of detected sources, pixels at full well. A halo is an
    8-connected component of their union with at least `min_saturated` saturated pixels, grown by `grow` px. In a
    crowded field one component may span the image; of one larger than 2 % of the image only discs of 8 core radii
    around its saturated cores stay.
    """
    from processing.algorithms.mask_kernels import GIANT, SMALL, saturated_components

    state = saturated_components(significant, saturated, min_saturated, _LARGEST_HALO * saturated.size)
    haloes, component = state == SMALL, state == GIANT
    if component.any():
        haloes |= component & _discs(component & saturated, min_saturated)
    return _dilate(haloes, grow)


def _dilate(mask: np.ndarray, radius: float) -> np.ndarray:
    from processing.algorithms.pixel_loops import paint_discs

    mask = np.ascontiguousarray(mask, bool)
    reach = int(radius)
    if reach < 1 or not mask.any():
        return mask.copy()
    dy = np.arange(-reach, reach + 1)
    return paint_discs(mask, np.sqrt(radius**2 - dy**2).astype(np.int64))


def _discs(saturated: np.ndarray, min_saturated: int) -> np.ndarray:
    labels, _ = ndimage.label(saturated, _EIGHT)
    discs = np.zeros(saturated.shape, bool)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        core = labels[box] == label
        if core.sum() < min_saturated:
            continue
        radius = _HALO_RADII * np.sqrt(core.sum() / np.pi)
        wide = tuple(slice(max(0, int(s.start - radius)), int(s.stop + radius) + 1) for s in box)
        discs[wide] |= ndimage.distance_transform_edt(labels[wide] != label) <= radius
    return discs
