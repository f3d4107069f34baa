"""The map of the 5σ limit held against injected point sources: where one in two is found, for each depth of the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.special import log_ndtr

from processing.algorithms.simulation_render import points
from processing.pipelines import Detection, Subtraction
from processing.providers import Untouched
from products.depth import limiting_flux
from products.models import ScienceImage
from tests.benchmarks._pair_fields import PairField

_SPACING, _JITTER = 28, 3.0  # px between injections
_RANGE = 0.7  # mag around the limit of their place
_WIDTH = 0.2  # of the limit, of the transition from found to lost


@dataclass(frozen=True)
class Injected:
    """Point sources that were put into the new image where the map has a limit, (n,) each."""

    x: np.ndarray  # px
    y: np.ndarray
    limit: np.ndarray  # mag below the zero point, of the map at their place
    fainter: np.ndarray  # mag, how much fainter than that they are
    found: np.ndarray  # bool


def inject(pair: PairField, given: dict[str, Any], rounds: int, seed: int = 1, method: str = "zogy") -> Injected:
    """Put lattices of sources around the limit into the new image of a calibrated pair, subtract it, detect.

    What the subtraction fits it fits to the image without them, so that the map is that of the first difference.
    """
    rng, step = np.random.default_rng([seed, 77]), Subtraction(method=method, fallbacks=())
    warped, difference = step.run(**given)
    given = given | {"before": Untouched(given["image"], warped)}
    made = [_round(pair, given, difference, step, rng) for _ in range(rounds)]
    return Injected(*(np.concatenate(columns) for columns in zip(*made)))


def _round(
    pair: PairField, given: dict[str, Any], difference: Any, step: Subtraction, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    x, y = _lattice(difference.shape, rng)
    flux = limiting_flux(difference, np.rint(x), np.rint(y))
    usable = np.isfinite(flux)
    x, y, flux = x[usable], y[usable], flux[usable]
    fainter = rng.uniform(-_RANGE, _RANGE, len(x))
    light = points(pair.new.frame, x, y, flux * 10 ** (-0.4 * fainter))
    _, changed = step.run(**given | {"image": with_light(given["image"], light, rng)})
    point = {name: given[name] for name in ("world_coordinates", "zero_point")}
    peaks = Detection(max_detections=10**6).run(image=changed, **point).table
    peaks = peaks[~peaks["is_negative"]]
    away, _ = cKDTree(np.c_[peaks["x"], peaks["y"]]).query(np.c_[x, y])
    return x, y, -2.5 * np.log10(flux), fainter, away < 0.75 * pair.new.camera.fwhm


def _lattice(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    edge = slice(16, None, _SPACING)
    y, x = (grid[edge, edge].ravel().astype(float) for grid in np.indices(shape))
    inside = (x < shape[1] - 16) & (y < shape[0] - 16)
    x, y = x[inside], y[inside]
    return x + rng.uniform(-_JITTER, _JITTER, x.shape), y + rng.uniform(-_JITTER, _JITTER, y.shape)


def with_light(image: ScienceImage, light: np.ndarray, rng: np.random.Generator) -> ScienceImage:
    """A copy of an image with expected electrons (ny, nx) in it, and their photon noise."""
    columns = {field.attname: getattr(image, field.attname) for field in image._meta.concrete_fields}
    copy = ScienceImage(**columns, data=image.data + rng.poisson(light).astype(np.float32), flags=image.flags)
    copy.exposure, used = image.exposure, image.weight > 0
    copy.weight = np.divide(1, 1 / np.where(used, image.weight, 1) + light, out=np.zeros_like(image.weight), where=used)
    return copy


def half_found(fainter: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Where one in two is found, mag fainter than the limit, and its error: a normal curve in flux fitted to all."""
    flux = 10 ** (-0.4 * fainter)

    def loss(values: np.ndarray) -> float:
        z = (flux - values[0]) / np.exp(values[1])
        return -float(np.sum(log_ndtr(np.where(found, z, -z))))

    best = minimize(loss, [1.0, np.log(_WIDTH)], method="Nelder-Mead").x
    step = np.array([0.01, 0.0])
    curvature = (loss(best + step) - 2 * loss(best) + loss(best - step)) / step[0] ** 2
    return float(-2.5 * np.log10(best[0])), float(2.5 / np.log(10) / np.sqrt(curvature) / best[0])


def limit_rows(pair: PairField, given: dict[str, Any], method: str, rounds: int = 1) -> dict[str, float]:
    """Numbers for the table of a benchmark."""
    injected = inject(pair, given, rounds, method=method)
    middle, error = half_found(injected.fainter, injected.found)
    away = [offset for _, offset, _, _ in by_depth(injected, 5)]
    return {
        "sources injected around the limit map": len(injected.x),
        "limit map minus injected 50 %, mag": -middle,
        "its error, mag": error,
        "the same, largest of five depths, mag": -max(away, key=abs),
    }


def by_depth(injected: Injected, bins: int) -> list[tuple[float, float, float, int]]:
    """Mean limit, injected 50 % point minus the map (mag, positive: deeper) and its error, number; shallowest first."""
    edges = np.quantile(injected.limit, np.linspace(0, 1, bins + 1))
    which = np.clip(np.searchsorted(edges, injected.limit, side="right") - 1, 0, bins - 1)
    return [
        (float(injected.limit[rows].mean()), *half_found(injected.fainter[rows], injected.found[rows]), int(rows.sum()))
        for rows in (which == number for number in range(bins))
    ]
