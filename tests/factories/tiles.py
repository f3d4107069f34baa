"""The tiles of a difference image that is one tile."""

from __future__ import annotations

import numpy as np

from processing.algorithms.psf_model import moffat_model
from processing.algorithms.subtraction.tiles import TILE, Tiles


def one_tile(shape: tuple[int, int], *, flux_noise: float = 1.0, fwhm: float = 3.0) -> Tiles:
    """A tile of (ny, nx) px whose PSF fluxes have `flux_noise` times the variance of a pixel; its other figures are 1."""
    table = np.ones(1, TILE)
    table["y0"], table["x0"], table["y1"], table["x1"], table["flux_noise"] = 0, 0, *shape, flux_noise
    psf = moffat_model(fwhm, shape).stamp(shape[1] / 2, shape[0] / 2)[None]
    return Tiles(table, psf, psf)
