"""The photometric zero point from stars of known magnitude."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from processing.algorithms.statistics import mad_std
from processing.algorithms.zero_point_surface import Surface, SurfaceParameters, fit_surface
from processing.errors import NotEnoughStars
from processing.parameters import Parameters, param

_POGSON = 2.5 / np.log(10)
_HUBER = 1.345  # 95 % of the efficiency of least squares with Gaussian errors
_FEWEST_BRIGHT = 15  # the scatter of fewer is not known
_MOST_SCATTER = 1.0  # mag
_MOST_ROUNDS = 15


class PhotometryParameters(Parameters):
    """How the zero point is fitted."""

    min_stars: int = param(5, ge=1, help="Fewer stars give no zero point.")
    floor: float = param(
        0.003,
        ge=0,
        unit="mag",
        help="Smallest scatter that is added to the errors; the stars may ask for a larger one.",
    )
    clip: float = param(3.0, gt=1, unit="sigma", help="Stars further from the fit are left out.")
    bright_error: float = param(
        0.01, gt=0, unit="mag", help="Stars with a smaller error of their own tell the scatter of bright stars."
    )
    color_pivot: float = param(0.8, unit="mag", help="Colour of the star that the zero point is for.")
    color_range: tuple[float, float] = param((-0.5, 3.0), unit="mag", help="Stars of other colours are not used.")
    min_color_stars: int = param(20, ge=3, help="With fewer stars the colour term is 0.")
    min_color_spread: float = param(0.05, gt=0, unit="mag", help="With a smaller scatter of colours it is 0 too.")
    surface: SurfaceParameters = param(SurfaceParameters(), help="How the zero point may vary over the image.")


@dataclass(frozen=True)
class MeasuredStars:
    """Stars with fluxes and known magnitudes; arrays (n,)."""

    flux: np.ndarray  # electrons
    flux_err: np.ndarray  # electrons
    mag: np.ndarray  # AB, of the catalogue
    mag_err: np.ndarray  # NaN or negative: unknown
    color: np.ndarray  # mag, NaN: unknown
    x: np.ndarray = field(default_factory=lambda: np.zeros(0))  # px; without them nothing is said of the position
    y: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.flux)


@dataclass(frozen=True)
class ZeroPointFit:
    """A zero point: m = −2.5 log10(flux) + zp + surface(x, y) + color_term · (colour − pivot)."""

    zp: float  # mag
    zp_err: float  # mag, statistical: of fluxes that are all wrong by one factor it knows nothing
    color_term: float  # mag per mag
    color_term_err: float
    scatter: float  # mag, robust, of the bright stars used
    scatter_all: float  # mag, of all stars used
    intrinsic: float  # mag, what the stars scatter beyond their errors
    trend: float  # mag per mag: slope of the residuals with magnitude
    trend_err: float
    n_stars: int
    used: np.ndarray  # (n,) bool, of the stars given
    bright: np.ndarray  # (n,) bool, those of them that tell the scatter
    residual: np.ndarray  # (n,) mag, catalogue minus measured magnitude; NaN where either is unknown
    error: np.ndarray  # (n,) mag, of the residual
    surface: Surface | None = None  # how the zero point varies over the image, where the stars have positions


@dataclass
class _Stars:
    """What the fit works on; arrays (n,)."""

    values: np.ndarray  # zero point that each star asks for, mag
    own: np.ndarray  # error of it, mag
    usable: np.ndarray  # bool
    design: np.ndarray  # (n, terms): 1 and colour − pivot

    def solve(self, used: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Robust solution (terms,) and residuals (n,)."""
        solution = _huber(self.values[used], error[used], self.design[used])
        return solution, self.values - self.design @ solution


def fit_zero_point(
    stars: MeasuredStars, parameters: PhotometryParameters, shape: tuple[int, int] = (1, 1)
) -> ZeroPointFit:
    """Fit zero point and colour term robustly (Huber weights, clipping) with errors that explain the scatter.

    Where the stars ask for a zero point that varies over the image of `shape` (ny, nx), the fit is done again around
    it. Raises NotEnoughStars.
    """
    data = _prepared(stars, parameters)
    fit = _fitted(data, stars, parameters)
    if len(stars.x) != len(stars):
        return fit
    even, surface = data.values, Surface(0, np.zeros(1), shape, 0.0)
    for _ in range(parameters.surface.max_order):
        used, around = fit.used, fit.residual + surface(stars.x, stars.y)
        found = fit_surface(stars.x[used], stars.y[used], around[used], fit.error[used], shape, parameters.surface)
        if found.order <= surface.order:
            break
        # Around it the stars scatter less, so that they may ask for a higher order.
        surface, data.values = found, even - found(stars.x, stars.y)
        fit = _fitted(data, stars, parameters)
    return replace(fit, surface=surface)


