"""Build the PSF model from stars: fit each star, stack what is left over, and repeat."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from scipy import ndimage

from processing.algorithms.extraction import Sources
from processing.algorithms.psf_model import (
    MARGIN,
    STEP,
    PSFModel,
    PSFParameters,
    moffat_model,
    nodes,
    terms,
)
from processing.algorithms.psf_photometry import fit_stars
from processing.algorithms.psf_stars import StarStamps, cut_stars, without_hidden
from processing.algorithms.psf_wings import own_light, wing_share, with_wings
from processing.algorithms.shapes import FWHM_PER_SIGMA, adaptive_moments
from processing.algorithms.statistics import mad_std
from processing.errors import NotEnoughStars

_FEWEST = 5
_START_STARS, _START_WIDTHS, _START_RADIUS = 60, (0.85, 1.0, 1.15), 1.25  # number, of the first guess, FWHM
_SMALLEST = 12  # px, half of the side of a stamp
_DIFFERENCE = 1 / 300  # relative: by so much one star may differ from the PSF whatever its brightness
_WING_SMOOTHING = 0.3  # FWHM
_OUTLIER = 5.0  # robust σ of what the stars show at a node


def fit_psf(
    data: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    sources: Sources,
    stars: np.ndarray,
    parameters: PSFParameters,
    *,
    segmentation: np.ndarray | None = None,
) -> PSFModel:
    """Model the PSF of a background-subtracted image from the rows `stars` of its source list.

    data, variance (ny, nx) float32 electrons and electrons²; mask (ny, nx) bool. With fewer than 5 usable stars the
    result is a Moffat profile of the seeing. Raises NotEnoughStars where not even the seeing is known.
    """
    p = parameters
    half = max(int(np.ceil(p.half_size * sources.fwhm)), _SMALLEST) if sources.fwhm > 0 else 0
    if half == 0:
        raise NotEnoughStars(found=0, needed=1, purpose="PSF")
    stars = stars[np.argsort(-sources.table["flux"][stars], kind="stable")]  # `_start` takes the first
    wide = cut_stars(data, variance, mask, sources, stars, half=half, segmentation=segmentation)
    if len(wide.rows) < _FEWEST:
        return _moffat(sources.fwhm, data.shape, half)
    cut = wide.within(half + MARGIN + 1)
    ladder = 2 if len(cut.rows) >= p.stars_for_order_2 else 1 if len(cut.rows) >= p.stars_for_order_1 else 0
    order = min(p.order, ladder) if ladder < 2 else p.order
    places = np.stack([sources.table[name][cut.rows] for name in ("x", "y")], axis=1)
    model = _varying(_start(data, variance, mask, places, _moffat(sources.fwhm, data.shape, half)), order)
    used = np.ones(len(cut.rows), bool)
    for iteration in range(p.iterations):
        x, y = sources.table["x"][cut.rows], sources.table["y"][cut.rows]
        found = fit_stars(data, variance, mask, model, x, y, radius=p.fit_radius * sources.fwhm)
        if iteration == 2:
            light = _light(model, wide, found)
            cut = without_hidden(wide, light, model.fwhm, p.model_error).within(half + MARGIN + 1)
        if iteration >= 2:
            used = _consistent(cut, model, found, p)
        good = used & (found["flag"] != 1) & (found["flux"] > 0)
        model = _improved(model, cut, found, good, again=iteration >= p.iterations - 2)
    chi2 = float(np.median(found["chi2"][used])) if used.any() else 0.0
    return PSFModel(
        planes=model.planes, order=order, shape=model.shape, half_size=half,
        fwhm=float(np.median([model.fwhm_at(*at) for at in _grid(data.shape)])),
        n_stars=int(used.sum()), chi2=chi2,
    )  # fmt: skip


def _grid(shape: tuple[int, int]) -> list[tuple[float, float]]:
    ny, nx = shape
    return [(nx * fx, ny * fy) for fy in (0.2, 0.5, 0.8) for fx in (0.2, 0.5, 0.8)]


def _start(data: np.ndarray, variance: np.ndarray, mask: np.ndarray, places: np.ndarray, first: PSFModel) -> PSFModel:
    """The Moffat profile, averaged over the pixels, that fits the brightest of the stars at (n, 2) px best.

    Corrections of the core narrower than the pixels are slow, so that a start that is a twentieth too narrow would
    leave a PSF of FWHM 2 px 0.1 % too narrow in the end. The best width is the vertex of χ² as a parabola of it.
    """
    x, y = places[:_START_STARS].T
    make = partial(moffat_model, shape=first.shape, half_size=first.half_size, over_pixels=True)
    chi2 = [
        fit_stars(data, variance, mask, make(k * first.fwhm), x, y, radius=_START_RADIUS * first.fwhm)["chi2"]
        for k in _START_WIDTHS
    ]
    curved, slope, _ = np.polyfit(_START_WIDTHS, chi2, 2)
    best = (-slope / (2 * curved))[curved > 0]
    factor = float(np.clip(np.median(best), _START_WIDTHS[0], _START_WIDTHS[-1])) if best.size else 1.0
    return make(factor * first.fwhm)


def _varying(model: PSFModel, order: int) -> PSFModel:
    """The constant model with planes of 0 for the other terms."""
    more = np.zeros(((order + 1) * (order + 2) // 2 - 1, *model.planes.shape[1:]), np.float32)
    return replace(model, planes=np.concatenate([model.planes, more]), order=order)


def _moffat(seeing: float, shape: tuple[int, int], half: int) -> PSFModel:
    """The Moffat profile whose adaptive width is `seeing`: that of the matched Gaussian is larger than its own FWHM."""
    stamp = moffat_model(seeing, shape, half_size=half).stamp(0, 0)
    width = float(adaptive_moments(stamp, [half], [half], fwhm=seeing, radius=3)["fwhm"][0])
    return moffat_model(seeing * seeing / width if width > 0 else seeing, shape, half_size=half)


def _consistent(cut: StarStamps, model: PSFModel, found: np.ndarray, p: PSFParameters) -> np.ndarray:
    """Stars whose χ² within 2 FWHM, with an error of the model of a few percent, is not far above the median."""
    size = cut.data.shape[1] // 2
    v, u = np.indices(cut.data.shape[1:]) - size
    inner = np.hypot(u, v) < 2 * model.fwhm
    chi2 = np.full(len(cut.rows), np.inf)
    seen = np.flatnonzero((found["flag"] != 1) & (found["flux"] > 0))
    for k, stamp in zip(seen, _modelled(model, cut, found, seen)):
        expected = found["flux"][k] * stamp
        good = inner & cut.good[k]
        spread = cut.variance[k] + (p.model_error * expected) ** 2
        chi2[k] = np.mean((cut.data[k] - expected)[good] ** 2 / spread[good]) if good.any() else np.inf
    finite = np.isfinite(chi2)
    limit = np.median(chi2[finite]) + 5 * max(mad_std(chi2[finite]), 0.03)
    return chi2 < limit


def _improved(model: PSFModel, cut: StarStamps, found: np.ndarray, used: np.ndarray, *, again: bool) -> PSFModel:
    """The model plus the smoothed, robustly averaged residuals of the stars, rejected anew if `again`."""
    from scipy.signal import savgol_filter  # a second to load

    from processing.algorithms.psf_kernels import without_outliers

    u = nodes(model.half_size)
    residual, weight = _residuals(model, cut, found, used, u)
    x, y = found["x"][used], found["y"][used]
    design = terms(x, y, model.shape, model.order)
    weight = weight / _noise2(model, cut, found, used)
    weight = without_outliers(residual, weight, True, _OUTLIER)
    change = _solve(design, residual, weight)
    if again:
        left = residual - (design @ change).astype(residual.dtype)
        weight = without_outliers(left, weight, False, _OUTLIER)
        change = _solve(design, residual, weight)
    flat = _solve(design[:, :1], residual, weight)[0]
    m = len(u)
    planes = change.reshape(-1, m, m)
    for axis in (1, 2):
        planes = savgol_filter(planes, 5, 3, axis=axis, mode="nearest")
    wing = wing_share(model)
    planes = planes * (1 - wing)
    smoothing = _WING_SMOOTHING * model.fwhm * STEP
    planes[0] += wing * ndimage.gaussian_filter(flat.reshape(m, m), smoothing, mode="nearest")
    planes = _centred(with_wings(model, model.planes + planes), u, model.fwhm)
    better = replace(model, planes=planes.astype(np.float32), n_stars=0, chi2=0.0)
    return replace(better, planes=(better.planes / better.plane_sums[0]).astype(np.float32))


def _noise2(model: PSFModel, cut: StarStamps, found: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Squared noise (n, nodes) of what each star tells of the PSF: sky and its own photons, in units of its flux.

    In the wings, where the sky is all of it, bright stars tell far more than faint ones.
    """
    profile = np.maximum(model.planes[0], 0).ravel()
    flux = found["flux"][used][:, None].astype(np.float32)
    sky = np.median(cut.variance[used], axis=(1, 2))[:, None]
    return sky / flux**2 + profile / flux + (_DIFFERENCE * profile) ** 2


