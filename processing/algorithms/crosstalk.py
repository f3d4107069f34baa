"""Crosstalk measured: what part of a bright source in one amplifier shows up in another one that is read with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from processing.algorithms.background import BackgroundParameters, estimate_background
from processing.algorithms.masks import grow
from processing.algorithms.overscan import Amplifier
from processing.algorithms.readout import as_read_with
from processing.errors import BadPixels
from processing.parameters import Parameters, param

_ITERATIONS = 10
_FAINT = 0.1  # of the level of sources: their ghosts are not seen
_FULL = 0.95  # of the saturation level
_WINGS = 100.0  # px from a bright star in which its own light counts
_LOW = 2.0  # times the faintest source
_OWN = 6.0  # noise of a pixel: noise on the crest of a fringe must not pass for a source
_BESIDE = 8.0  # px around sources of the victim itself
_LEAST_AROUND = 0.05  # of the pixels of a box of two tiles
_TILE = 32  # px; what one star does wrong it does within such a tile


class CrosstalkParameters(Parameters):
    """Which pixels tell of crosstalk."""

    min_source: float = param(2000.0, gt=0, unit="ADU", help="Pixels brighter than this above their sky are sources.")
    max_source: float = param(
        65_000.0, gt=0, unit="ADU", help="And below this as read: at the end of the converter nobody knows the signal."
    )
    largest: float = param(0.005, gt=0, lt=1, help="No coefficient is larger than this.")
    min_pixels: int = param(50, ge=10, help="Source pixels that a pair of amplifiers needs.")
    clip: float = param(4.0, gt=0, unit="sigma", help="Deviations above this are of sources of the victim's own.")
    box: int = param(64, ge=16, unit="px", help="Side of the meshes in which the sky is measured.")


@dataclass(frozen=True)
class AmplifierLight:
    """What one amplifier read above its sky."""

    amplifier: Amplifier
    signal: np.ndarray  # (rows, columns) float32, ADU above the sky; as it stands in the trimmed image
    is_full: np.ndarray  # (rows, columns) bool: saturated
    is_clipped: np.ndarray  # (rows, columns) bool: too bright for its signal to be known
    noise: float  # ADU, of a pixel of the sky


@dataclass(frozen=True)
class Samples:
    """Pixels of a victim that are read with bright pixels of a source."""

    source: np.ndarray  # (n,) float32, ADU
    victim: np.ndarray  # (n,) float32, ADU
    tile: np.ndarray  # (n,) int, the same for pixels that lie together
    noise: float  # ADU, of a pixel of the victim


@dataclass(frozen=True)
class Coefficient:
    """The coefficient of a pair of amplifiers."""

    value: float
    error: float
    n_pixels: int


def light_of(
    adu: np.ndarray, as_read: np.ndarray, amplifiers: Sequence[Amplifier], parameters: CrosstalkParameters
) -> list[AmplifierLight]:
    """The amplifiers of a CCD from `adu` (ny, nx) above the bias and `as_read` (ny, nx) before it was subtracted.

    An amplifier without sky to measure is left out.
    """
    found = []
    for amplifier in amplifiers:
        part, read = adu[amplifier.target], as_read[amplifier.target]
        full = read >= _FULL * amplifier.saturation
        unusable = ~np.isfinite(part) | full
        try:
            sky = estimate_background(part, unusable, BackgroundParameters(box=parameters.box))
        except BadPixels:
            continue
        signal = part - sky.level
        found.append(AmplifierLight(amplifier, signal, full, read >= parameters.max_source, sky.noise))
    return found


def samples_of(
    victim: AmplifierLight, source: AmplifierLight, parameters: CrosstalkParameters, *, is_same_ccd: bool = True
) -> Samples:
    """The pixels of one exposure; those where the victim has a source of its own are left out, with what is around.

    On the same CCD, so are those that lie in the wings of their source.
    """
    signal, clipped = (as_read_with(victim.amplifier, source.amplifier, p) for p in (source.signal, source.is_clipped))
    # A saturated source is a good one: its ghost is that of the signal, whatever its charge.
    chosen = (signal > parameters.min_source) & ~clipped & ~victim.is_full
    is_faint = signal < _FAINT * parameters.min_source
    ghost = parameters.largest * np.abs(signal)
    # Only what no ghost can be: fainter sources and fringes are as frequent around a ghost as in it.
    own = victim.signal > _OWN * victim.noise + ghost
    free = ~grow(own | victim.is_full, _BESIDE) & np.isfinite(victim.signal)
    chosen &= free & (np.abs(victim.signal) < parameters.clip * victim.noise + ghost)
    if is_same_ccd:
        chosen &= _distance(victim.amplifier, source.amplifier) > _WINGS
    calm = free & is_faint & (np.abs(victim.signal) < parameters.clip * victim.noise)
    level, is_known = _level_around(victim.signal, calm)
    chosen &= is_known
    rows, columns = np.nonzero(chosen)
    tile = rows // _TILE * (1 + signal.shape[1] // _TILE) + columns // _TILE
    return Samples(signal[chosen], (victim.signal - level)[chosen], tile, victim.noise)


def _distance(victim: Amplifier, source: Amplifier) -> np.ndarray:
    """How far apart on the CCD the pixels lie that two amplifiers read at the same moment, (rows, columns) px."""
    apart = []
    for axis in (0, 1):
        here, there = (np.arange(one.target[axis].start, one.target[axis].stop) for one in (victim, source))
        apart.append(np.abs(here - (there[::-1] if victim.backwards[axis] != source.backwards[axis] else there)))
    return np.hypot(apart[0][:, None], apart[1][None, :])


def _level_around(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the `values` (ny, nx) chosen by `where` (ny, nx) around each pixel, and whether it is known (bool).

    Sources are cut out at their positive side, so what is left around is not quite the sky.
    """
    size = 2 * _TILE + 1
    share = uniform_filter(where.astype(np.float32), size, mode="constant")
    total = uniform_filter(np.where(where, values, 0).astype(np.float32), size, mode="constant")
    is_known = share > _LEAST_AROUND
    return np.divide(total, share, out=np.zeros_like(total), where=is_known), is_known


