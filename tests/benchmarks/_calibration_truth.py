"""Products of calibration beside the truth: differences as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from processing.algorithms.detection import moffat_kernel, significance
from processing.algorithms.masks import grow
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.simulation_render import background, points
from processing.algorithms.statistics import mad_std
from products.pixel_flags import PixelFlag
from tests.benchmarks._calibration_fields import CalibrationField

_GRID = 12  # points a side
_MATCH = 1.0  # FWHM
_EDGE = 20  # px, of the outermost places at which the PSF is compared
_NO_LIGHT = 1.5  # S/N without noise below which a source is of noise


def compare(field: CalibrationField, products: dict[str, Any]) -> dict[str, float]:
    """Numbers by name."""
    return {
        **_of_background(field, products["background"]),
        **of_solution(field, products["solution"]),
        **of_psf(field, PSFModel.from_planes(products["psf"].planes, products["psf"].model_header)),
        **of_sources(field, products["sources"].table),
        **_of_zero_point(field, products["zp"], products["sources"].table),
    }


def _of_background(field: CalibrationField, background: Any) -> dict[str, float]:
    empty = (field.expected < 1.02 * field.camera.sky) & (field.weight > 0)
    left = (field.data - background.level)[empty]
    return {
        "sky: mean of empty pixels, noise": float(left.mean(dtype=float)) / field.noise,
        "sky: noise, relative error": background.noise / field.noise - 1,
    }


def of_solution(field: CalibrationField, solution: Any) -> dict[str, float]:
    """Sky positions of a grid of pixels; the truth is sky → pixels, so the solution's sky is brought back by it."""
    ny, nx = field.camera.shape
    x, y = (part.ravel() for part in np.meshgrid(np.linspace(20, nx - 21, _GRID), np.linspace(20, ny - 21, _GRID)))
    ra, dec = solution.wcs.all_pix2world(x, y, 0)
    true_x, true_y = field.frame.projection.pixels(ra, dec)
    scale = 1000 * field.camera.scale
    off_x, off_y = (true_x - x) * scale, (true_y - y) * scale
    return {
        "WCS: rms against truth along x, mas": float(np.sqrt(np.mean(off_x**2))),
        "WCS: rms against truth along y, mas": float(np.sqrt(np.mean(off_y**2))),
        "WCS: said residual per axis, mas": 1000 * float(np.hypot(solution.rms_ra, solution.rms_dec) / np.sqrt(2)),
        "WCS: matched stars": solution.n_matches,
    }


def of_psf(field: CalibrationField, model: Any) -> dict[str, float]:
    """The model beside the true profile at a grid of positions: what a perfect fit with it would make of a star.

    Both are 1 within the stamp; what lies beyond it is told by itself.
    """
    ny, nx = field.camera.shape
    flux, shift, width, beyond = [], [], [], []
    for x in np.linspace(_EDGE, nx - 1 - _EDGE, 7):
        for y in np.linspace(_EDGE, ny - 1 - _EDGE, 9):
            true = _true_stamp(field, round(x), round(y), model.half_size)
            beyond.append(1 - true.sum())
            true /= true.sum()
            made = model.stamp(round(x), round(y)).astype(float)
            flux.append(np.sum(made * true) / np.sum(made**2) - 1)
            shift.append(_offset(true, made))
            width.append(np.sqrt(np.sum(true**2) / np.sum(made**2)) - 1)  # 1/√ΣP² goes with the FWHM
    away = np.array(shift) - np.median(shift, axis=0)
    return {
        "PSF: stars": model.n_stars,
        "PSF: flux bias, %": 100 * float(np.mean(flux)),
        "PSF: flux, excess scatter over the CCD, %": 100 * float(np.std(flux)),
        "PSF: flux, largest error, %": 100 * float(np.max(np.abs(flux))),
        "PSF: light beyond the stamp, mean, %": 100 * float(np.mean(beyond)),
        "PSF: light beyond the stamp, change over the CCD, %": 100 * float(np.ptp(beyond)),
        "PSF: FWHM, mean error, %": 100 * float(np.mean(width)),
        "PSF: FWHM, largest error, %": 100 * float(np.max(np.abs(width))),
        "PSF: centroid, rms per axis, px": float(np.sqrt(np.mean(away**2))),
        "PSF: centroid, common offset, px": float(np.hypot(*np.median(shift, axis=0))),
    }


def _true_stamp(field: CalibrationField, x: int, y: int, half: int) -> np.ndarray:
    from dataclasses import replace

    size = 2 * half + 1
    projection = replace(field.frame.projection, centre=tuple(
        c - at + half for c, at in zip(field.frame.projection.centre, (x, y))
    ))  # fmt: skip
    frame = replace(field.frame, shape=(size, size), projection=projection, sky=0.0)
    return points(frame, np.array([float(half)]), np.array([float(half)]), np.array([1e8])).astype(float) / 1e8


def _offset(true: np.ndarray, made: np.ndarray) -> tuple[float, float]:
    """By how much `made` must be moved to fit `true`, px, to first order."""
    slope_y, slope_x = np.gradient(made)
    design = np.stack([made.ravel(), -slope_x.ravel(), -slope_y.ravel()], axis=1)
    found = np.linalg.lstsq(design, true.ravel(), rcond=None)[0]
    return float(found[1] / found[0]), float(found[2] / found[0])


