"""Fake analysis: what the pipeline made of each fake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.fakes import match_fakes
from processing.parameters import Parameters, param
from processing.step import Step
from products.models import DeepScoreSet, FakeAnalysis, FakeSet, MeasurementSet

RECOVERY = np.dtype(
    [
        ("is_detected", "?"),
        ("is_kept", "?"),
        ("is_bad", "?"),
        ("x", "f8"),
        ("y", "f8"),
        ("flux", "f8"),
        ("flux_error", "f8"),
        ("snr", "f4"),
        ("score", "f4"),
    ]
)


@dataclass(frozen=True)
class FakeRun:
    """Measurements and scores of the image with the fakes in it; nothing of them is kept."""

    measurement_set: MeasurementSet
    score_set: DeepScoreSet


class FakeAnalyzingParameters(Parameters):
    match_radius: float = param(3.0, gt=0, unit="px", help="A measurement this close to a fake is the fake.")


class FakeAnalyzing(Step):
    """Match the measurements of the injected image with the fakes."""

    name = "fakeanalysis"
    version = (1, 0, 0)
    parameters: FakeAnalyzingParameters

    def run(self, fake_set: FakeSet, score_set: DeepScoreSet, found: FakeRun) -> FakeAnalysis:
        fakes, rows = fake_set.table, found.measurement_set.all_rows()
        table = np.zeros(len(fakes), RECOVERY)
        for name in ("x", "y", "flux", "flux_error", "snr", "score"):
            table[name] = np.nan
        scores = {row.measurement_id: row.score for row in found.score_set.all_rows()}
        x, y = np.array([row.x for row in rows]), np.array([row.y for row in rows])
        matched = match_fakes(fakes, x, y, radius=self.parameters.match_radius)
        for index in np.flatnonzero(matched >= 0):
            row = rows[matched[index]]
            numbers = (row.x, row.y, row.flux, row.flux_error, row.snr, scores[row.pk])
            table[index] = (True, not row.is_bad, row.is_bad, *numbers)
        return FakeAnalysis(
            fake_set=fake_set,
            score_set=score_set,
            table=table,
            n_detected=int(table["is_detected"].sum()),
            n_kept=int(table["is_kept"].sum()),
        )
