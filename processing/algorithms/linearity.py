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
_FLOOR = 2e-4  # relative error of a level, whatever its light
_HALF = 0.5  # of the time of the ramp
_JITTER = 5e-5  # relative change of a lamp from flat to flat that does not matter
_OUTLIER = 25.0  # χ² of one flat above which it says nothing about the degree


class LinearityParameters(Parameters):
    """How the curve is fitted."""

    degree: int = param(4, ge=1, le=8, help="Largest degree of the polynomial of the relative correction.")
    drift_order: int = param(5, ge=0, le=8, help="Largest degree in time of the lamp, if repeated exposures tell it.")
    timing_error: float = param(
        0.003, ge=0, unit="s", help="Error of an exposure time: of the shutter, and of rounding in headers."
    )
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
    curve. Those that are spread over half of the ramp or more give a polynomial in time, of the degree that the
    Bayesian information criterion prefers; pairs next to each other would only add up their noise.
    """
    groups = _groups(times)
    when = (mjd - mjd.min()) / (float(np.ptp(mjd)) or 1.0)
    usable = np.isfinite(levels).all(axis=1) & (levels > 0).all(axis=1)
    spread_out = [group for group in np.unique(groups[usable]) if np.ptp(when[usable & (groups == group)]) >= _HALF]
    rows = np.flatnonzero(np.isin(groups, spread_out) & usable)
    if len(rows) - len(spread_out) < 2:
        return np.ones(len(times)), False
    offsets = (groups[rows][:, None] == np.array(spread_out)[None, :]).astype(float)
    logs = np.log(levels[rows]).mean(axis=1)
    fits = []
    for order in range(min(max_order, (len(rows) - len(spread_out)) // 2) + 1):
        design = np.hstack([offsets, *(when[rows][:, None] ** k for k in range(1, order + 1))])
        found = np.linalg.lstsq(design, logs, rcond=None)[0]
        square = float(np.sum((logs - design @ found) ** 2)) + len(rows) * _JITTER**2
        fits.append((found[len(spread_out) :], square))
    powers, _ = min(fits, key=lambda fit: len(rows) * np.log(fit[1]) + len(fit[0]) * np.log(len(rows)))
    light = np.exp(sum((value * when**k for k, value in enumerate(powers, start=1)), np.zeros(len(times))))
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
    errors = np.hypot(_FLOOR, parameters.timing_error / np.where(times > 0, times, 1))
    off = np.full(len(measured), np.nan)
    for _ in range(5):
        distinct = len(np.unique(_groups(times)[used]))
        if distinct < _FEWEST_LEVELS:
            reason = f"{distinct} exposure times can be used, at least {_FEWEST_LEVELS} are needed, without saturation"
            raise BadInput(what=f"the ramp of amplifier {name}", reason=reason)
        top = float(measured[used].max())
        coefficients, scale = _polynomial(
            measured[used] / top, exposed[used] / measured[used], errors[used], min(parameters.degree, distinct - 2)
        )
        off = np.polynomial.polynomial.polyval(measured / top, coefficients) * measured / (scale * exposed) - 1
        pulls = off / errors
        keep = used & (np.abs(pulls) <= parameters.clip * max(mad_std(pulls[used]), 1.0))
        if np.array_equal(keep, used):
            break
        used = keep
    return lambda adu: np.polynomial.polynomial.polyval(np.asarray(adu) / top, coefficients), top, used, off


def _polynomial(part: np.ndarray, ratio: np.ndarray, errors: np.ndarray, highest: int) -> tuple[np.ndarray, float]:
    """Coefficients (degree + 1,) of the correction, the first of which is 1, and ADU per unit of exposure.

    `part` (n,) is the level over the top one, `ratio` (n,) exposure over level, `errors` (n,) relative. Of all degrees
    up to `highest` the one with the best Bayesian information criterion is taken: more would follow the noise.
    """
    fits = []
    for degree in range(1, highest + 1):
        design = np.stack([*(part**k for k in range(1, degree + 1)), -ratio], axis=1) / errors[:, None]
        found = _robust(design, -1 / errors)
        fits.append((found, float(np.sum(np.minimum((design @ found + 1 / errors) ** 2, _OUTLIER)))))
    spare = max(len(part) - highest - 1, 1)
    spread = max(1.0, fits[-1][1] / spare)
    found, _ = min(fits, key=lambda fit: fit[1] / spread + len(fit[0]) * np.log(len(part)))
    return np.concatenate([[1.0], found[:-1]]), float(found[-1])


def _robust(design: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Solve design × x = wanted, (n,) in units of the errors, with little regard to rows that are far off."""
    start = np.linalg.lstsq(design, wanted, rcond=None)[0]
    return least_squares(lambda x: design @ x - wanted, start, lambda x: design, loss="cauchy", x_scale="jac").x


def _groups(times: np.ndarray) -> np.ndarray:
    """A number for each exposure time, the same for those that are meant to be equal, (n,) int."""
    order = np.argsort(times)
    steps = np.diff(times[order]) > _SAME_TIME * times[order][1:]
    groups = np.empty(len(times), int)
    groups[order] = np.concatenate([[0], np.cumsum(steps)])
    return groups
