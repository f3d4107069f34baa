"""Straight trails of satellites and aeroplanes: found in a binned image by a Hough transform, traced in the full one.

Values are clipped hard before they are summed along lines, so that a few bright stars in a row do not make a trail:
what counts is that much of a line is a little brighter than its surroundings (cf. Bektešević & Vinković 2017,
doi:10.1093/mnras/stx1565).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from processing.parameters import Parameters, param

_CLIP = -1.0, 1.5  # σ of a block: a star counts no more than a faint piece of a trail
_SURROUNDINGS = 15  # blocks whose mean is taken off: gradients, haloes and steps between amplifiers
_REACH = 24  # px to either side of the line in which a trail is traced
_PIECE = 64  # px along the line that are looked at together
_TELLING = 3.0  # σ of a piece: from here on the trail is in it
_FAINTEST = 0.5  # noise of a pixel: what is fainter in its middle is no trail that could be told from uneven rows
_MEDIAN_COSTS = 1.2533  # error of a median over that of a mean
_MOST = 8  # trails in one image


class TrailParameters(Parameters):
    """What counts as a trail."""

    block: int = param(16, ge=2, unit="px", help="Side of the blocks in which the image is binned.")
    threshold: float = param(6.0, gt=0, unit="sigma", help="Of the sum along a line.")
    shortest: int = param(400, ge=50, unit="px", help="A shorter line is no trail.")
    edge: float = param(0.3, gt=0, unit="sigma", help="The trail is flagged where it is brighter, in noise of the sky.")


@dataclass(frozen=True)
class Trail:
    """A straight line x cos a + y sin a = r in pixels from 0, and between which places along it the trail was seen."""

    angle: float  # rad, of the normal
    distance: float  # px
    start: float  # px along (−sin a, cos a)
    stop: float
    half_width: float  # px


def find_trails(
    data: np.ndarray, weight: np.ndarray, parameters: TrailParameters | None = None
) -> tuple[np.ndarray, list[Trail]]:
    """Pixels of trails (ny, nx) bool, and the trails.

    `data` (ny, nx) float32 has no sky; `weight` (ny, nx) float32 is the inverse variance, 0 where unusable.
    """
    p = parameters or TrailParameters()
    from processing.algorithms.trail_kernels import hough, paint_line

    mask, found = np.zeros(data.shape, bool), []
    significance = _blocks(data, weight, p.block)
    if significance is None:
        return mask, found
    angles = _angles(significance.shape)
    total, count = hough(significance, angles)
    for _ in range(_MOST):
        line = _strongest_line(total, count, angles, p)
        if line is None:
            break
        trail = _traced(data, weight, *line, p)
        if trail is not None:
            paint_line(mask, trail.angle, trail.distance, trail.half_width, (trail.start, trail.stop))
            found.append(trail)
        gone = hough(_taken(significance, *line, p.block), angles)
        total -= gone[0]
        count -= gone[1]
    return mask, found


def _blocks(data: np.ndarray, weight: np.ndarray, block: int) -> np.ndarray | None:
    """Mean of the blocks in its noise, clipped, with the surroundings taken off; None for too small an image."""
    from processing.algorithms.trail_kernels import block_means

    if min(data.shape) < _SURROUNDINGS * block:
        return None
    means, counts = block_means(data, weight, block)
    empty = counts < block * block // 4
    usable = means[~empty]
    if usable.size < 100:
        return None
    low, middle, high = np.percentile(usable, [15.87, 50, 84.13])
    clipped = np.clip((means - middle) / max((high - low) / 2, 1e-9), *_CLIP).astype(np.float32)
    clipped[empty] = 0
    surroundings = ndimage.uniform_filter(clipped, _SURROUNDINGS, mode="nearest")
    found = clipped - surroundings
    found[empty] = 0
    return found / max(float(found[~empty].std()), 1e-9)


def _strongest_line(
    total: np.ndarray, count: np.ndarray, angles: np.ndarray, p: TrailParameters
) -> tuple[float, float] | None:
    """(angle, distance in px) of the line with the largest significance, where it is a trail's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(count * p.block >= p.shortest, total / np.sqrt(count), 0)
    k, r = np.unravel_index(np.argmax(score), score.shape)
    if score[k, r] < p.threshold:
        return None
    angle, offset = angles[k], total.shape[1] // 2
    # The centre of block b is at pixel (b + 1/2) · block − 1/2.
    shift = (p.block - 1) / 2 * (np.cos(angle) + np.sin(angle))
    return float(angle), float((r - offset) * p.block + shift)


