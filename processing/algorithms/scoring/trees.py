"""Gradient-boosted decision trees on features of the stamps and diagnostics.

Trained by scikit-learn, stored as plain arrays, and evaluated by a loop of our own: no pickle, and nothing more to
install at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from processing.algorithms.features import FEATURES, features
from processing.algorithms.scoring.base import Candidates, Scorer, Scores
from processing.errors import BadInput
from processing.parameters import param

Model = Mapping[str, np.ndarray]
"""Arrays of a model: `feature`, `limit`, `left`, `right`, `value` of all nodes of all trees (a leaf points to itself),
`root` of each tree, `baseline` log-odds, `depth` of the deepest tree, `names` of the features and `version`."""


class Trees(Scorer):
    """Boosted trees; `log_odds` in the info is for a prior of one half."""

    name = "trees"

    model: str = param("trees", pattern="^[a-z0-9_]+$", help="Name of the model in this package, a file of arrays.")

    def __call__(self, candidates: Candidates) -> Scores:
        model = packaged(self.model)
        log_odds = predict(model, features(candidates))
        version = str(model["version"])
        info = [{"log_odds": round(float(value), 3), "model": version} for value in log_odds]
        return Scores((1 / (1 + np.exp(-log_odds))).astype(np.float32), info)


@cache
def packaged(name: str) -> Model:
    """A model of this package. BadInput where there is none or it was trained on other features."""
    source = resources.files(__package__) / f"{name}.npz"
    if not source.is_file():
        raise BadInput(what=f"the scorer's model {name}", reason="there is no such file in the package")
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        model = {key: arrays[key] for key in arrays.files}
    if tuple(model["names"]) != tuple(FEATURES):
        raise BadInput(what=f"the scorer's model {name}", reason="it was trained on other features; train it again")
    return model


def predict(model: Model, values: np.ndarray) -> np.ndarray:
    """Log-odds (n,) float64 of being real, for features (n, len(FEATURES)) float32."""
    from processing.algorithms.tree_kernels import leaves

    ends = leaves(values, *(model[name] for name in ("root", "feature", "limit", "left", "right")))
    return float(model["baseline"]) + model["value"][ends].sum(axis=1)


def export_trees(classifier: Any, version: str = "") -> dict[str, np.ndarray]:
    """Plain arrays of a fitted `HistGradientBoostingClassifier` of two classes without categorical features."""
    nodes = [stage[0].nodes for stage in classifier._predictors]
    root = np.cumsum([0, *(len(tree) for tree in nodes[:-1])]).astype(np.int32)
    every = np.concatenate(nodes)
    first = np.repeat(root, [len(tree) for tree in nodes])
    own = np.arange(len(every))
    leaf = every["is_leaf"].astype(bool)
    return {
        "feature": np.where(leaf, 0, every["feature_idx"]).astype(np.int16),
        "limit": np.where(leaf, np.inf, every["num_threshold"]),
        "left": np.where(leaf, own, first + every["left"]).astype(np.int32),
        "right": np.where(leaf, own, first + every["right"]).astype(np.int32),
        "value": np.where(leaf, every["value"], 0.0),
        "root": root,
        "baseline": np.asarray(classifier._baseline_prediction, float).ravel()[0],
        "depth": np.array(every["depth"].max(), np.int32),
        "names": np.array(list(FEATURES)),
        "version": np.array(version),
    }


def train(values: np.ndarray, is_real: np.ndarray, seed: int, version: str = "") -> dict[str, np.ndarray]:
    """Fit the trees to features (n, len(FEATURES)) and labels (n,) bool; both classes weigh the same.

    Needs scikit-learn, which is imported here only. The arrays are those of `export_trees`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    classifier = HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=250,
        max_leaf_nodes=12,
        min_samples_leaf=25,
        l2_regularization=1.0,
        max_features=0.5,
        class_weight="balanced",
        early_stopping=False,
        random_state=seed,
    )
    classifier.fit(values, np.asarray(is_real, int))
    return export_trees(classifier, version)
