"""A tiny sky for tests of rows and pages: stars, one galaxy, six changes, noise; believable to look at, quick to make."""

from __future__ import annotations

import numpy as np

from products.pixel_flags import PixelFlag

SHAPE = (96, 128)  # (ny, nx)


class Sky:
    """Pixels of one CCD of SHAPE in electrons: `new` with sky, `reference` and `difference` without."""

    level, noise, fwhm = 405.0, 20.0, 2.6

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        fixed = np.random.default_rng(77)  # the same stars at every epoch
        self.stars = np.stack(
            [fixed.uniform(4, 124, 30), fixed.uniform(4, 92, 30), 10 ** fixed.uniform(3, 4.8, 30)], axis=1
        )
        places = np.array([[30, 30], [60, 70], [95, 25], [100, 75], [20, 78], [75, 12]], float)
        fluxes = np.array([2600, 1500, 1900, 900, 1200, -1400]) * rng.uniform(0.7, 1.5)
        self.transients = np.column_stack([places + 0.3, fluxes])
        steady = sum(self._point(*star) for star in self.stars) + self._galaxy(27, 33)
        changes = sum(self._point(*change) for change in self.transients)
        self.reference = self._float(steady + rng.normal(0, self.noise / 3, SHAPE))
        self.new = self._float(steady + changes + self.level + rng.normal(0, self.noise, SHAPE))
        self.difference = self._float(self.new - self.level - self.reference)
        self.flags = np.zeros(SHAPE, np.uint16)
        self.flags[:, 50] = PixelFlag.BAD
        self.flags[self.new > 6000] |= np.uint16(PixelFlag.SATURATED)
        self.weight = self._float(np.where(self.flags & PixelFlag.BAD, 0, self.noise**-2))

    @staticmethod
    def _float(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values, np.float32)

    def _point(self, x: float, y: float, flux: float) -> np.ndarray:
        sigma = self.fwhm / 2.3548
        yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
        return flux / (2 * np.pi * sigma**2) * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))

    @staticmethod
    def _galaxy(x: float, y: float) -> np.ndarray:
        yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
        u, v = (xx - x) * 0.8 + (yy - y) * 0.6, (yy - y) * 0.8 - (xx - x) * 0.6
        return 900 * np.exp(-np.hypot(u / 5, v / 2.2))


def stamps(sky: Sky, size: int) -> dict[str, np.ndarray]:
    """The planes of the cutouts around the changes, (n, size, size)."""
    half = size // 2
    centres = np.rint(sky.transients[:, :2]).astype("i4")

    def cut(plane: np.ndarray, fill: float = 0) -> np.ndarray:
        wide = np.pad(plane, half, constant_values=fill)
        return np.stack([wide[y : y + size, x : x + size] for x, y in centres])

    return {
        "new": cut(sky.new - np.float32(sky.level)),
        "reference": cut(sky.reference),
        "difference": cut(sky.difference),
        "flags": cut(sky.flags, int(PixelFlag.OUT_OF_BOUNDS)),
        "centres": centres,
    }