def _fitted(data: _Stars, stars: MeasuredStars, p: PhotometryParameters) -> ZeroPointFit:
    used, least = data.usable.copy(), max(p.floor, 1e-4)
    _, residual = data.solve(used, np.hypot(data.own, mad_std(data.values[used])))
    extra = max(least, _beyond(residual, data.own, used, p.bright_error))
    for _ in range(_MOST_ROUNDS):
        error = np.hypot(data.own, extra)
        solution, residual = data.solve(used, error)
        kept = data.usable & (np.abs(residual) < p.clip * error)
        _refuse_few(kept, p)
        before, extra = extra, max(least, _beyond(residual, data.own, kept, p.bright_error))
        if np.array_equal(kept, used) and abs(extra - before) < 0.02 * before:
            break
        used = kept
    pull = residual[used] / error[used]
    design = data.design[used] / error[used, None]
    # Huber's weights cost a twentieth of the information. The scatter decides how large the errors are, but that of few
    # stars may be small by chance.
    spread = mad_std(pull) * _few(len(pull), design.shape[1])
    covariance = np.linalg.inv(design.T @ design) / 0.95 * (spread if len(pull) > 30 else max(1.0, spread)) ** 2
    bright = used & (data.own <= _bright_error(data.own[used], p.bright_error))
    trend, trend_err = _slope(stars.mag[used], residual[used], error[used])
    slope = data.design.shape[1] > 1
    return ZeroPointFit(
        zp=float(solution[0]),
        zp_err=float(np.sqrt(covariance[0, 0])),
        color_term=float(solution[1]) if slope else 0.0,
        color_term_err=float(np.sqrt(covariance[1, 1])) if slope else 0.0,
        scatter=mad_std(residual[bright]),
        scatter_all=mad_std(residual[used]),
        intrinsic=float(extra),
        trend=trend,
        trend_err=trend_err,
        n_stars=int(used.sum()),
        used=used,
        bright=bright,
        residual=residual,
        error=error,
    )


def _prepared(stars: MeasuredStars, p: PhotometryParameters) -> _Stars:
    color = np.asarray(stars.color, float)
    good = (stars.flux > 0) & (stars.flux_err > 0) & np.isfinite(stars.flux_err)
    good &= np.isfinite(stars.mag) & np.isfinite(stars.flux) & ~np.isinf(stars.mag_err)
    has_color = np.isfinite(color)
    good &= ~has_color | ((color > p.color_range[0]) & (color < p.color_range[1]))
    colored = good & has_color
    slope = bool(colored.sum() >= p.min_color_stars) and mad_std(color[colored]) >= p.min_color_spread
    usable = colored if slope else good
    _refuse_few(usable, p)
    values, own = np.full(len(stars), np.nan), np.full(len(stars), np.inf)
    values[good] = stars.mag[good] + 2.5 * np.log10(np.asarray(stars.flux, float)[good])
    own[good] = np.hypot(_POGSON * stars.flux_err[good] / stars.flux[good], np.fmax(stars.mag_err[good], 0))
    ones = np.ones(len(stars))
    design = np.c_[ones, np.nan_to_num(color - p.color_pivot)] if slope else ones[:, None]
    return _Stars(values, own, usable, design)


def _refuse_few(used: np.ndarray, p: PhotometryParameters) -> None:
    if used.sum() < p.min_stars:
        raise NotEnoughStars(found=int(used.sum()), needed=p.min_stars, purpose="zero point")


def _bright_error(own: np.ndarray, wanted: float) -> float:
    """The error up to which stars count as bright: the one `wanted`, or that of the best few or the best tenth."""
    fewest = min(len(own), max(_FEWEST_BRIGHT, len(own) // 10))
    return max(wanted, float(np.partition(own, fewest - 1)[fewest - 1]))


def _beyond(residual: np.ndarray, own: np.ndarray, used: np.ndarray, wanted: float) -> float:
    """Scatter of the bright stars beyond their own errors, mag: of faint ones it would be lost in their noise."""
    bright = used & (own <= _bright_error(own[used], wanted))
    away, noise = residual[bright] - np.median(residual[bright]), own[bright]
    wanted = 1 / _few(len(away), 1)
    if mad_std(away / noise) <= wanted:
        return 0.0
    low, high = 0.0, min(_MOST_SCATTER, 2 * mad_std(away))
    for _ in range(12):  # of pulls, so that stars of all errors count
        middle = (low + high) / 2
        low, high = (middle, high) if mad_std(away / np.hypot(noise, middle)) > wanted else (low, middle)
    return high


def _few(n: int, terms: int) -> float:
    """By how much the scatter of n stars around a fit to them is larger than their median absolute deviation says."""
    return n / (n - 0.8) * float(np.sqrt(n / max(n - terms, 1)))


def _huber(values: np.ndarray, sigma: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Iteratively reweighted least squares with Huber's weights: the solution (terms,)."""
    solution = np.zeros(design.shape[1])
    solution[0] = np.median(values)
    for _ in range(20):
        pull = np.abs(values - design @ solution) / sigma
        weighted = design.T * (np.where(pull < _HUBER, 1, _HUBER / np.maximum(pull, 1e-9)) / sigma**2)
        before, solution = solution, np.linalg.solve(weighted @ design, weighted @ values)
        if np.all(np.abs(solution - before) < 1e-5):
            break
    return solution


def _slope(mag: np.ndarray, residual: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Slope of the residuals with magnitude and its error; 0 where all stars are equally bright."""
    away = mag - np.average(mag, weights=1 / error**2)
    information = float(np.sum((away / error) ** 2))
    if information <= 0:
        return 0.0, 0.0
    return float(_huber(residual, error, np.c_[np.ones(len(mag)), away])[1]), float(1 / np.sqrt(0.95 * information))


def limiting_magnitude(zp: float, noise: float, psf_stamp: np.ndarray, n_sigma: float = 5.0) -> float:
    """Magnitude of a point source of `n_sigma` on sky noise `noise` (electrons per pixel): zp − 2.5 log10(nσ/√ΣP²)."""
    return float(zp - 2.5 * np.log10(n_sigma * noise / np.sqrt(np.sum(np.asarray(psf_stamp, float) ** 2))))


def polynomial_magnitude(g: np.ndarray, bp_rp: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Magnitude in a band from Gaia's: m = G − Σ cᵢ (BP−RP)ⁱ."""
    return g - np.polynomial.polynomial.polyval(np.asarray(bp_rp, float), coefficients)
