"""Widths and ellipticities of sources by adaptive moments, which neither the isophote nor the noise far out decides."""

from __future__ import annotations

import numpy as np

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
MAX_ITERATIONS = 40

SHAPE = np.dtype(
    [
        ("x", "f8"),  # px
        ("y", "f8"),
        ("x_err", "f4"),  # px, along one axis
        ("fwhm", "f4"),  # px, of the matched Gaussian; 0 where the iteration failed
        ("e1", "f4"),  # (Cxx − Cyy) / (Cxx + Cyy)
        ("e2", "f4"),  # 2 Cxy / (Cxx + Cyy)
        ("converged", "?"),
    ]
)


def adaptive_moments(
    data: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    fwhm: float,
    noise: np.ndarray | float = 0.0,
    mask: np.ndarray | None = None,
    segmentation: np.ndarray | None = None,
    radius: float = 2.5,
) -> np.ndarray:
    """Position, FWHM and ellipticity of each source under a round Gaussian whose width is matched to it iteratively.

    `data` (ny, nx) float32 without background, electrons; `x`, `y` (n,) first positions; `fwhm` px, the first width;
    `noise` standard deviation of an empty pixel, one number or (n,). Masked pixels, and pixels of any other source of
    `segmentation` (ny, nx) than the one at (x, y), are left out. The window is a square of half size `radius` FWHM.
    Returns (n,) of dtype SHAPE. Source: Bernstein & Jarvis 2002 (AJ 123, 583), section 3, with a round weight.
    """
    from processing.algorithms.star_kernels import adaptive_moments as iterate

    data = np.ascontiguousarray(data, np.float32)
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    usable = np.ones(data.shape, bool) if mask is None else ~mask
    if segmentation is None:
        segmentation = np.zeros(data.shape, np.int32)
    ny, nx = data.shape
    own = segmentation[np.clip(np.rint(y), 0, ny - 1).astype(int), np.clip(np.rint(x), 0, nx - 1).astype(int)]
    first = np.full(x.shape, fwhm / FWHM_PER_SIGMA)
    variance = np.broadcast_to(np.asarray(noise, float) ** 2, x.shape)
    stars = np.stack([x, y, first, own, variance], axis=1)
    half = int(np.ceil(radius * fwhm))
    raw = iterate(data, usable, np.ascontiguousarray(segmentation, np.int32), stars, half, MAX_ITERATIONS)
    found = np.zeros(x.shape, SHAPE)
    found["converged"] = raw[:, 6] > 0
    found["x"], found["y"] = raw[:, 0], raw[:, 1]
    found["fwhm"] = np.where(found["converged"], FWHM_PER_SIGMA * raw[:, 2], 0)
    found["e1"], found["e2"], found["x_err"] = raw[:, 3], raw[:, 4], raw[:, 5]
    return found
