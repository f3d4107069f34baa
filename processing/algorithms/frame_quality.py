"""Which raw frames are fit to calibrate others, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processing.algorithms.statistics import difference_noise, mad_std
from processing.parameters import Parameters, param

_CELLS = 8  # along each axis, for the large-scale structure
_LAG = 4  # px between the pixels whose difference is the noise
_FEWEST = 3  # frames of which one can be the odd one out
_OVERSCAN = 0.02  # noise of a pixel


class AcceptanceParameters(Parameters):
    """When a raw frame is left out of a master frame."""

    max_saturated: float = param(0.01, ge=0, le=1, help="Part of the pixels that may be saturated.")
    min_level: float = param(500.0, ge=0, unit="electron", help="Frames with light: median below which one is too low.")
    max_level: float = param(
        0.85,
        gt=0,
        le=1,
        help="Frames with light: median, as part of full well, above which one is too high.",
    )
    level_tolerance: float = param(
        0.5,
        gt=0,
        help="Flats of a lamp: allowed difference from the level that most have, as part of it.",
    )
    deviation: float = param(
        6.0, gt=0, unit="sigma", help="Frames farther from the set in level or large-scale structure are left out."
    )
    noise_tolerance: float = param(
        0.15, gt=0, help="Noise, above what read noise and light explain or the set has, from which one is left out."
    )
    structure_tolerance: float = param(
        0.01, ge=0, help="Frames with light: large-scale change, as part of the level, that is always allowed."
    )
    max_covered: float = param(0.7, gt=0, le=1, help="Frames of the sky: part of the pixels under sources.")


@dataclass(frozen=True)
class FrameFigures:
    """What is known of one corrected frame."""

    level: float  # median, in the unit of the stack
    noise: float  # of one pixel, over the one that is expected
    saturated: float  # part of the pixels
    cells: np.ndarray  # (8, 8) medians
    noise_of_cell: float  # expected error of such a median
    full: float  # saturation level in the unit of the stack
    noise_of_pixel: float = 0.0  # expected


@dataclass(frozen=True)
class Expected:
    """What decides how noisy a frame may be, in the unit of the stack."""

    read_variance: float  # of one pixel, without light
    shot: float  # unit of the stack per electron
    full: float  # saturation level


def frame_figures(frame: np.ndarray, mask: np.ndarray, saturated: float, expected: Expected) -> FrameFigures:
    """Figures of `frame` (ny, nx) float32 from its pixels outside `mask` (ny, nx) bool.

    Pixels that differ from their row's neighbours by fixed structure raise the noise, so frames are held against the
    others of a set as well as against what is `expected`.
    """
    cells = _cell_medians(frame, mask)
    level = float(np.median(frame[::3, ::3][~mask[::3, ::3]])) if not mask.all() else 0.0
    variance = expected.read_variance + expected.shot * max(level, 0.0)
    noise = difference_noise(frame, mask, _LAG)
    size = frame.size / cells.size
    return FrameFigures(
        level=level,
        noise=float(noise / np.sqrt(variance)) if variance > 0 and np.isfinite(noise) else 1.0,
        saturated=saturated,
        cells=cells,
        noise_of_cell=1.2533 * float(np.sqrt(variance / size)),
        full=expected.full,
        noise_of_pixel=float(np.sqrt(variance)),
    )


def refused_alone(figures: FrameFigures, parameters: AcceptanceParameters, *, has_light: bool) -> str:
    """Why a frame cannot be used whatever the others are like; empty when it can."""
    p = parameters
    if figures.saturated > p.max_saturated:
        return f"{figures.saturated:.1%} of the pixels are saturated, {p.max_saturated:.1%} are allowed"
    if has_light and figures.level > p.max_level * figures.full:
        return f"level {figures.level:.0f} electrons is above {p.max_level:.0%} of full well ({figures.full:.0f})"
    if has_light and figures.level < p.min_level:
        return f"level {figures.level:.0f} electrons is below {p.min_level:.0f}"
    return ""


def refused_among(
    figures: Sequence[FrameFigures], parameters: AcceptanceParameters, *, has_light: bool, is_lamp: bool = False
) -> dict[int, str]:
    """Which of the frames deviate from the others: index to reason. Nothing is said of fewer than three."""
    if len(figures) < _FEWEST:
        return {}
    found: dict[int, str] = {}
    levels = np.array([one.level for one in figures])
    for index, reason in _by_level(levels, figures, parameters, has_light, is_lamp):
        found.setdefault(index, reason)
    used = [index for index in range(len(figures)) if index not in found]
    excess = _noise_excess([figures[index] for index in used], has_light)
    for index, times in zip(used, excess):
        if times > 1 + parameters.noise_tolerance:
            found[index] = f"noise of its pixels is {times:.2f} times what the set has at its level"
    for index, reason in _by_structure(figures, parameters, has_light, skipped=found):
        found.setdefault(index, reason)
    return found


def _by_level(levels, figures, p, has_light, is_lamp):
    middle = float(np.median(levels))
    if has_light and not is_lamp:  # the sky is as bright as it is
        return
    if has_light:
        middle, together = _most_common(levels, p.level_tolerance)
        for index in np.flatnonzero(~together):
            yield int(index), f"level {levels[index]:.0f} is far from {middle:.0f}, near which most of the set are"
        return
    # The level of the overscan is not known better than to a small part of the noise of a pixel, whatever few say.
    error = max(
        max(one.noise_of_cell for one in figures),
        mad_std(levels),
        _OVERSCAN * max(one.noise_of_pixel for one in figures),
    )
    for index in np.flatnonzero(np.abs(levels - middle) > p.deviation * error):
        yield int(index), f"level {levels[index]:.2f} is far from that of the set, {middle:.2f} ± {error:.2f}"


def _noise_excess(figures: Sequence[FrameFigures], has_light: bool) -> np.ndarray:
    """Noise of the pixels over what is usual in the set, (n,).

    Fixed structure adds to it: of frames with light a part of the level that is the same for all.
    """
    noises = np.array([one.noise for one in figures])
    if not len(noises):
        return noises
    if not has_light:
        return noises / np.median(noises)
    known = np.array([one.noise_of_pixel / one.level for one in figures])
    structure = max(float(np.median((noises**2 - 1) * known**2)), 0.0)
    return noises / np.sqrt(1 + structure / known**2)


def _most_common(levels: np.ndarray, tolerance: float) -> tuple[float, np.ndarray]:
    """The median of those levels that are near the one that most others are near to, and which (n,) bool they are."""
    near = np.abs(levels[None, :] / levels[:, None] - 1) <= tolerance
    best = max(range(len(levels)), key=lambda index: (near[index].sum(), levels[index]))
    return float(np.median(levels[near[best]])), near[best]


def _by_structure(figures, p, has_light, skipped):
    """Frames whose light is spread otherwise than in the median of the set, once their own levels are set aside."""
    used = [index for index in range(len(figures)) if index not in skipped]
    if len(used) < _FEWEST:
        return
    cells = np.array([figures[index].cells for index in used])
    levels = np.nanmedian(cells, axis=(1, 2), keepdims=True)
    shapes = cells / levels if has_light else cells - levels
    off = shapes - np.nanmedian(shapes, axis=0)
    spread = np.sqrt(np.nanmean(off**2, axis=(1, 2)))
    errors = np.array([figures[index].noise_of_cell for index in used]) / (np.abs(levels[:, 0, 0]) if has_light else 1)
    for place, index in enumerate(used):
        others = float(np.median(np.delete(spread, place)))
        limit = p.deviation * max(others, float(errors[place]))
        if has_light:
            limit = max(limit, p.structure_tolerance)
        if spread[place] > limit:
            size = f"{spread[place]:.2%}" if has_light else f"{spread[place]:.2f} ADU"
            yield index, f"its large-scale structure differs from the set by {size} (rms)"


def _cell_medians(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Medians of 8 × 8 cells, NaN where all of a cell is masked; every fourth row will do."""
    ys, xs = (np.linspace(0, size, _CELLS + 1).astype(int) for size in frame.shape)
    step = 1 if frame.size < 1 << 20 else 4
    found = np.full((_CELLS, _CELLS), np.nan)
    for j in range(_CELLS):
        for i in range(_CELLS):
            box = slice(ys[j], ys[j + 1], step), slice(xs[i], xs[i + 1], step)
            values = frame[box][~mask[box]]
            if values.size:
                found[j, i] = np.median(values)
    return found
