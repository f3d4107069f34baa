"""Trees and network together: the mean of what both say, since they err on different candidates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from processing.algorithms.features import TOGETHER, features_of, flat_stamps
from processing.algorithms.scoring.base import Candidates
from processing.algorithms.scoring.inputs import noise_stamps_of
from processing.algorithms.scoring.models import NAMES, LearnedScorer, Lessons, Model, Tick
from processing.algorithms.scoring.network import SIZE, Network
from processing.algorithms.scoring.trees import Trees, predict
from processing.parameters import param

MEMBERS: tuple[type[LearnedScorer], ...] = (Trees, Network)
_NETWORK_PART = 0.4  # of the mean: between 0.3 and 0.5 nothing changes


class Committee(LearnedScorer):
    """The weighted mean of the log-odds of trees and a network; `log_odds` and `probability` as of the trees."""

    name = "committee"

    model: str = param(
        "committee", pattern=NAMES, help="Name of the model in this package: a file of arrays and its card."
    )

    def raw(self, model: Model, candidates: Candidates) -> np.ndarray:
        """The mean log-odds (n,), not calibrated. BadModel where a member was trained on other features or stamps."""
        of_trees, of_network = (of(model, member) for member in MEMBERS)
        Trees(model=self.model).refuse_other(of_trees)
        Network(model=self.model).refuse_other(of_network)
        found = [np.zeros(0)]
        for part in candidates.batches(TOGETHER):
            flat = flat_stamps(part)  # made once for both
            said = predict(of_trees, features_of(part, flat))
            stamps = noise_stamps_of(part, flat, SIZE)
            found.append(_mean(model, [said, Network.raw_of_stamps(of_network, stamps, part.table)]))
        return np.concatenate(found)

    @classmethod
    def learn(
        cls, lessons: Lessons, *, seed: int, tick: Tick, known: Mapping[str, Model] | None = None
    ) -> dict[str, np.ndarray]:
        found = {"scorer": np.array(cls.name), "parts": np.array([1 - _NETWORK_PART, _NETWORK_PART])}
        for member in MEMBERS:
            learned = (known or {}).get(member.name) or member.learn(lessons, seed=seed, tick=tick)
            found |= {f"{member.name}/{key}": value for key, value in learned.items()}
        return found

    @classmethod
    def raw_of(cls, model: Model, lessons: Lessons) -> np.ndarray:
        return _mean(model, [member.raw_of(of(model, member), lessons) for member in MEMBERS])


def of(model: Model, member: type[LearnedScorer]) -> Model:
    """The arrays of one member."""
    prefix = f"{member.name}/"
    return {key.removeprefix(prefix): value for key, value in model.items() if key.startswith(prefix)}


def _mean(model: Model, raw: list[np.ndarray]) -> np.ndarray:
    return np.tensordot(model["parts"], np.stack(raw), axes=1)
