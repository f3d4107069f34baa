"""What a search of a pair found, beside what truly changed: numbers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from processing.algorithms.masks import grow
from processing.algorithms.simulation_render import background
from processing.algorithms.statistics import mad_std
from tests.benchmarks._calibration_truth import half_light
from tests.benchmarks._pair_fields import PairField

_ALONE = 12.0  # px: changes closer to each other are not asked for
_BRIGHT_STAR = 6.0  # px around bright stars where the difference is held against its noise
_BRIGHT_SNR = 300.0


@dataclass(frozen=True)
class Found:
    """What the steps made of a pair."""

    difference: Any  # DifferenceImage
    peaks: np.ndarray  # the table of the detections
    is_bad: np.ndarray  # (n,) bool
    score: np.ndarray  # (n,)
    threshold: float
    zero_point: Any  # of the new image: fluxes are compared as magnitudes would be


@dataclass(frozen=True)
class Matched:
    """Which detection each change is, and what else was found."""

    which: np.ndarray  # (changes,) row of the peaks, −1 where it was missed
    of_change: np.ndarray  # (peaks,) bool, near a change
    of_ray: np.ndarray  # (peaks,) bool, near an unflagged cosmic ray


def matched(pair: PairField, found: Found) -> Matched:
    """Closest within 1 FWHM (3 px at least) with the right sign; a detection next to a change is not false."""
    changes, peaks = pair.changes, found.peaks
    radius = max(3.0, pair.new.camera.fwhm)
    at, truth = np.c_[peaks["x"], peaks["y"]], np.c_[changes["x"], changes["y"]]
    which = np.full(len(changes), -1)
    of_change = np.zeros(len(peaks), bool)
    for negative in (False, True):
        rows, mine = (np.flatnonzero(sign == negative) for sign in (peaks["is_negative"], changes["flux"] < 0))
        if len(rows) and len(mine):
            distance, nearest = cKDTree(at[rows]).query(truth[mine])
            seen = distance < radius
            which[mine[seen]] = rows[nearest[seen]]
    if len(peaks):
        of_change = cKDTree(truth).query(at)[0] < 1.5 * radius
    rays = maximum_filter(pair.hidden, size=2 * round(radius) + 1)
    row, column = (np.clip(np.rint(peaks[name]).astype(int), 0, size - 1) for name, size in zip("yx", rays.shape))
    return Matched(which, of_change, rays[row, column] & ~of_change)


def compare(pair: PairField, found: Found) -> dict[str, float]:
    """The numbers."""
    match, changes = matched(pair, found), pair.changes
    seen = match.which >= 0
    expected, asked = expected_snr(pair, found.difference)
    strong = asked & (expected > 10)
    plain = asked & (changes["kind"] == "hostless")
    false = ~match.of_change
    kept = ~found.is_bad
    real = kept & (found.score >= found.threshold)
    lost = seen & asked
    limit = pair.limit()
    above = lost & (expected > 7) & kept[match.which]
    return {
        "theoretical limit, mag": limit,
        "50 % completeness, mag fainter than the limit": half_light(changes["mag"][plain] - limit, seen[plain]),
        "changes of S/N > 10": int(strong.sum()),
        "of these found, %": percent(seen[strong]),
        "detections": len(found.peaks),
        "false, without unflagged cosmic rays": int((false & ~match.of_ray).sum()),
        "unflagged cosmic rays": int(match.of_ray.sum()),
        "false after cuts": int((false & kept).sum()),
        "found ones lost to cuts, %": percent(~kept[match.which[lost]]),
        "found variables lost to cuts, %": percent(~kept[match.which[lost & (changes["kind"] == "variable")]]),
        "false after score": int((false & real).sum()),
        "kept of S/N > 7 lost to the score, %": percent(~real[match.which[above]]),
        **_fluxes(pair, found, match, lost, expected),
        **planes(pair, found.difference),
    }


def percent(which: np.ndarray) -> float:
    """How many of them, per cent."""
    return 100 * float(np.mean(which)) if len(which) else float("nan")


def expected_snr(pair: PairField, difference: Any) -> tuple[np.ndarray, np.ndarray]:
    """Total S/N that each change should have at its place, and whether it stands alone on pixels that are searched."""
    changes, error = pair.changes, difference.alpha_error
    row, column = (np.clip(np.rint(changes[name]).astype(int), 0, size - 1) for name, size in zip("yx", error.shape))
    good = error[row, column] > 0
    snr = np.divide(np.abs(changes["flux"]), error[row, column], out=np.zeros(len(changes)), where=good)
    # The systematic noise of a star is part of what a change of it must exceed.
    whole, photons = difference.score[row, column], difference.score_plain[row, column]
    snr *= np.divide(np.abs(whole), np.abs(photons), out=np.ones_like(whole), where=photons != 0)
    ny, nx = error.shape
    inside = (changes["x"] > 20) & (changes["x"] < nx - 21) & (changes["y"] > 20) & (changes["y"] < ny - 21)
    places = np.c_[changes["x"], changes["y"]]
    alone = cKDTree(places).query(places, k=2)[0][:, 1] > _ALONE
    return snr, inside & alone & (difference.weight[row, column] > 0)


def _fluxes(
    pair: PairField, found: Found, match: Matched, chosen: np.ndarray, expected: np.ndarray
) -> dict[str, float]:
    rows, changes = match.which[chosen], pair.changes[chosen]
    peaks, strong = found.peaks[rows], expected[chosen] > 20
    known = found.zero_point.at(peaks["x"], peaks["y"])
    unit = 10 ** (0.4 * (pair.new.camera.zero_point - known))
    flux, error = peaks["flux"] * unit, peaks["flux_err"] * unit
    pull = (flux - changes["flux"]) / error
    away = np.hypot(*(peaks[name] - changes[name] for name in "xy"))
    return {
        "flux bias of transients 1.64 mag above the limit, %": flux_bias(pair, changes, flux),
        "pull of fluxes: mean": float(np.mean(np.clip(pull, -5, 5))),
        "pull of fluxes: standard deviation": float(np.std(np.clip(pull, -5, 5))),
        "pull of fluxes: farther than 5": int((np.abs(pull) > 5).sum()),
        **{
            f"pull of fluxes of {kind}: mean": float(np.mean(np.clip(pull[changes["kind"] == kind], -5, 5)))
            for kind in np.unique(changes["kind"])
        },
        **{
            f"pull of fluxes of {kind}: robust σ": float(mad_std(pull[changes["kind"] == kind]))
            for kind in np.unique(changes["kind"])
        },
        "position error of S/N > 20, px": float(np.median(away[strong])),
    }


def flux_bias(pair: PairField, changes: np.ndarray, flux: np.ndarray) -> float:
    """Median error of the fluxes of bright transients, %; `flux` (n,) of these changes, electrons of the truth."""
    bright = (changes["mag"] < pair.limit() - 1.64) & ~np.isfinite(changes["star_mag"])
    return 100 * float(np.median(flux[bright] / changes["flux"][bright]) - 1)


def planes(pair: PairField, difference: Any) -> dict[str, float]:
    """The score where truth is empty, and the difference next to bright stars in units of its noise."""
    usable = difference.weight > 0
    empty, near, number = regions(pair, usable)
    score = difference.score[empty].astype(float)
    ratio = difference.data[near] * np.sqrt(difference.weight[near])
    plain = difference.score_plain[near]
    return {
        "empty sky: pixels": int(empty.sum()),
        "score on empty sky: mean": float(score.mean()),
        "score on empty sky: standard deviation": float(score.std()),
        f"stars of S/N > {_BRIGHT_SNR:.0f}": number,
        "difference within 6 px of them: σ over noise": float(ratio.std()),
        "the same, robust": float(mad_std(ratio)),
        "unsystematic score within 6 px of them: robust σ": float(mad_std(plain)),
    }


def regions(pair: PairField, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Usable pixels (ny, nx) bool where truth is empty, those next to bright constant stars, and how many these are."""
    changed = _at(pair.changes, usable.shape) | pair.hidden
    changed = grow(changed, 5 * pair.new.camera.fwhm)
    light = pair.new.expected - background(pair.new.frame)
    empty = usable & ~changed & ~grow(light > 0.25 * pair.new.noise, 2)
    truth = pair.new.truth
    bright = truth[(truth["kind"] == "star") & (truth["mag"] < pair.limit() - 2.5 * np.log10(_BRIGHT_SNR / 5))]
    near = grow(_at(bright, usable.shape), _BRIGHT_STAR) & usable & ~changed
    return empty, near, len(bright)


def _at(places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixels (ny, nx) bool that hold some of the places."""
    found = np.zeros(shape, bool)
    row, column = (np.rint(places[name]).astype(int) for name in "yx")
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    found[row[inside], column[inside]] = True
    return found


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """Numbers side by side, a column each."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = [f"{'':<58}" + "".join(f"{title:>14}" for title in columns)]
    for name in names:
        values = (column.get(name) for column in columns.values())
        lines.append(f"{name:<58}" + "".join(f"{'' if v is None else format(v, '.5g'):>14}" for v in values))
    return "\n".join(lines)