def of_sources(field: CalibrationField, table: np.ndarray) -> dict[str, float]:
    truth = field.truth
    usable = ~grow((field.flags & int(PixelFlag.UNUSABLE)) != 0, 2 * field.camera.fwhm)
    row, column = (np.clip(np.rint(truth[name]).astype(int), 0, size - 1) for name, size in zip("yx", usable.shape))
    truth = truth[usable[row, column]]
    is_star = truth["kind"] == "star"
    tree = cKDTree(np.c_[truth["x"], truth["y"]])
    near, _ = tree.query(np.c_[truth["x"], truth["y"]], k=2)
    alone = near[:, 1] > 4 * field.camera.fwhm
    found, nearest = cKDTree(np.c_[table["x"], table["y"]]).query(np.c_[truth["x"], truth["y"]])
    limit = _limit(field)
    seen = found < _MATCH * field.camera.fwhm
    stars = is_star & alone
    bright = stars & seen & (truth["mag"] < limit - 3.5)
    ratio = table["flux_psf"][nearest[bright]] / truth["flux"][bright]
    errors = table["flux_psf_err"][nearest[bright]] / truth["flux"][bright]
    good = ratio > 0.5
    moved = np.hypot(table["x"][nearest[bright]] - truth["x"][bright], table["y"][nearest[bright]] - truth["y"][bright])
    return {
        "sources": len(table),
        "50 % completeness, mag fainter than the 5σ limit": half_light(truth["mag"][stars] - limit, seen[stars]),
        "spurious, %": 100 * float(np.mean(_true_significance(field, table) < _NO_LIGHT)),
        "PSF photometry of S/N > 125: bias, %": 100 * (float(np.median(ratio[good])) - 1),
        "PSF photometry of S/N > 125: excess scatter, %": 100
        * float(np.sqrt(max(mad_std(ratio[good]) ** 2 - np.median(errors[good]) ** 2, 0))),
        **_of_shapes(truth, table, nearest, seen & (truth["mag"] < limit - 0.5)),
        "positions of S/N > 125: median error, px": float(np.median(moved)),
    }


def _of_shapes(truth: np.ndarray, table: np.ndarray, nearest: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    """How well the probability of a star separates stars from galaxies; of what shares a source the brightest counts."""
    rows = np.flatnonzero(chosen & np.isin(truth["kind"], ["star", "galaxy"]))
    rows = rows[np.argsort(truth["mag"][rows], kind="stable")]
    _, first = np.unique(nearest[rows], return_index=True)
    rows = rows[first]
    is_star, probability = truth["kind"][rows] == "star", table["p_star"][nearest[rows]].astype(float)
    ranks, stars = rankdata(probability), np.count_nonzero(is_star)
    galaxies = len(rows) - stars
    said = probability > 0.5
    return {
        "stars and galaxies: area under the curve": (ranks[is_star].sum() - stars * (stars + 1) / 2)
        / (stars * galaxies),
        "stars: completeness, %": 100 * float(said[is_star].mean()),
        "stars: purity, %": 100 * float(is_star[said].mean()),
    }


def _true_significance(field: CalibrationField, table: np.ndarray) -> np.ndarray:
    """S/N (n,) of the light without noise where sources were found: galaxies are made of knots with light of their own."""
    light = field.expected - background(field.frame)
    kernel = moffat_kernel(field.camera.fwhm)
    found = significance(light, np.full_like(light, field.noise), np.zeros(light.shape, bool), kernel)
    highest = maximum_filter(found, size=2 * round(field.camera.fwhm / 2) + 1)
    return highest[np.rint(table["y"]).astype(int), np.rint(table["x"]).astype(int)]


def _limit(field: CalibrationField) -> float:
    """Magnitude of a point source of 5σ: from the true PSF and the true noise."""
    ny, nx = field.camera.shape
    stamp = _true_stamp(field, nx // 2, ny // 2, 20)
    return float(field.camera.zero_point - 2.5 * np.log10(5 * field.noise / np.sqrt(np.sum(stamp**2))))


def half_light(difference: np.ndarray, seen: np.ndarray) -> float:
    """Where a smooth curve through the detections crosses one half; a logistic fit by Newton's method."""
    from scipy.optimize import minimize

    near = np.abs(difference) < 1.5
    x, y = difference[near], seen[near]

    def loss(values: np.ndarray) -> float:
        z = (x - values[0]) / np.exp(values[1])
        return float(np.sum(np.logaddexp(0, np.where(y, z, -z))))

    return float(minimize(loss, [0.0, -2.0], method="Nelder-Mead").x[0])


def _of_zero_point(field: CalibrationField, zero_point: Any, table: np.ndarray) -> dict[str, float]:
    """The zero point beside that of the camera, and beside what the PSF fluxes of bright stars ask for.

    The second is what magnitudes are wrong by: a PSF that makes all fluxes wrong by one factor is in both.
    """
    off = zero_point.zp - field.camera.zero_point
    truth = field.truth[(field.truth["kind"] == "star")]
    good = (table["flux_psf"] > 100 * table["flux_psf_err"]) & ~table["is_masked"] & ~table["is_saturated"]
    found = table[good & (table["sep_flag"] == 0)]
    away, nearest = cKDTree(np.c_[truth["x"], truth["y"]]).query(np.c_[found["x"], found["y"]])
    same = away < 0.5 * field.camera.fwhm
    factor = 2.5 * np.log10(found["flux_psf"][same] / truth["flux"][nearest[same]])
    return {
        "zero point: bias, mmag": 1000 * off,
        "zero point: bias of magnitudes of S/N > 100, mmag": 1000 * float(off - np.median(factor)),
        "zero point: said error, mmag": 1000 * zero_point.zp_error,
        "zero point: scatter of the stars, mmag": 1000 * zero_point.scatter,
        "zero point: colour term": zero_point.color_term,
        "limit 5σ: minus that of truth, mag": zero_point.limiting_magnitude - _limit(field),
    }
