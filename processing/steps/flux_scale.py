"""From the electrons of one image to those of another, whose zero points may vary over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RectBivariateSpline

from processing.algorithms.resampling import PixelMap
from products.models import ZeroPoint

_STEP = 32  # px: between them the factor is linear, to 3e-5 for a zero point that varies by 0.1 mag


@dataclass(frozen=True)
class FluxScale:
    """What a flux in electrons of one image is multiplied with to be one of another, at pixels of the latter."""

    here: ZeroPoint  # of the image whose electrons and pixels are wanted
    there: ZeroPoint
    mapping: PixelMap  # from pixels here to pixels there

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray | np.float32:
        """The factor at pixels (n,); one number where neither zero point varies."""
        if not (self.here.surface or self.there.surface):
            return np.float32(10 ** (0.4 * (self.here.zp - self.there.zp)))
        return 10 ** (0.4 * (self.here.at(x, y) - self.there.at(*self.mapping.at(x, y))))

    def plane(self, shape: tuple[int, int]) -> np.ndarray | np.float32:
        """The factor at every pixel, (ny, nx) float32; one number where neither zero point varies."""
        if not (self.here.surface or self.there.surface):
            return self.at(np.zeros(0), np.zeros(0))
        nodes = [np.linspace(0, max(size - 1, 1), max(2, size // _STEP + 1)) for size in shape]
        values = self.at(*np.meshgrid(nodes[1], nodes[0]))
        return RectBivariateSpline(*nodes, values, kx=1, ky=1)(*(np.arange(size) for size in shape)).astype(np.float32)