def _angles(shape: tuple[int, int]) -> np.ndarray:
    """Directions of normals, so close that a line leaves that of the nearest by half a block at most."""
    return np.arange(0, np.pi, 2.0 / max(shape))


def _traced(data: np.ndarray, weight: np.ndarray, angle: float, distance: float, p: TrailParameters) -> Trail | None:
    """The trail along a line, with its true place, extent and width in the full image; None where there is none."""
    from processing.algorithms.trail_kernels import along_line

    for _ in range(2):  # the second time along the better line
        profiles, errors, places = along_line(data, weight, angle, distance, _REACH, _PIECE)
        is_there, peaks = _where_it_is(profiles, errors)
        if np.count_nonzero(is_there) * _PIECE < p.shortest:
            return None
        # A straight line through the peaks of the pieces, robustly: a star in a piece is not the trail.
        slope, offset = _robust_line(places[is_there], peaks[is_there])
        turn = np.arctan(slope)
        angle, distance = angle - turn, (distance + offset) * np.cos(turn)
    profiles, errors, places = along_line(data, weight, angle, distance, _REACH, _PIECE)
    is_there, _ = _where_it_is(profiles, errors)
    if np.count_nonzero(is_there) * _PIECE < p.shortest:
        return None
    profile, noise = _mean_profile(profiles, errors, is_there)
    if profile.max() < _FAINTEST * noise:
        return None
    first, last = np.flatnonzero(is_there)[[0, -1]]
    start, stop = float(places[first] - _PIECE), float(places[last] + _PIECE)
    least = max(p.edge * noise, 3 * noise / np.sqrt(_PIECE * np.count_nonzero(is_there)))
    return Trail(float(angle), float(distance), start, stop, _half_width(profile > least))


def _where_it_is(profiles: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pieces (n,) show a trail, and where across it, px from the line."""
    smooth = ndimage.uniform_filter1d(profiles, 5, axis=1, mode="nearest")
    peaks = smooth.argmax(axis=1)
    middle = np.median(smooth, axis=1)
    # Rows or columns of uneven level are lines too: the trail must stand out among its neighbours, not only in noise.
    unevenness = 1.4826 * np.median(np.abs(smooth - middle[:, None]), axis=1)
    telling = smooth.max(axis=1) - middle > _TELLING * np.maximum(errors / np.sqrt(5), unevenness)
    usual = np.median(peaks[telling]) if telling.any() else 0
    return telling & (np.abs(peaks - usual) <= _REACH // 2), peaks - _REACH


def _robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and value at 0 of a line, without the points that lie far from it."""
    slope, offset = 0.0, float(np.median(y))
    for _ in range(5):
        far = np.abs(y - offset - slope * x)
        near = far <= max(3 * float(np.median(far)), 1.5)
        if np.count_nonzero(near) < 3 or np.ptp(x[near]) == 0:
            break
        slope, offset = np.polyfit(x[near], y[near], 1)
    return float(slope), float(offset)


def _mean_profile(profiles: np.ndarray, errors: np.ndarray, is_there: np.ndarray) -> tuple[np.ndarray, float]:
    """The trail across its line (2 reach + 1,), in the unit of the data, and the noise of a pixel."""
    mean = np.median(profiles[is_there], axis=0)
    return mean - np.median(mean), float(np.median(errors[is_there])) * np.sqrt(_PIECE) / _MEDIAN_COSTS


def _half_width(bright: np.ndarray) -> float:
    """How far from the middle a profile is bright to either side, px."""
    centre = len(bright) // 2
    reach = 1
    while reach < centre and (bright[centre - reach] or bright[centre + reach]):
        reach += 1
    return float(reach)


def _taken(significance: np.ndarray, angle: float, distance: float, block: int) -> np.ndarray:
    """Take the blocks near a line out of `significance`, (ny, nx): they are returned, all others being 0."""
    rows, columns = np.indices(significance.shape)
    x, y = (columns + 0.5) * block - 0.5, (rows + 0.5) * block - 0.5
    is_near = np.abs(x * np.cos(angle) + y * np.sin(angle) - distance) < 3 * block
    taken = np.where(is_near, significance, 0)
    significance[is_near] = 0
    return taken
