"""How many of the injected sources were found, against magnitude: fractions with binomial errors, and limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BIN = 0.25  # mag
_FINE = 0.05  # mag: bins of the fit, whose cost does not grow with the fakes
_WEAK = (0.0, 0.02, 0.02)  # curvature that holds what the fakes do not say: no step, no height of 1
_USUAL = (0.0, -1.5, 0.0)
_VAGUE = 0.5  # mag: a limit with a larger error says nothing


@dataclass(frozen=True)
class Bin:
    """The fakes of one range of magnitudes."""

    magnitude: float  # middle
    n: int
    found: int
    low: float  # 68 % interval of the fraction
    high: float

    @property
    def fraction(self) -> float:
        """Part of them that was found."""
        return self.found / self.n


@dataclass(frozen=True)
class Efficiency:
    """What was found of many fakes."""

    bins: tuple[Bin, ...]
    n: int
    found: int
    half: float | None  # magnitude down to which half are found
    half_error: float | None
    ninety: float | None = None  # magnitude down to which 90 % are found
    ninety_error: float | None = None

    @property
    def fraction(self) -> float | None:
        """Part of all."""
        return self.found / self.n if self.n else None


def efficiency(magnitudes: Sequence[float] | np.ndarray, found: Sequence[bool] | np.ndarray) -> Efficiency:
    """Bins of 0.25 mag with Wilson intervals, and the magnitudes down to which half and 90 % are found."""
    from astropy.stats import binom_conf_interval

    mags, hits = np.asarray(magnitudes, float), np.asarray(found, bool)
    usable = np.isfinite(mags)
    mags, hits = mags[usable], hits[usable]
    if not len(mags):
        return Efficiency((), 0, 0, None, None)
    places, n, k = _counted(mags, hits, BIN)
    low, high = binom_conf_interval(k, n, interval="wilson")
    columns = zip(places, n.tolist(), k.tolist(), low.tolist(), high.tolist())
    bins = tuple(Bin(round((place + 0.5) * BIN, 3), *rest) for place, *rest in columns)
    (half, half_error), (ninety, ninety_error) = limits(mags, hits, (0.5, 0.9))
    return Efficiency(bins, len(mags), int(hits.sum()), half, half_error, ninety, ninety_error)


def limits(
    magnitudes: np.ndarray, found: np.ndarray, levels: Sequence[float]
) -> list[tuple[float | None, float | None]]:
    """Where a logistic curve of most likely height, place and width falls through each of the levels, and the errors.

    (None, None) where the fakes do not say: all bright ones missed, none lost, a height below the level, or an error
    above half a magnitude. Errors are those of all three parameters together.
    """
    from scipy.optimize import minimize

    nothing = [(None, None)] * len(levels)
    if not 5 <= found.sum() <= len(found) - 3 or np.median(magnitudes[found]) >= np.median(magnitudes[~found]):
        return nothing
    places, n, k = _counted(magnitudes, found, _FINE)
    mags = (places + 0.5) * _FINE
    start = float(np.median(magnitudes[~found]) + np.median(magnitudes[found])) / 2

    def surprise(p: np.ndarray) -> float:
        chance = np.clip(curve(mags, p), 1e-9, 1 - 1e-9)
        weak = 0.5 * float(np.dot(_WEAK, (p - _USUAL) ** 2))
        return weak - float(np.sum(k * np.log(chance) + (n - k) * np.log(1 - chance)))

    best = minimize(surprise, [start, -1.5, 3.0], method="BFGS").x
    errors = np.linalg.pinv(_information(best, mags, n))
    return [_limit(best, errors, level, magnitudes) for level in levels]


def _counted(magnitudes: np.ndarray, found: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bins that are not empty: their numbers, from 0 mag on, how many are in them and how many were found."""
    places, index = np.unique(np.floor(magnitudes / width).astype(int), return_inverse=True)
    return places, np.bincount(index), np.bincount(index, weights=found).astype(int)


def _information(p: np.ndarray, magnitudes: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Fisher's information (3, 3) of the parameters of the curve."""
    step = 1e-4 * np.eye(3)
    slopes = np.stack([(curve(magnitudes, p + one) - curve(magnitudes, p - one)) / 2e-4 for one in step])
    chance = np.clip(curve(magnitudes, p), 1e-6, 1 - 1e-6)
    return (slopes * n / (chance * (1 - chance))) @ slopes.T + np.diag(_WEAK)


def _limit(
    p: np.ndarray, errors: np.ndarray, level: float, magnitudes: np.ndarray
) -> tuple[float | None, float | None]:
    middle, width, height = p[0], np.exp(p[1]), curve(np.array([-np.inf]), p)[0]
    if height <= level:
        return None, None
    drop = np.log(height / level - 1)
    place = middle + width * drop
    slope = np.array([1.0, width * drop, width / (height / level - 1) / level * height * (1 - height)])
    error = float(np.sqrt(max(slope @ errors @ slope, 0)))
    inside = magnitudes.min() <= place <= magnitudes.max() and error < _VAGUE
    return (round(float(place), 3), round(error, 3)) if inside else (None, None)


def curve(magnitudes: np.ndarray, p: np.ndarray) -> np.ndarray:
    """A logistic curve: `p` are the middle (mag), the logarithm of the width (mag) and the logit of the height."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-p[2])) / (1 + np.exp((magnitudes - p[0]) * np.exp(-p[1])))
