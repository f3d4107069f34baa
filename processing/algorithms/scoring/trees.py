"""Gradient-boosted decision trees on features of the stamps and diagnostics.

Trained by scikit-learn, stored as plain arrays, and evaluated by a loop of our own: no pickle, and nothing more to
install at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from processing.algorithms.features import FEATURES, features
from processing.algorithms.scoring.base import Candidates
from processing.algorithms.scoring.models import NAMES, LearnedScorer, Lessons, Model, Tick
from processing.errors import BadModel, NotInstalled
from processing.parameters import param


class Trees(LearnedScorer):
    """Boosted trees on features; `log_odds` in the info is for a prior of one half, `probability` for the `prior`."""

    name = "trees"

    model: str = param("trees", pattern=NAMES, help="Name of the model in this package: a file of arrays and its card.")

    def raw(self, model: Model, candidates: Candidates) -> np.ndarray:
        """Log-odds of the trees (n,), not calibrated. BadModel where they were trained on other features."""
        self.refuse_other(model)
        return predict(model, features(candidates))

    def refuse_other(self, model: Model) -> None:
        """BadModel for one that was trained on other features."""
        if tuple(model["names"]) != tuple(FEATURES):
            raise BadModel(name=self.model, reason="it was trained on other features")

    @classmethod
    def learn(
        cls, lessons: Lessons, *, seed: int, tick: Tick, known: Mapping[str, Model] | None = None
    ) -> dict[str, np.ndarray]:
        return train(lessons.features, lessons.is_real, seed)

    @classmethod
    def raw_of(cls, model: Model, lessons: Lessons) -> np.ndarray:
        return predict(model, lessons.features)


def predict(model: Model, values: np.ndarray) -> np.ndarray:
    """Log-odds (n,) float64 of being real, for features (n, len(FEATURES)) float32, before calibration."""
    from processing.algorithms.tree_kernels import leaves

    ends = leaves(values, *(model[name] for name in ("root", "feature", "limit", "left", "right")))
    return float(model["baseline"]) + model["value"][ends].sum(axis=1)


def export_trees(classifier: Any) -> dict[str, np.ndarray]:
    """Plain arrays of a fitted `HistGradientBoostingClassifier` of two classes without categorical features.

    `feature`, `limit`, `left`, `right`, `value` are of all nodes of all trees (a leaf points to itself), `root` of
    each tree; `baseline` is in log-odds, `depth` that of the deepest tree, `names` are those of the features.
    """
    nodes = [stage[0].nodes for stage in classifier._predictors]
    root = np.cumsum([0, *(len(tree) for tree in nodes[:-1])]).astype(np.int32)
    every = np.concatenate(nodes)
    first = np.repeat(root, [len(tree) for tree in nodes])
    own = np.arange(len(every))
    leaf = every["is_leaf"].astype(bool)
    return {
        "scorer": np.array(Trees.name),
        "feature": np.where(leaf, 0, every["feature_idx"]).astype(np.int16),
        "limit": np.where(leaf, np.inf, every["num_threshold"]),
        "left": np.where(leaf, own, first + every["left"]).astype(np.int32),
        "right": np.where(leaf, own, first + every["right"]).astype(np.int32),
        "value": np.where(leaf, every["value"], 0.0),
        "root": root,
        "baseline": np.asarray(classifier._baseline_prediction, float).ravel()[0],
        "depth": np.array(every["depth"].max(), np.int32),
        "names": np.array(list(FEATURES)),
    }


def train(values: np.ndarray, is_real: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Fit the trees to features (n, len(FEATURES)) and labels (n,) bool; both classes weigh the same.

    Needs scikit-learn, which is imported here only; NotInstalled without it. The arrays are those of `export_trees`.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise NotInstalled(
            package="scikit-learn", purpose="the training of trees", command="pip install scikit-learn"
        ) from error

    classifier = HistGradientBoostingClassifier(
        learning_rate=0.04,
        max_iter=800,
        max_leaf_nodes=31,
        min_samples_leaf=20,
        l2_regularization=1.0,
        max_features=0.5,
        class_weight="balanced",
        early_stopping=False,
        random_state=seed,
    )
    classifier.fit(values, np.asarray(is_real, int))
    return export_trees(classifier)
