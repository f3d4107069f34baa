"""How faint a new point source may be at each place of a difference image, and still be found.

Nothing of it is stored: it follows from the weight, the score, the fluxes and the PSF of the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from products.models import DifferenceImage, ZeroPoint

SIGMA = 5.0  # threshold of detection
NODES = 8  # px between the places of the map
_PRIOR = 0.2  # sum of squared scores that both sums begin with: where both are near 0 their ratio is that of roundings
_COUNTED = 0.5  # of the light of a source at the limit: the variance has that of pixels where it is more than noise
_AROUND = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]


def limiting_flux(image: DifferenceImage, x: np.ndarray, y: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    """PSF flux, electrons, of a new point source at pixels (x, y) of which one in two has a peak of `sigma`.

    `x` and `y` have any shapes that go together, of the nearest pixel; NaN where nothing can be detected, and beyond
    the image. The noise is that of the score: photons of both images, read-out, registration, flux ratio, and what the
    score knows of the photons of the source itself. The highest peak beside a source of S/N q has the square q² + 2 on
    average, for it is sought in two directions, so that one in two is found at q² = sigma² − 2.
    """
    x, y = np.broadcast_arrays(*(np.floor(np.asarray(at, float) + 0.5).astype(int) for at in (x, y)))
    ny, nx = image.shape
    outside = (x < 0) | (y < 0) | (x >= nx) | (y >= ny)
    x, y = np.clip(x, 0, nx - 1), np.clip(y, 0, ny - 1)
    if not x.size:
        return np.zeros(x.shape)
    rows, columns = (slice(max(int(at.min()) - 1, 0), int(at.max()) + 2) for at in (y, x))
    parts = image.part(("score", "alpha", "weight"), rows, columns)
    tile = tile_of(image.tiles, x, y)
    per_variance, own = image.tiles["flux_noise"][tile], own_light(image.psf_stamps)[tile]
    variance, systematic = _variance(parts, x - columns.start, y - rows.start, per_variance)
    half = 0.5 * (sigma**2 - 2) * _COUNTED * own
    found = half + np.sqrt(half**2 + (sigma**2 - 2) * variance * systematic)
    return np.where(outside | (variance <= 0), np.nan, found)


def limiting_magnitude(image: DifferenceImage, x: np.ndarray, y: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    """The same as AB magnitudes, with the zero point of the place."""
    return image.zero_point.at(x, y) - 2.5 * np.log10(limiting_flux(image, x, y, sigma))


def summary(image: DifferenceImage, zero_point: ZeroPoint, sigma: float = SIGMA) -> dict[str, float]:
    """`difference_limit`: the median of the map, AB mag; nothing where nothing can be detected."""
    x, y = grid(image)
    found = zero_point.at(x, y) - 2.5 * np.log10(limiting_flux(image, x, y, sigma))
    usable = found[np.isfinite(found)]
    return {"difference_limit": round(float(np.median(usable)), 3)} if usable.size else {}


def grid(image: DifferenceImage, step: int = NODES) -> tuple[np.ndarray, np.ndarray]:
    """Every so many pixels along x, (1, n), and along y, (m, 1): the middle ones of squares that fill the image."""
    ny, nx = image.shape
    return np.arange(step // 2, nx, step)[None], np.arange(step // 2, ny, step)[:, None]


def tile_of(tiles: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The row of the table of tiles that holds each pixel."""
    starts = [np.unique(tiles[name]) for name in ("y0", "x0")]
    row, column = (np.searchsorted(start, at, side="right") - 1 for start, at in zip(starts, (y, x)))
    return row * len(starts[1]) + column


def own_light(psf: np.ndarray) -> np.ndarray:
    """Variance of the PSF flux, electrons², that a source brings with each of its own electrons, for PSFs (n, k, k)."""
    psf = psf.astype(float)
    return np.sum(psf**3, axis=(1, 2)) / np.sum(psf**2, axis=(1, 2)) ** 2


def _variance(
    parts: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, per_variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the PSF flux from photons and read-out, and what its whole variance is of that, at least 1.

    The second is what the two scores of 3×3 pixels have for each other: on a star it is more than 1.
    """
    ny, nx = parts["weight"].shape
    plain, whole = np.full(x.shape, _PRIOR), np.full(x.shape, _PRIOR)
    for row, column in _AROUND:
        at = np.clip(y + row, 0, ny - 1), np.clip(x + column, 0, nx - 1)
        weight = parts["weight"][at]
        plain += parts["alpha"][at] ** 2 * weight / per_variance
        whole += np.where(weight > 0, parts["score"][at], 0) ** 2
    weight = parts["weight"][y, x]
    return np.divide(per_variance, weight, out=np.zeros(x.shape), where=weight > 0), np.maximum(plain / whole, 1)
