"""How many of the injected sources were found, against magnitude: fractions with binomial errors, where half are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BIN = 0.25  # mag


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
    half: float | None  # magnitude at which half are found
    half_error: float | None

    @property
    def fraction(self) -> float | None:
        """Part of all."""
        return self.found / self.n if self.n else None


def efficiency(magnitudes: Sequence[float] | np.ndarray, found: Sequence[bool] | np.ndarray) -> Efficiency:
    """Bins of 0.25 mag with Wilson intervals, and the magnitude at which half are found."""
    from astropy.stats import binom_conf_interval

    mags, hits = np.asarray(magnitudes, float), np.asarray(found, bool)
    usable = np.isfinite(mags)
    mags, hits = mags[usable], hits[usable]
    if not len(mags):
        return Efficiency((), 0, 0, None, None)
    places, index = np.unique(np.floor(mags / BIN).astype(int), return_inverse=True)
    n, k = np.bincount(index), np.bincount(index, weights=hits).astype(int)
    low, high = binom_conf_interval(k, n, interval="wilson")
    columns = zip(places, n.tolist(), k.tolist(), low.tolist(), high.tolist())
    bins = tuple(Bin(round((place + 0.5) * BIN, 3), *rest) for place, *rest in columns)
    return Efficiency(bins, len(mags), int(hits.sum()), *half_found(mags, hits))


def half_found(magnitudes: np.ndarray, found: np.ndarray) -> tuple[float | None, float | None]:
    """Where a logistic curve of most likely height, place and width falls through one half, and its error.

    (None, None) where the fakes do not say: all bright ones missed, or none lost.
    """
    from scipy.optimize import minimize

    if not 5 <= found.sum() <= len(found) - 3 or np.median(magnitudes[found]) >= np.median(magnitudes[~found]):
        return None, None
    start = float(np.median(magnitudes[~found]) + np.median(magnitudes[found])) / 2

    def surprise(p: np.ndarray) -> float:
        chance = np.clip(curve(magnitudes, p), 1e-9, 1 - 1e-9)
        weak = 0.01 * (p[1] + 1.5) ** 2 + 0.01 * p[2] ** 2  # holds what the fakes do not say: no step, no height of 1
        return weak - float(np.sum(np.log(np.where(found, chance, 1 - chance))))

    best = minimize(surprise, [start, -1.5, 3.0], method="BFGS")
    middle, log_width, _ = best.x
    height = curve(np.array([-np.inf]), best.x)[0]
    if height <= 0.5:
        return None, None
    half = middle + np.exp(log_width) * np.log(2 * height - 1)
    error = float(np.sqrt(max(best.hess_inv[0, 0], 0)))
    inside = magnitudes.min() <= half <= magnitudes.max() and np.isfinite(error)
    return (round(float(half), 3), round(error, 3)) if inside else (None, None)


def curve(magnitudes: np.ndarray, p: np.ndarray) -> np.ndarray:
    """A logistic curve: `p` are the middle (mag), the logarithm of the width (mag) and the logit of the height."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-p[2])) / (1 + np.exp((magnitudes - p[0]) * np.exp(-p[1])))
