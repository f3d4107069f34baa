"""Labelled candidates for training a scorer: simulated fields, properly subtracted, searched and measured.

Subtraction, detection, diagnostics and features are those that run on real images; the PSFs are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.diagnostics import measure_diagnostics
from processing.algorithms.features import features
from processing.algorithms.peaks import PeakParameters, ScorePlanes, find_peaks
from processing.algorithms.scoring.base import Candidates
from processing.algorithms.scoring.training_sky import REAL, Field, Moffat, draw_field, fwhm_reach
from processing.algorithms.stamps import cut_stamps
from processing.algorithms.subtraction.base import Epoch
from processing.algorithms.subtraction.zogy import Zogy

STAMP = 41  # px


@dataclass(frozen=True)
class TrainingSet:
    """Labelled candidates as numbers, one row each."""

    features: np.ndarray  # (n, len(FEATURES)) float32
    is_real: np.ndarray  # (n,) bool
    kind: np.ndarray  # (n,) str: of REAL, of BOGUS, "noise" or "residual"
    snr: np.ndarray  # (n,) float32
    table: np.ndarray  # (n,) DIAGNOSTICS


@dataclass(frozen=True)
class _Everywhere:
    """A PSF that is the same everywhere."""

    profile: Moffat

    def stamp(self, x: float, y: float) -> np.ndarray:
        """(m, m), centred, sum 1."""
        return self.profile.stamp()


def subtract(field: Field) -> ScorePlanes:
    """Every plane that detection and measuring need."""
    images = (
        (field.new, field.variance_new, field.psf_new, field.sky_new),
        (field.reference, field.variance_reference, field.psf_reference, field.sky_reference),
    )
    epochs = [
        Epoch(data.astype(np.float32), variance.astype(np.float32), field.mask, _Everywhere(psf), sky, 25.0, psf.fwhm)
        for data, variance, psf, sky in images
    ]
    found = Zogy(registration_floor=field.shift)(*epochs)
    return ScorePlanes(found.score, found.alpha, found.data, found.variance, field.mask, field.halo, found.tiles)


def label(field: Field, peaks: np.ndarray) -> np.ndarray:
    """Kind of each peak (n,) str; "" where two causes compete or the sign is wrong, so that it is unsure."""
    kinds = np.full(len(peaks), "noise", "U24")
    near = fwhm_reach(field.psf_new.fwhm)
    strength = np.maximum(np.abs(field.new), np.abs(field.reference))
    for row, peak in enumerate(peaks):
        distances = np.array([np.hypot(event.x - peak["x"], event.y - peak["y"]) for event in field.events])
        inside = [event for event, far in zip(field.events, distances) if far < event.reach]
        close = [event for event, far in zip(field.events, distances) if far < max(event.reach, 3 * near)]
        if len(inside) == 1 and (inside[0].kind not in REAL or len(close) == 1):
            right_sign = inside[0].kind not in REAL or inside[0].is_negative == peak["is_negative"]
            kinds[row] = inside[0].kind if right_sign else ""
        elif close:
            kinds[row] = ""
        elif strength[peak["y_peak"], peak["x_peak"]] > 5 * max(field.sky_new, field.sky_reference):
            kinds[row] = "residual"
    return kinds


def candidates_of(field: Field, parameters: PeakParameters | None = None) -> tuple[Candidates, np.ndarray, np.ndarray]:
    """Subtract a field and find what is in it: the candidates, their peaks (dtype PEAKS) and kinds."""
    planes, fwhm = subtract(field), field.psf_new.fwhm
    peaks = find_peaks(planes, fwhm, parameters or PeakParameters(threshold=4.5, edge=8))
    table = measure_diagnostics(planes, peaks, fwhm)

    def cut(plane: np.ndarray) -> np.ndarray:
        return cut_stamps(plane.astype(np.float32), peaks["x_peak"], peaks["y_peak"], size=STAMP)[0]

    mask = cut_stamps(field.mask, peaks["x_peak"], peaks["y_peak"], size=STAMP, fill=True)[0]
    stamps = Candidates(cut(field.new), cut(field.reference), cut(planes.data), mask, table)
    return stamps, peaks, label(field, peaks)


def training_set(seed: int, fields: int, *, cells: int = 8) -> TrainingSet:
    """Draw labelled candidates from `fields` fields; field k has the seed (seed, k), so that sets never share one."""
    found: dict[str, list[np.ndarray]] = {"features": [], "kind": [], "snr": [], "table": []}
    for number in np.random.SeedSequence(seed).generate_state(fields):
        candidates, peaks, kinds = candidates_of(draw_field(int(number), cells=cells))
        sure = kinds != ""
        found["features"].append(features(candidates)[sure])
        found["kind"].append(kinds[sure])
        found["snr"].append(peaks["snr"][sure])
        found["table"].append(candidates.table[sure])
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return TrainingSet(is_real=np.isin(joined["kind"], REAL), **joined)
