"""How good scores are, on candidates whose kind is known."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
SNR_EDGES = (5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 25.0, 50.0, 1e9)
_FALSE_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
_BINS = 15
_ODDS = 9  # bogus ones for each real one, where nobody has looked yet


def balanced(is_real: np.ndarray) -> np.ndarray:
    """Weights (n,) with which half of everything is real, sum 1."""
    n_real = max(int(is_real.sum()), 1)
    n_bogus = max(len(is_real) - int(is_real.sum()), 1)
    return np.where(is_real, 0.5 / n_real, 0.5 / n_bogus)


def calibration(raw: np.ndarray, is_real: np.ndarray) -> dict[str, np.ndarray]:
    """Points of the curve from raw log-odds (n,) to true ones at a prior of one half, by isotonic regression.

    Between the middles of its steps the curve is straight, so that no two candidates become equal that were not.
    Needs scikit-learn.
    """
    from sklearn.isotonic import IsotonicRegression

    weight = balanced(is_real)
    # No step claims more than the numbers can tell: one more of each kind is thought of.
    least = 0.5 * weight[np.flatnonzero(is_real)[:1]].sum(), 0.5 * weight[np.flatnonzero(~is_real)[:1]].sum()
    steps = IsotonicRegression().fit_transform(raw, is_real.astype(float), sample_weight=weight)
    edges, place = np.unique(steps, return_inverse=True)
    total = np.bincount(place, weight)
    middle = np.bincount(place, weight * raw) / total
    real = np.clip(edges, 0, 1) * total
    log_odds = np.log((real + least[0]) / (total - real + least[1]))
    return {"calibration_raw": middle, "calibration_log_odds": np.maximum.accumulate(log_odds)}


def rates(score: np.ndarray, is_real: np.ndarray) -> list[dict[str, float]]:
    """Missed and false parts at the usual thresholds, and the purity where nine of ten candidates are bogus."""
    found = []
    for level in LEVELS:
        missed, false = float((score[is_real] < level).mean()), float((score[~is_real] >= level).mean())
        purity = (1 - missed) / max(1 - missed + _ODDS * false, 1e-12)
        found.append({"threshold": level, "missed": missed, "false": false, "purity": purity})
    return found


def roc(score: np.ndarray, is_real: np.ndarray) -> list[dict[str, float]]:
    """The missed part at given parts of false ones, with the thresholds that give them."""
    bogus = np.sort(score[~is_real])[::-1]
    found = []
    for false in _FALSE_RATES:
        threshold = float(np.nextafter(bogus[min(int(false * len(bogus)), len(bogus) - 1)], np.float32(2)))
        missed = float((score[is_real] < threshold).mean())
        found.append({"false": false, "missed": missed, "threshold": threshold})
    return found


def reliability(score: np.ndarray, is_real: np.ndarray) -> tuple[list[dict[str, float]], float]:
    """Mean score and true part in bins of the score at a prior of one half, and the expected calibration error."""
    weight = balanced(is_real)
    place = np.minimum((score * _BINS).astype(int), _BINS - 1)
    found, error = [], 0.0
    for number in range(_BINS):
        rows = place == number
        total = weight[rows].sum()
        if not total:
            continue
        mean, part = (float((weight[rows] * values[rows]).sum() / total) for values in (score, is_real))
        found.append({"score": mean, "real": part, "candidates": int(rows.sum())})
        error += float(total) * abs(mean - part)
    return found, error


def missed_by_snr(score: np.ndarray, is_real: np.ndarray, snr: np.ndarray, threshold: float) -> list[dict[str, Any]]:
    """The missed part of the real ones in bins of S/N."""
    found = []
    for low, high in pairwise(SNR_EDGES):
        rows = is_real & (snr >= low) & (snr < high)
        if rows.any():
            missed = float((score[rows] < threshold).mean())
            found.append({"from": low, "to": high, "real": int(rows.sum()), "missed": missed})
    return found


def wrong_by_kind(score: np.ndarray, is_real: np.ndarray, kind: np.ndarray, threshold: float) -> list[dict[str, Any]]:
    """The part of each kind that is taken for the other class."""
    found = []
    for name in np.unique(kind):
        rows = kind == name
        wrong = float(((score[rows] >= threshold) != is_real[rows]).mean())
        real = bool(is_real[rows][0])
        found.append({"kind": str(name), "is_real": real, "candidates": int(rows.sum()), "wrong": wrong})
    return sorted(found, key=lambda row: (not row["is_real"], row["kind"]))
