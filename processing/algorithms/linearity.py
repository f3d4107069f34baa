"""How the ADU of an amplifier grow with its light: measured from flats of rising exposure time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from processing.algorithms.overscan import Amplifier
from processing.algorithms.readout import LINEARITY
from processing.algorithms.statistics import mad_std
from processing.errors import BadInput
from processing.parameters import Parameters, param

_CELL = 16  # px, side of the cells whose means are followed from flat to flat
_BRIGHT, _ALIKE = 85.0, 0.03  # percentile of the cells that are used, and how far from it
_ENTRIES = 65  # of the table, an amplifier
_SAME_TIME = 1e-3  # relative difference of exposure times that are meant to be the same
_FEWEST_LEVELS = 5
_FLOOR = 2e-4  # relative scatter below which no flat is left out


class LinearityParameters(Parameters):
    """How the curve is fitted."""

    degree: int = param(4, ge=1, le=8, help="Degree of the polynomial of the relative correction.")
    drift_order: int = param(5, ge=0, le=8, help="Largest degree in time of the lamp, if repeated exposures tell it.")
    clip: float = param(5.0, gt=0, unit="sigma", help="Flats farther from the curve are left out.")
    max_level: float = param(0.97, gt=0, le=1, help="Levels above this part of the saturation level are left out.")


@dataclass(frozen=True)
class CellMeans:
    """Means of the cells of one amplifier in one flat; NaN where a pixel of it is saturated."""

    values: np.ndarray  # (n,) float64, ADU above the bias


@dataclass(frozen=True)
class LinearityFit:
    """The curves of all amplifiers of a CCD."""

    table: np.ndarray  # dtype LINEARITY, sorted, from 0 on
    residual: dict[str, float]  # rms of the relative residual of each amplifier
    largest: dict[str, float]  # largest relative residual
    correction: dict[str, float]  # relative correction at the highest level
    reach: dict[str, float]  # highest level that was measured, as part of the saturation level above the bias
    drift: float  # relative change of the lamp from the brightest to the faintest moment
    is_drift_known: bool
    points: tuple[dict[str, float | str], ...]  # amplifier, time (s), adu, residual: for plots


def cell_means(adu: np.ndarray, as_read: np.ndarray, amplifier: Amplifier, max_level: float) -> CellMeans:
    """Means of 16-px cells of an amplifier in `adu` (ny, nx), corrected up to the bias; `as_read` tells saturation."""
    box = amplifier.target
    ny, nx = (size // _CELL * _CELL for size in adu[box].shape)
    if not (ny and nx):
        raise BadInput(what=f"amplifier {amplifier.name}", reason=f"it has less than {_CELL} rows or columns")
    shape = ny // _CELL, _CELL, nx // _CELL, _CELL
    means = adu[box][:ny, :nx].reshape(shape).mean(axis=(1, 3), dtype=float)
    highest = as_read[box][:ny, :nx].reshape(shape).max(axis=(1, 3))
    means[highest >= max_level * amplifier.saturation] = np.nan
    return CellMeans(means.ravel())


def levels_of(cells: Sequence[CellMeans]) -> np.ndarray:
    """The level of each flat in ADU, (n,) float64: of cells that are about equally bright; NaN where saturated.

    All flats are held against the brightest one whose cells are good, cell by cell, so defects do not matter.
    """
    values = np.stack([one.values for one in cells])
    good = np.isfinite(values).mean(axis=1) > 0.9
    if not good.any():
        return np.full(len(cells), np.nan)
    reference = values[np.nanargmax(np.where(good, np.nanmedian(np.where(good[:, None], values, 0), axis=1), -1))]
    typical = np.nanpercentile(reference, _BRIGHT)
    chosen = np.abs(reference / typical - 1) < _ALIKE
    ratios = values[:, chosen] / reference[chosen]
    enough = np.isfinite(ratios).mean(axis=1) > 0.5
    found = np.full(len(cells), np.nan)
    found[enough] = np.nanmedian(ratios[enough], axis=1) * np.nanmean(reference[chosen])
    return found


def lamp_light(levels: np.ndarray, times: np.ndarray, mjd: np.ndarray, max_order: int) -> tuple[np.ndarray, bool]:
    """Relative brightness of the lamp at each flat (n,), and whether repeated exposure times tell it.

    `levels` (n, amplifiers) in ADU. Flats of the same exposure time differ by the lamp alone, whatever the amplifier's
    curve; a polynomial in time is fitted to the logarithm of their levels, each exposure time having its own offset.
    """
    groups = _groups(times)
    usable = np.isfinite(levels).all(axis=1) & (levels > 0).all(axis=1)
    repeated = [group for group in np.unique(groups) if np.sum((groups == group) & usable) > 1]
    rows = np.flatnonzero(np.isin(groups, repeated) & usable)
    spare = len(rows) - len(repeated)
    spread = float(np.ptp(mjd)) or 1.0
    when = (mjd - mjd.mean()) / spread
    order = min(max_order, spare // 2 if spare > 1 else spare)
    if order < 1 or np.ptp(when[rows]) < 0.3:
        return np.ones(len(times)), False
    offsets = (groups[rows][:, None] == np.array(repeated)[None, :]).astype(float)
    powers = np.stack([when[rows] ** k for k in range(1, order + 1)], axis=1)
    logs = np.log(levels[rows]).mean(axis=1)
    found = np.linalg.lstsq(np.hstack([powers, offsets]), logs, rcond=None)[0][:order]
    light = np.exp(sum(found[k - 1] * when**k for k in range(1, order + 1)))
    return light / light.mean(), True


def fit_linearity(
    levels: np.ndarray,
    times: np.ndarray,
    mjd: np.ndarray,
    amplifiers: Sequence[Amplifier],
    full: Sequence[float],
    parameters: LinearityParameters,
) -> LinearityFit:
    """Fit linear = measured × (1 + Σ aₖ (measured / top)ᵏ), proportional to exposure time × lamp, for each amplifier.

    `levels` (n, amplifiers) ADU above the bias, NaN where saturated; `times` (n,) s; `mjd` (n,); `full` ADU above the
    bias at saturation. At low light the correction is 1. Raises BadInput where an amplifier has less than five
    levels, or where its curve would fall.
    """
    light, is_known = lamp_light(levels, times, mjd, parameters.drift_order)
    exposed = times * light
    tables, points = [], []
    found: dict[str, dict[str, float]] = {name: {} for name in ("residual", "largest", "correction", "reach")}
    for number, amplifier in enumerate(amplifiers):
        curve, top, used, off = _fit_one(levels[:, number], times, exposed, amplifier.name, parameters)
        table = np.zeros(_ENTRIES, LINEARITY)
        table["amplifier"] = amplifier.name
        adu = np.linspace(0, top, _ENTRIES)
        linear = adu * curve(adu)
        if np.any(np.diff(linear) <= 0):
            raise BadInput(what=f"the ramp of amplifier {amplifier.name}", reason="its curve falls; see its flats")
        table["adu"], table["linear_adu"] = adu, linear
        tables.append(table)
        found["residual"][amplifier.name] = float(np.sqrt(np.mean(off[used] ** 2)))
        found["largest"][amplifier.name] = float(np.max(np.abs(off[used])))
        found["correction"][amplifier.name] = float(linear[-1] / adu[-1] - 1)
        found["reach"][amplifier.name] = float(top / full[number])
        points += [
            {
                "amplifier": amplifier.name,
                "time": float(times[k]),
                "adu": float(levels[k, number]),
                "off": float(off[k]),
            }
            for k in np.flatnonzero(used)
        ]
    return LinearityFit(
        np.concatenate(tables), **found, drift=float(np.ptp(light)), is_drift_known=is_known, points=tuple(points)
    )


def _fit_one(measured, times, exposed, name, parameters):
    """The curve, the highest level, which flats are used, and their relative residuals (n,)."""
    used = np.isfinite(measured) & (measured > 0) & (times > 0)
    off = np.full(len(measured), np.nan)
    for _ in range(5):
        distinct = len(np.unique(_groups(times)[used]))
        if distinct < _FEWEST_LEVELS:
            reason = f"{distinct} exposure times can be used, at least {_FEWEST_LEVELS} are needed, without saturation"
            raise BadInput(what=f"the ramp of amplifier {name}", reason=reason)
        top = float(measured[used].max())
        degree = min(parameters.degree, distinct - 2)
        part = measured / top
        powers = np.stack([part**k for k in range(1, degree + 1)], axis=1)
        design = np.hstack([powers, -(exposed / np.where(measured > 0, measured, 1))[:, None]])
        found = _robust(design[used], -np.ones(used.sum()))
        off = (1 + powers @ found[:-1]) * measured / (found[-1] * exposed) - 1
        spread = max(mad_std(off[used]), _FLOOR)
        keep = used & (np.abs(off) <= parameters.clip * spread)
        if np.array_equal(keep, used):
            break
        used = keep
    coefficients = np.concatenate([[1.0], found[:-1]])
    return lambda adu: np.polynomial.polynomial.polyval(np.asarray(adu) / top, coefficients), top, used, off


def _robust(design: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Solve design × x = wanted, (n,) each, with little regard to rows that are far off."""
    start = np.linalg.lstsq(design, wanted, rcond=None)[0]
    return least_squares(lambda x: design @ x - wanted, start, lambda x: design, loss="cauchy", f_scale=_FLOOR).x


def _groups(times: np.ndarray) -> np.ndarray:
    """A number for each exposure time, the same for those that are meant to be equal, (n,) int."""
    order = np.argsort(times)
    steps = np.diff(times[order]) > _SAME_TIME * times[order][1:]
    groups = np.empty(len(times), int)
    groups[order] = np.concatenate([[0], np.cumsum(steps)])
    return groups
