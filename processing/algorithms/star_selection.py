"""Which sources are stars good enough to build a PSF from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from processing.algorithms.detection import DetectionParameters
from processing.algorithms.masks import grow
from processing.algorithms.statistics import half_sample_mode, mad_std

if TYPE_CHECKING:
    from processing.algorithms.extraction import Sources

_WIDE = 0.15  # relative distance from the mode within which the change of the width over the image is fitted
_EDGE_PART = 0.06
_ORDERS = ((40, 2), (15, 1))  # candidates needed for a quadratic, a linear change of the width


def select_stars(
    sources: Sources,
    shape: tuple[int, int],
    mask: np.ndarray,
    parameters: DetectionParameters,
    *,
    full_well: float | None = None,
) -> np.ndarray:
    """Indices of the PSF stars of `sources`, brightest first; also sets the column `is_star`.

    A star is bright, single, unsaturated (with `full_well`, electrons: fills at most `star_peak` of it), away from the
    edge and from `mask` (ny, nx), round, and as wide as the stars around it in both adaptive FWHM and half-light
    radius; the width is a polynomial of position around the mode. Isophotal moments take no part: they grow with
    brightness.
    """
    table = sources.table
    table["is_star"] = False
    good = _candidates(sources, shape, mask, parameters)
    if full_well is not None:
        good &= table["peak"] + table["background"] < parameters.star_peak * full_well
    for column, widening in (("fwhm", 1.0), ("r50", 1.5)):
        good &= _near_locus(table, table[column], good, widening * parameters.star_tolerance)
    stars = np.flatnonzero(good)
    stars = stars[np.argsort(-table["flux"][stars], kind="stable")[: parameters.max_stars]]
    table["is_star"][stars] = True
    return stars


def _candidates(sources, shape, mask, parameters):
    table, fwhm = sources.table, sources.fwhm
    x, y = table["x"], table["y"]
    ny, nx = shape
    edge = max(min(parameters.star_edge, _EDGE_PART * min(shape)), 2 * fwhm)
    good = (x >= edge) & (y >= edge) & (x <= nx - 1 - edge) & (y <= ny - 1 - edge)
    good &= (table["snr"] > parameters.star_snr) & (table["sep_flag"] == 0)
    good &= ~table["is_saturated"] & ~table["is_masked"] & (table["fwhm"] > 0)
    good &= table["ellipticity"] < parameters.star_ellipticity
    near = grow(mask, 2 * fwhm)
    good[good] = ~near[np.rint(y[good]).astype(int), np.rint(x[good]).astype(int)]
    return good


def _near_locus(table, width, good, tolerance):
    """Within `tolerance` (relative, plus the noise of the width) of the width of stars at that place."""
    if not good.any():
        return good
    mode = half_sample_mode(width[good])
    ratio = width / mode - 1
    # The width of a source of signal to noise S is uncertain by about 1/S.
    allowed = tolerance + 1 / np.maximum(table["snr"], 1)
    used = good & (np.abs(ratio) < np.maximum(_WIDE, allowed))
    expected = np.zeros(ratio.shape)
    for needed, order in _ORDERS:
        if used.sum() >= needed:
            expected = _fitted(table["x"], table["y"], ratio, used, order)
            break
    return np.abs(ratio - expected) < allowed


def _fitted(x, y, ratio, used, order):
    u, v = x / max(x.max(), 1), y / max(y.max(), 1)
    terms = np.stack([u**i * v**j for i in range(order + 1) for j in range(order + 1 - i)], axis=1)
    for _ in range(4):
        solution = np.linalg.lstsq(terms[used], ratio[used], rcond=None)[0]
        residual = ratio - terms @ solution
        kept = used & (np.abs(residual) < max(3 * mad_std(residual[used]), 0.01))
        if kept.sum() <= 2 * terms.shape[1] or np.array_equal(kept, used):
            break
        used = kept
    return terms @ solution
