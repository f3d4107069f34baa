"""Train a scorer on some nights, calibrate it on others, test it on further ones, and write the model with its card."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from processing.algorithms.scoring.models import LearnedScorer, Model, calibrated, checksum_of, sigmoid, with_checksum
from processing.errors import BadInput
from processing.training.material import Material
from processing.training.rates import calibration, missed_by_snr, rates, reliability, roc, wrong_by_kind
from products.storage import whole_file

SHARES = {"training": 0.7, "calibration": 0.15, "test": 0.15}  # of the nights
_FEWEST = 5  # nights: fewer cannot be shared
_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")
_INPUTS = ("names", "channels", "scalars")  # arrays that say what a model looks at
THRESHOLD = LearnedScorer.model_fields["threshold"].default


@dataclass(frozen=True)
class Origin:
    """What the card says of the training that the numbers do not."""

    date: str
    seed: int


def shares(material: Material, seed: int) -> dict[str, Material]:
    """The material by what it is for; a night is never in two of them. BadInput where there are too few nights."""
    nights = np.unique(material.night)
    if len(nights) < _FEWEST:
        reason = f"{len(nights)} nights, at least {_FEWEST} are needed to train, calibrate and test on different ones"
        raise BadInput(what="the training material", reason=reason)
    order = np.random.default_rng(seed).permutation(nights)
    first = round(SHARES["training"] * len(order))
    second = first + max(round(SHARES["calibration"] * len(order)), 1)
    chosen = dict(zip(SHARES, np.split(order, [first, second])))
    found = {name: material.of(np.isin(material.night, group)) for name, group in chosen.items()}
    for name, part in found.items():
        if part.is_real.all() or not part.is_real.any():
            reason = f"the nights for {name} have candidates of one class only; more nights are needed"
            raise BadInput(what="the training material", reason=reason)
    return found


def trained(
    scorer: type[LearnedScorer],
    parts: Mapping[str, Material],
    seed: int,
    tick: Callable[[str], None],
    known: Mapping[str, Model] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of a model: learned, calibrated and with their checksum; `known` as `LearnedScorer.learn` has it."""
    arrays = scorer.learn(parts["training"].lessons, seed=seed, tick=tick, known=known)
    held_out = parts["calibration"]
    return with_checksum(arrays | calibration(scorer.raw_of(arrays, held_out.lessons), held_out.is_real))


def scores_of(scorer: type[LearnedScorer], model: Model, material: Material) -> np.ndarray:
    """Scores (n,) float64 as the scorer gives them."""
    return sigmoid(calibrated(model, scorer.raw_of(model, material.lessons).astype(float)))


def card(scorer: type[LearnedScorer], model: Model, parts: Mapping[str, Material], origin: Origin) -> dict[str, Any]:
    """What is known of a model, as plain JSON."""
    tested = parts["test"]
    score = scores_of(scorer, model, tested)
    curve, error = reliability(score, tested.is_real)
    return {
        "scorer": scorer.name,
        "checksum": checksum_of(model),
        "date": origin.date,
        "command": f"manage.py train_scorer --scorer {scorer.name} {tested.made_by}".strip(),
        "seed": origin.seed,
        "versions": {"python": platform.python_version()} | _versions(),
        "numbers": int(sum(array.size for array in model.values() if array.dtype.kind == "f")),
        "inputs": [str(name) for key, value in model.items() if key.split("/")[-1] in _INPUTS for name in value],
        "data": {name: _described(part) for name, part in parts.items()},
        "threshold": THRESHOLD,
        "rates": _rounded(rates(score, tested.is_real)),
        "roc": _rounded(roc(score, tested.is_real)),
        "calibration_error": round(error, 5),
        "reliability": _rounded(curve),
        "missed_by_snr": _rounded(missed_by_snr(score, tested.is_real, tested.table["snr"], THRESHOLD)),
        "kinds": _rounded(wrong_by_kind(score, tested.is_real, tested.kind, THRESHOLD)),
    }


def write(folder: Path, name: str, model: Model, found: Mapping[str, Any]) -> Path:
    """Keep the arrays as NAME.npz and the card as NAME.json; the path of the arrays."""
    path = folder / f"{name}.npz"
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **model)
    with whole_file(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _described(part: Material) -> dict[str, Any]:
    return {
        "nights": sorted(str(night) for night in np.unique(part.night)),
        "candidates": len(part),
        "real": int(part.is_real.sum()),
        "kinds": part.counts(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _rounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()} for row in rows]
