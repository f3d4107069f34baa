"""Scores without meaning, to try out what comes after the scoring."""

from __future__ import annotations

import numpy as np

from processing.algorithms.scoring.base import Candidates, Scorer, Scores
from processing.parameters import param


class RandomScorer(Scorer):
    """Uniform random numbers; the same seed gives the same scores."""

    name = "random"

    seed: int = param(0, ge=0, help="Seed of the random numbers.")

    def __call__(self, candidates: Candidates) -> Scores:
        score = np.random.default_rng(self.seed).random(len(candidates), np.float32)
        return Scores(score, [{"seed": self.seed} for _ in range(len(candidates))])
