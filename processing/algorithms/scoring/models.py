"""Models of scorers that learned: plain arrays in one file and a card that says where they come from.

A model is NAME.npz with NAME.json beside it. Nothing in it is ever unpickled, and the checksum of its arrays is
verified before it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any
from zipfile import BadZipFile

import numpy as np

from processing.algorithms.scoring.base import Candidates, Scorer, Scores
from processing.algorithms.scoring.inputs import NoiseStamps
from processing.errors import BadModel
from processing.parameters import param

PACKAGE = "processing.algorithms.scoring"
NAMES = "^[a-z0-9_]+$"
_CHECKSUM = "checksum"
_STEEPEST = 30.0  # log-odds beyond which nothing is told apart

Model = Mapping[str, np.ndarray]
Tick = Callable[[str], None]


@dataclass(frozen=True)
class Lessons:
    """Labelled candidates as scorers learn from them and are tested on."""

    features: np.ndarray  # (n, len(FEATURES)) float32
    stamps: NoiseStamps
    table: np.ndarray  # (n,) dtype DIAGNOSTICS
    is_real: np.ndarray  # (n,) bool


class LearnedScorer(Scorer):
    """A scorer with a model that was trained, and whose scores were made probabilities on nights of their own."""

    model: str = param("", pattern=NAMES, help="Name of the model in this package: a file of arrays and its card.")
    checksum: str = param(
        "", pattern="^[0-9a-f]*$", help="First digits of the checksum that the model must have; empty: any."
    )
    prior: float = param(
        0.1, gt=0, lt=1, critical=True, help="Part of the candidates that is real, for the probability in the info."
    )

    def __call__(self, candidates: Candidates) -> Scores:
        model = packaged(self.model, self.name)
        found = checksum_of(model)
        if not found.startswith(self.checksum):
            reason = f"its checksum begins with {found[:12]}, {self.checksum} is asked for: it was trained again"
            raise BadModel(name=self.model, reason=reason)
        log_odds = calibrated(model, self.raw(model, candidates))
        shift = float(np.log(self.prior / (1 - self.prior)))
        info = [
            {"log_odds": round(value, 3), "probability": round(sigmoid(value + shift), 6), "model": found[:12]}
            for value in log_odds.astype(float).tolist()
        ]
        return Scores(sigmoid(log_odds).astype(np.float32), info)

    def raw(self, model: Model, candidates: Candidates) -> np.ndarray:
        """What the model says, (n,) log-odds that need not be calibrated."""
        raise NotImplementedError

    @classmethod
    def learn(
        cls, lessons: Lessons, *, seed: int, tick: Tick, known: Mapping[str, Model] | None = None
    ) -> dict[str, np.ndarray]:
        """The arrays of a model, not calibrated; `tick` is told what was done. NotInstalled without its tools.

        `known` are the arrays of other scorers that learned the same, by name.
        """
        raise NotImplementedError

    @classmethod
    def raw_of(cls, model: Model, lessons: Lessons) -> np.ndarray:
        """As `raw`, for candidates of the training."""
        raise NotImplementedError


def sigmoid(log_odds: Any) -> Any:
    """Probability of log-odds."""
    return 1 / (1 + np.exp(-log_odds))


def calibrated(model: Model, raw: np.ndarray) -> np.ndarray:
    """Log-odds (n,) at a prior of one half: the isotonic curve of the model, straight between its points.

    Beyond the last points it rises by 1 for each unit of the raw log-odds, so that the order stays.
    """
    x, y = model["calibration_raw"], model["calibration_log_odds"]
    inside = np.interp(raw, x, y)
    return np.clip(inside + np.minimum(raw - x[0], 0) + np.maximum(raw - x[-1], 0), -_STEEPEST, _STEEPEST)


def digest(arrays: Model) -> str:
    """SHA-256 of the arrays: names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(set(arrays) - {_CHECKSUM}):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def with_checksum(arrays: Model) -> dict[str, np.ndarray]:
    """The arrays as they are kept."""
    return {**arrays, _CHECKSUM: np.array(digest(arrays))}


def checksum_of(model: Model) -> str:
    """The checksum that a model carries."""
    return str(model[_CHECKSUM])


def read(file: Any, name: str, kind: str) -> Model:
    """Arrays from an open NAME.npz of the scorer `kind`. BadModel where they are damaged or of something else."""
    try:
        with np.load(file, allow_pickle=False) as held:
            model = {key: held[key] for key in held.files}
    except (ValueError, EOFError, OSError, KeyError, BadZipFile, AttributeError) as error:
        raise BadModel(name=name, reason=f"its file cannot be read as plain arrays: {error}") from error
    if _CHECKSUM not in model or checksum_of(model) != digest(model):
        raise BadModel(name=name, reason="its arrays are not those that were trained: the file is damaged or foreign")
    if str(model.get("scorer", "")) != kind:
        raise BadModel(name=name, reason=f"it is a model of '{model.get('scorer', 'something else')}', not of '{kind}'")
    return model


@cache
def packaged(name: str, kind: str) -> Model:
    """A model of this package, verified. BadModel where there is none, or it cannot be trusted."""
    source = resources.files(PACKAGE) / f"{name}.npz"
    if not source.is_file():
        raise BadModel(name=name, reason="there is no such file in the package")
    with source.open("rb") as file:
        return read(file, name, kind)


def card_of(name: str) -> dict[str, Any]:
    """The card of a model. BadModel where it has none, or one of other arrays."""
    folder = resources.files(PACKAGE)
    source = folder / f"{name}.json"
    if not source.is_file():
        raise BadModel(name=name, reason="it has no card")
    try:
        card = json.loads(source.read_text(encoding="utf-8"))
        model = packaged(name, card["scorer"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadModel(name=name, reason=f"its card cannot be read: {error}") from error
    if card.get(_CHECKSUM) != checksum_of(model):
        raise BadModel(name=name, reason="its card is of another model")
    return card


def names() -> list[str]:
    """The models of this package that have a card."""
    found = (entry.name for entry in resources.files(PACKAGE).iterdir())
    return sorted(name.removesuffix(".json") for name in found if name.endswith(".json"))