def _centred(planes: np.ndarray, u: np.ndarray, fwhm: float) -> np.ndarray:
    """The planes moved so that the windowed centroid is the middle at every position: the stars leave it free.

    It is linear in the planes where the window stands still, so that every plane can have a first moment of 0.
    """
    window = np.exp(-0.5 * (u[:, None] ** 2 + u[None, :] ** 2) * (FWHM_PER_SIGMA / fwhm) ** 2)
    for axis, distance in ((1, u[:, None]), (2, u[None, :])):
        slope = np.gradient(planes[0], u[1] - u[0], axis=axis - 1)
        moments = np.sum(planes * (window * distance), axis=(1, 2))
        planes = planes - (moments / np.sum(slope * window * distance))[:, None, None] * slope
    return planes


def _residuals(
    model: PSFModel, cut: StarStamps, found: np.ndarray, used: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Residual (n, nodes) of each star in units of its flux, brought to the nodes, and the weight 0 or 1 of each."""
    chosen, side = np.flatnonzero(used), cut.data.shape[1]
    good, flux = cut.good[chosen], found["flux"][chosen, None, None]
    left = np.where(good, cut.data[chosen] / flux + own_light(model) - _modelled(model, cut, found, chosen), 0.0)
    for axis in (1, 2):
        left = ndimage.spline_filter1d(left, order=3, axis=axis, output=np.float32, mode="nearest")
    along_x, along_y = (
        _taps(u + (found[name][chosen] - nearest[chosen])[:, None] + side // 2, side)
        for name, nearest in (("x", cut.px), ("y", cut.py))
    )
    residual = along_y @ left @ along_x.transpose(0, 2, 1)
    near_x, near_y = ((np.abs(taps) > 0.05).astype(np.float32) for taps in (along_x, along_y))
    spoiled = near_y @ (~good).astype(np.float32) @ near_x.transpose(0, 2, 1)
    return residual.reshape(len(chosen), -1), (spoiled < 0.5).reshape(len(chosen), -1).astype(np.float32)


def _light(model: PSFModel, stars: StarStamps, found: np.ndarray) -> np.ndarray:
    """Electrons (n, s, s) of every star; 0 where none was fitted."""
    light = np.zeros(stars.data.shape)
    seen = np.flatnonzero((found["flag"] != 1) & (found["flux"] > 0))
    light[seen] = _modelled(model, stars, found, seen) * found["flux"][seen, None, None]
    return light


def _modelled(model: PSFModel, cut: StarStamps, found: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The model at the fitted positions of the stars `chosen`, as large as their stamps."""
    x, y = found["x"][chosen], found["y"][chosen]
    return model.stamps(x, y, x - cut.px[chosen], y - cut.py[chosen], cut.data.shape[1] // 2)


def _taps(position: np.ndarray, size: int) -> np.ndarray:
    """Matrices (n, m, size) that evaluate a cubic spline with given coefficients at positions (n, m) px of a line."""
    base = np.floor(position).astype(int)
    t = position - base
    u = 1 - t
    values = (u**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * u**2 + 3 * u**3) / 6, t**3 / 6)
    matrices = np.zeros((*position.shape, size), np.float32)
    n, m = np.indices(position.shape)
    for shift, value in zip((-1, 0, 1, 2), values):
        matrices[n, m, np.clip(base + shift, 0, size - 1)] += value  # at the edges the last one counts again
    return matrices


def _solve(design: np.ndarray, residual: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares of each node over the stars: (terms, nodes); nodes without information stay 0."""
    count = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1).astype(weight.dtype)
    normal = (weight.T @ products).reshape(-1, count, count).astype(float)
    right = (weight * residual).T @ design.astype(weight.dtype)
    trace = np.trace(normal, axis1=1, axis2=2)
    normal = normal + (1e-6 * trace / count + 1e-12)[:, None, None] * np.eye(count)
    return np.linalg.solve(normal, right[..., None])[..., 0].T
