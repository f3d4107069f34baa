"""Build the PSF model from stars: fit each star, stack what is left over, and repeat."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.signal import savgol_filter

from processing.algorithms.extraction import Sources
from processing.algorithms.psf_model import MARGIN, PSFModel, PSFParameters, moffat_model, nodes, terms
from processing.algorithms.psf_photometry import fit_stars
from processing.algorithms.shapes import FWHM_PER_SIGMA, adaptive_moments
from processing.algorithms.statistics import clipped_mean, mad_std
from processing.errors import NotEnoughStars

_FEWEST = 5
_CAP = 1000.0  # S/N that a star weighs at most
_WINGS_FROM = 1.5  # FWHM
_OUTLIER = 5.0  # robust σ of what the stars show at a node


@dataclass(frozen=True)
class _Stars:
    """Stamps of the stars, (n, s, s), around their nearest pixels."""

    rows: np.ndarray  # rows of the source list
    px: np.ndarray
    py: np.ndarray
    data: np.ndarray
    variance: np.ndarray
    good: np.ndarray  # bool


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
    half = max(int(np.ceil(p.half_size * sources.fwhm)), 8) if sources.fwhm > 0 else 0
    if half == 0:
        raise NotEnoughStars(found=0, needed=1, purpose="PSF")
    stars = stars[np.argsort(-sources.table["flux"][stars], kind="stable")][: p.max_stars]
    cut = _cut(data, variance, mask, sources, stars, half=half, segmentation=segmentation)
    if len(cut.rows) < _FEWEST:
        return _moffat(sources.fwhm, data.shape, half)
    ladder = 2 if len(cut.rows) >= p.stars_for_order_2 else 1 if len(cut.rows) >= p.stars_for_order_1 else 0
    order = min(p.order, ladder) if ladder < 2 else p.order
    model = _start(sources.fwhm, data.shape, half, order)
    used = np.ones(len(cut.rows), bool)
    for iteration in range(p.iterations):
        x, y = sources.table["x"][cut.rows], sources.table["y"][cut.rows]
        found = fit_stars(data, variance, mask, model, x, y, radius=p.fit_radius * sources.fwhm)
        if iteration >= 2:
            used = _consistent(cut, model, found, p)
        model = _improved(model, cut, found, used & (found["flag"] != 1) & (found["flux"] > 0))
    chi2 = float(np.median(found["chi2"][used])) if used.any() else 0.0
    return PSFModel(
        planes=model.planes, order=order, shape=model.shape, half_size=half,
        fwhm=float(np.median([model.fwhm_at(*at) for at in _grid(data.shape)])),
        n_stars=int(used.sum()), chi2=chi2,
    )  # fmt: skip


def _grid(shape: tuple[int, int]) -> list[tuple[float, float]]:
    ny, nx = shape
    return [(nx * fx, ny * fy) for fy in (0.2, 0.5, 0.8) for fx in (0.2, 0.5, 0.8)]


def _start(fwhm: float, shape: tuple[int, int], half: int, order: int) -> PSFModel:
    first = _moffat(fwhm, shape, half)
    count = (order + 1) * (order + 2) // 2
    planes = np.concatenate([first.planes, np.zeros((count - 1, *first.planes.shape[1:]), np.float32)])
    return PSFModel(planes, order, shape, half, first.fwhm, 0, 0.0)


def _moffat(seeing: float, shape: tuple[int, int], half: int) -> PSFModel:
    """The Moffat profile whose adaptive width is `seeing`: that of the matched Gaussian is larger than its own FWHM.

    Corrections of the core narrower than the smoothing of the planes are slow, so that at FWHM 2 px a start that is an
    eighth too broad would still be 0.8 % too broad in the end.
    """
    stamp = moffat_model(seeing, shape, half_size=half).stamp(0, 0)
    width = float(adaptive_moments(stamp, [half], [half], fwhm=seeing, radius=3)["fwhm"][0])
    return moffat_model(seeing * seeing / width if width > 0 else seeing, shape, half_size=half)


def _cut(
    data: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    sources: Sources,
    stars: np.ndarray,
    *,
    half: int,
    segmentation: np.ndarray | None,
) -> _Stars:
    """Stamps with their local sky removed; pixels of neighbours and masked ones are not good."""
    size, (ny, nx) = half + MARGIN + 1, data.shape
    ring = size + 5
    table = sources.table
    px, py = (np.floor(table[name][stars] + 0.5).astype(int) for name in ("x", "y"))
    inside = (px >= ring) & (py >= ring) & (px < nx - ring) & (py < ny - ring)
    stars, px, py = stars[inside], px[inside], py[inside]
    v, u = np.indices((2 * ring + 1, 2 * ring + 1)) - ring
    annulus = (np.hypot(u, v) > half) & (np.hypot(u, v) <= half + 6)
    core = slice(ring - size, ring + size + 1)
    stamps, spreads, goods = [], [], []
    for row, cx, cy in zip(stars, px, py):
        box = (slice(cy - ring, cy + ring + 1), slice(cx - ring, cx + ring + 1))
        good = ~mask[box]
        if segmentation is not None:
            other = (segmentation[box] != 0) & (segmentation[box] != row + 1)
            good &= ~ndimage.binary_dilation(other, iterations=2)
        stamp = data[box].astype(float)
        sky = stamp[annulus & good]
        level = float(clipped_mean(sky, sigma=3.0)) if sky.size > 20 else 0.0
        stamps.append((stamp - level)[core, core])
        spreads.append(variance[box][core, core])
        goods.append(good[core, core])
    shape = (len(stars), 2 * size + 1, 2 * size + 1)
    return _Stars(
        stars, px, py, np.reshape(stamps, shape), np.reshape(spreads, shape), np.reshape(goods, shape).astype(bool)
    )


def _consistent(cut: _Stars, model: PSFModel, found: np.ndarray, p: PSFParameters) -> np.ndarray:
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


def _improved(model: PSFModel, cut: _Stars, found: np.ndarray, used: np.ndarray) -> PSFModel:
    """The model plus the smoothed, robustly averaged residuals of the stars."""
    from processing.algorithms.psf_kernels import without_outliers

    u = nodes(model.half_size)
    residual, weight = _residuals(model, cut, found, used, u)
    x, y = found["x"][used], found["y"][used]
    design = terms(x, y, model.shape, model.order)
    snr = np.minimum(found["flux"][used] / np.maximum(found["flux_err"][used], 1e-9), _CAP)
    weight = weight * snr[:, None] ** 2
    weight = without_outliers(residual, weight, True, _OUTLIER)
    change = _solve(design, residual, weight)
    weight = without_outliers(residual - design @ change, weight, False, _OUTLIER)
    change = _solve(design, residual, weight)
    flat = _solve(design[:, :1], residual, weight)[0]
    m = len(u)
    planes = change.reshape(-1, m, m)
    for axis in (1, 2):
        planes = savgol_filter(planes, 5, 3, axis=axis, mode="nearest")
    blend = np.clip((np.hypot(u[:, None], u[None, :]) / model.fwhm - _WINGS_FROM) / 0.75, 0, 1)
    planes = planes * (1 - blend)
    planes[0] += blend * ndimage.gaussian_filter(flat.reshape(m, m), 3.0, mode="nearest")
    planes = _centred(_with_wings(model.planes + planes, u, blend), u, model.fwhm)
    better = replace(model, planes=planes.astype(np.float32), n_stars=0, chi2=0.0)
    return replace(better, planes=(better.planes / better.plane_sums[0]).astype(np.float32))


def _with_wings(planes: np.ndarray, u: np.ndarray, blend: np.ndarray) -> np.ndarray:
    """Wings that are as wide as the core: one star is too faint there to tell how they change over the image.

    A profile stretched by s is P(r/s)/s², whose change with ln s is −(2P + r·∇P); how much of it is in the core of a
    plane is how much of it is put into its wings.
    """
    slope_y, slope_x = np.gradient(planes[0], u[1] - u[0])
    stretched = -(2 * planes[0] + u[None, :] * slope_x + u[:, None] * slope_y)
    core = blend == 0
    share = planes[1:, core] @ stretched[core] / np.sum(stretched[core] ** 2)
    found = planes.copy()
    found[1:] = (1 - blend) * planes[1:] + share[:, None, None] * (blend * stretched)
    return found


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
    model: PSFModel, cut: _Stars, found: np.ndarray, used: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Residual (n, nodes) of each star in units of its flux, brought to the nodes, and the weight 0 or 1 of each."""
    chosen, side = np.flatnonzero(used), cut.data.shape[1]
    good, flux = cut.good[chosen], found["flux"][chosen, None, None]
    left = np.where(good, cut.data[chosen] / flux - _modelled(model, cut, found, chosen), 0.0)
    for axis in (1, 2):
        left = ndimage.spline_filter1d(left, order=3, axis=axis, mode="nearest")
    along_x, along_y = (
        _taps(u + (found[name][chosen] - nearest[chosen])[:, None] + side // 2, side)
        for name, nearest in (("x", cut.px), ("y", cut.py))
    )
    residual = along_y @ left @ along_x.transpose(0, 2, 1)
    near_x, near_y = ((np.abs(taps) > 0.05).astype(np.float32) for taps in (along_x, along_y))
    spoiled = near_y @ (~good).astype(np.float32) @ near_x.transpose(0, 2, 1)
    return residual.reshape(len(chosen), -1), (spoiled < 0.5).reshape(len(chosen), -1).astype(float)


def _modelled(model: PSFModel, cut: _Stars, found: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The model at the fitted positions of the stars `chosen`, as large as their stamps."""
    x, y = found["x"][chosen], found["y"][chosen]
    return model.stamps(x, y, x - cut.px[chosen], y - cut.py[chosen], cut.data.shape[1] // 2)


def _taps(position: np.ndarray, size: int) -> np.ndarray:
    """Matrices (n, m, size) that evaluate a cubic spline with given coefficients at positions (n, m) px of a line."""
    base = np.floor(position).astype(int)
    t = position - base
    u = 1 - t
    values = (u**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * u**2 + 3 * u**3) / 6, t**3 / 6)
    matrices = np.zeros((*position.shape, size))
    n, m = np.indices(position.shape)
    for shift, value in zip((-1, 0, 1, 2), values):
        matrices[n, m, np.clip(base + shift, 0, size - 1)] += value  # at the edges the last one counts again
    return matrices


def _solve(design: np.ndarray, residual: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares of each node over the stars: (terms, nodes); nodes without information stay 0."""
    count = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    normal = (weight.T @ products).reshape(-1, count, count)
    right = (weight * residual).T @ design
    trace = np.trace(normal, axis1=1, axis2=2)
    normal = normal + (1e-6 * trace / count + 1e-12)[:, None, None] * np.eye(count)
    return np.linalg.solve(normal, right[..., None])[..., 0].T
