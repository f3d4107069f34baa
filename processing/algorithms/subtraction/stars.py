"""Flux ratio and registration of two images from their common stars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_RATIO_SIGNIFICANCE = (30.0, 500.0)
_FEWEST_STARS = 15
FluxAt = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
_CENTROID = 0.6  # px of centroid error per px of FWHM and 1 / (S/N): a Gaussian limited by the sky


@dataclass(frozen=True)
class MatchedStars:
    """Stars seen in both images; every array is (n,) float."""

    x: np.ndarray  # px of the new image
    y: np.ndarray  # px of the new image
    new_flux: np.ndarray  # electrons of the new image
    new_flux_err: np.ndarray
    ref_flux: np.ndarray  # electrons of the warped reference
    ref_flux_err: np.ndarray
    dx: np.ndarray  # px, x in the new image minus x of the reference mapped onto it
    dy: np.ndarray  # px

    def significance(self) -> np.ndarray:
        """S/N in the noisier of the two images, (n,)."""
        return np.minimum(self.new_flux / self.new_flux_err, self.ref_flux / self.ref_flux_err)


@dataclass(frozen=True)
class Comparison:
    """How the fluxes and positions of two images compare."""

    flux_ratio: float  # counts in the reference / counts in the new image of a constant source
    flux_ratio_err: float
    zero_point_ratio: float  # the same from the two zero points
    registration: tuple[float, float]  # px (x, y), scatter and offset of the relative shift
    systematic: float  # relative, of flux ratio and PSF shape together
    ratio_stars: int
    registration_stars: int

    def quality(self) -> dict[str, float]:
        """The comparison as named numbers."""
        return {
            "flux_ratio": self.flux_ratio,
            "flux_ratio_err": self.flux_ratio_err,
            "flux_ratio_over_zero_points": self.flux_ratio / self.zero_point_ratio,
            "registration_x": self.registration[0],
            "registration_y": self.registration[1],
            "ratio_stars": float(self.ratio_stars),
            "registration_stars": float(self.registration_stars),
        }


def compare(
    stars: MatchedStars | None,
    *,
    zero_points: tuple[float, float],
    fwhms: tuple[float, float],
    registration_floor: float,
    systematic: float,
    keep_offset: bool = True,
) -> Comparison:
    """Flux ratio from the stars with S/N 30-500, else from the zero points; registration from all above 30.

    `zero_points` and `fwhms` are (new, reference). Fewer than 15 stars say nothing better than the zero points and
    `registration_floor` (px). Without `keep_offset` the registration is the scatter of the shifts alone.
    """
    expected = 10 ** (0.4 * (zero_points[1] - zero_points[0]))
    ratio, error, ratio_stars = expected, 0.0, 0
    registration, registration_stars = (registration_floor, registration_floor), 0
    if stars is not None and len(stars.x):
        significance = stars.significance()
        finite = np.isfinite(significance)
        bright = finite & (significance > _RATIO_SIGNIFICANCE[0])
        medium = bright & (significance < _RATIO_SIGNIFICANCE[1])
        if medium.sum() >= _FEWEST_STARS:
            ratio, error = _flux_ratio(stars, medium)
            ratio_stars = int(medium.sum())
        if bright.sum() >= _FEWEST_STARS:
            registration_stars = int(bright.sum())
            expected_variance = _centroid_variance(stars, bright, fwhms)
            registration = tuple(
                max(_shift(d[bright], expected_variance, keep_offset), registration_floor) for d in (stars.dx, stars.dy)
            )
    return Comparison(
        flux_ratio=float(ratio),
        flux_ratio_err=float(error),
        zero_point_ratio=float(expected),
        registration=registration,
        systematic=float(np.hypot(error / ratio, systematic)),
        ratio_stars=ratio_stars,
        registration_stars=registration_stars,
    )


def residual_ratio(stars: MatchedStars | None, mask: np.ndarray, flux_at: FluxAt) -> float:
    """What is left of the stars of S/N above 30, relative to their flux: robust rms without its photon noise.

    `flux_at(x, y)` gives PSF flux and error (n,) of the difference at pixels (n,), electrons of the new image; `mask`
    (ny, nx) is True where it is not to be trusted. 0 where fewer than 15 stars can be seen.
    """
    if stars is None:
        return 0.0
    (ny, nx), x, y = mask.shape, np.rint(stars.x).astype(int), np.rint(stars.y).astype(int)
    use = (stars.significance() > _RATIO_SIGNIFICANCE[0]) & (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    use[use] = ~mask[y[use], x[use]]
    if use.sum() < _FEWEST_STARS:
        return 0.0
    left, error = (values / stars.new_flux[use] for values in flux_at(x[use], y[use]))
    scatter = 1.4826 * np.median(np.abs(left))
    return float(np.sqrt(max(scatter**2 - np.median(error) ** 2, 0.0)))


def _flux_ratio(stars: MatchedStars, use: np.ndarray) -> tuple[float, float]:
    ratio = stars.ref_flux[use] / stars.new_flux[use]
    variance = ratio**2 * (
        (stars.ref_flux_err[use] / stars.ref_flux[use]) ** 2 + (stars.new_flux_err[use] / stars.new_flux[use]) ** 2
    )
    keep = np.ones(ratio.size, bool)
    intrinsic, mean = 0.0, float(np.median(ratio))
    for _ in range(5):
        weight = keep / (variance + intrinsic)
        mean = float(np.sum(weight * ratio) / np.sum(weight))
        # Intrinsic scatter makes chi-square per star 1, so that the brightest do not decide alone.
        excess = np.mean((ratio - mean)[keep] ** 2 - variance[keep])
        intrinsic = max(float(excess), 0.0)
        keep = np.abs(ratio - mean) < 3 * np.sqrt(variance + intrinsic)
        if keep.sum() < _FEWEST_STARS // 2:
            keep[:] = True
    return mean, float(np.sum(keep / (variance + intrinsic)) ** -0.5)


def _centroid_variance(stars: MatchedStars, use: np.ndarray, fwhms: tuple[float, float]) -> float:
    new = fwhms[0] * stars.new_flux_err[use] / stars.new_flux[use]
    reference = fwhms[1] * stars.ref_flux_err[use] / stars.ref_flux[use]
    return float(np.median(_CENTROID**2 * (new**2 + reference**2)))


def _shift(offsets: np.ndarray, expected_variance: float, keep_offset: bool) -> float:
    mean = float(np.median(offsets))
    scatter = float(1.4826 * np.median(np.abs(offsets - mean)))
    if not keep_offset:
        mean = 0.0
    return float(np.sqrt(max(mean**2 + scatter**2 - expected_variance, 0.0)))