def fit_coefficient(samples: Sequence[Samples], parameters: CrosstalkParameters) -> Coefficient | None:
    """Robust regression of victims on sources through the origin; None where there are too few pixels.

    Pixels that lie together err together, where a source lies under a ghost. So each tile of 32 px gives a coefficient
    of its own, with its noise and the scatter from star to star that comes on top; the weighted mean is taken, without
    those that are far off.
    """
    source = np.concatenate([one.source for one in samples]).astype(float)
    victim = np.concatenate([one.victim for one in samples]).astype(float)
    if len(source) < parameters.min_pixels:
        return None
    starts = np.cumsum([0, *(one.tile.max(initial=-1) + 1 for one in samples)])
    _, tiles = np.unique(np.concatenate([one.tile + start for one, start in zip(samples, starts)]), return_inverse=True)
    noise = _noise_under(samples)
    values, weights = _of_tiles(tiles, source, victim)
    value, extra = _weighted_median(values, np.sqrt(weights)), 0.0
    # What the faintest sources have too much is no ghost but an error of the level. Then pixels with light of the
    # victim's own go, as they did around the ghosts.
    low = source < _LOW * parameters.min_source
    victim = (
        victim - np.median((victim - value * source)[low]) if np.count_nonzero(low) > parameters.min_pixels else victim
    )
    near = np.abs(victim - value * source) < parameters.clip * noise
    _, tiles = np.unique(tiles[near], return_inverse=True)
    values, weights = _of_tiles(tiles, source[near], victim[near])
    errors = noise / np.sqrt(weights)
    for _ in range(_ITERATIONS):
        total = errors**2 + extra
        keep = (values - value) ** 2 <= parameters.clip**2 * total
        if not keep.any():
            return None
        before, value = value, float(np.average(values[keep], weights=1 / total[keep]))
        extra = _extra_variance(values[keep], errors[keep])
        if abs(value - before) <= 1e-6 * abs(value):
            break
    error = float(1 / np.sqrt(np.sum(1 / total[keep])))
    return Coefficient(value, error, int(np.isin(tiles, np.flatnonzero(keep)).sum()))


def _of_tiles(tiles: np.ndarray, source: np.ndarray, victim: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The coefficient of each tile and its weight, Σ s v / Σ s² and Σ s²."""
    weights = np.bincount(tiles, weights=source**2)
    return np.bincount(tiles, weights=source * victim) / weights, weights


def _extra_variance(values: np.ndarray, errors: np.ndarray) -> float:
    """The variance that `values` have beyond their `errors` (DerSimonian & Laird 1986): of unseen sources."""
    weights = 1 / errors**2
    off = values - np.average(values, weights=weights)
    spare = weights.sum() - np.sum(weights**2) / weights.sum()
    return max(0.0, float((np.sum(weights * off**2) - (len(values) - 1)) / spare)) if spare > 0 else 0.0


def _noise_under(samples: Sequence[Samples]) -> float:
    """ADU, of a pixel of the victim."""
    return float(np.average([one.noise for one in samples], weights=[len(one.source) + 1 for one in samples]))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
