"""Scoring: how likely each measurement is of something astronomical."""

from __future__ import annotations

import numpy as np

from processing.algorithms.diagnostics import DIAGNOSTICS
from processing.algorithms.scoring.base import Candidates, Scorer
from processing.parameters import Parameters, param
from processing.step import Step
from products.models import Cutouts, DeepScore, DeepScoreSet, MeasurementSet


class ScoringParameters(Parameters):
    scorer: Scorer = param("committee", help="What gives the score.")
    threshold: float | None = param(
        None, ge=0, le=1, help="Score from which something is called real; the scorer's own if not given."
    )


class Scoring(Step):
    """Score the measurements between 0 (bogus) and 1 (real)."""

    name = "scoring"
    version = (1, 2, 0)
    parameters: ScoringParameters

    def run(self, measurement_set: MeasurementSet, cutouts: Cutouts) -> DeepScoreSet:
        rows, scorer = measurement_set.all_rows(), self.parameters.scorer
        scores = scorer(candidates_of(measurement_set, cutouts))
        threshold = scorer.threshold if self.parameters.threshold is None else self.parameters.threshold
        result = DeepScoreSet(
            measurement_set=measurement_set,
            algorithm=scorer.name,
            threshold=threshold,
            n_real=int((scores.score >= threshold).sum()),
        )
        for row, score, info in zip(rows, scores.score, scores.info):
            result.rows.append(DeepScore(score_set=result, measurement=row, score=float(score), info=info))
        return result


def candidates_of(measurement_set: MeasurementSet, cutouts: Cutouts) -> Candidates:
    """What a scorer may look at, in the order of the measurements."""
    rows = measurement_set.all_rows()
    index = [row.index_in_sources for row in rows]
    return Candidates(
        new=cutouts.new[index],
        reference=cutouts.reference[index],
        difference=cutouts.difference[index],
        mask=cutouts.flags[index] != 0,
        table=_table([row.diagnostics for row in rows]),
    )


def _table(rows: list[dict]) -> np.ndarray:
    """Stored diagnostics as the structured array that they came from.

    Null, or what was not measured then, is NaN, and 0 of what is counted.
    """
    table = np.zeros(len(rows), DIAGNOSTICS)
    for name in DIAGNOSTICS.names:
        unknown = np.nan if table.dtype[name].kind == "f" else 0
        table[name] = [unknown if row.get(name) is None else row[name] for row in rows]
    return table
