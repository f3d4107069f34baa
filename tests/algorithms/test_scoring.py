"""Real or bogus: what every scorer must hold, how the packaged trees do on fields they never saw, and their features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.diagnostics import DIAGNOSTICS
from processing.algorithms.features import FEATURES, features
from processing.algorithms.scoring import trees
from processing.algorithms.scoring.base import Candidates, Scorer
from processing.algorithms.scoring.training_sky import BOGUS, REAL, draw_field
from processing.algorithms.scoring.training_stamps import TrainingSet, candidates_of, training_set
from processing.errors import BadInput

MEMBERS = sorted(Scorer.members())
HELD_OUT = 777_001  # a seed that no model was trained on: packaged ones use small numbers, and a million more to test


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    """Everything found in one field, and its kinds."""
    return candidates_of(draw_field(HELD_OUT, fwhm=3.0))[0]


@pytest.fixture(scope="module")
def unseen() -> TrainingSet:
    return training_set(HELD_OUT, fields=18)


def some(candidates: Candidates, rows) -> Candidates:
    names = ("new", "reference", "difference", "mask", "table")
    return Candidates(*(getattr(candidates, name)[rows] for name in names))


def nobody(size: int = 31) -> Candidates:
    empty = np.zeros((0, size, size), np.float32)
    return Candidates(empty, empty, empty, empty.astype(bool), np.zeros(0, DIAGNOSTICS))


@pytest.mark.parametrize("name", MEMBERS)
def test_scores_lie_between_0_and_1_one_for_each_candidate(name, candidates):
    found = Scorer.member(name)()(candidates)
    assert found.score.shape == (len(candidates),) and found.score.dtype == np.float32
    assert np.all((found.score >= 0) & (found.score <= 1))
    assert len(found.info) == len(candidates)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_same_candidates_get_the_same_scores_and_nothing_of_them_changes(name, candidates):
    before = {key: getattr(candidates, key).copy() for key in ("new", "reference", "difference", "mask", "table")}
    first, second = (Scorer.member(name)()(candidates) for _ in range(2))
    np.testing.assert_array_equal(first.score, second.score)
    for key, value in before.items():
        assert getattr(candidates, key).tobytes() == value.tobytes(), key


@pytest.mark.parametrize("name", MEMBERS)
def test_nobody_gets_no_score(name):
    found = Scorer.member(name)()(nobody())
    assert found.score.shape == (0,) and found.info == []


@pytest.mark.parametrize("name", MEMBERS)
def test_pixels_and_numbers_that_are_not_finite_do_not_reach_the_score(name, candidates):
    few = some(candidates, slice(0, 12))
    new, difference, table = few.new.copy(), few.difference.copy(), few.table.copy()
    new[0], difference[1, 5:9], difference[2] = np.nan, np.inf, np.nan
    mask = few.mask.copy()
    mask[:3] |= ~np.isfinite(new[:3]) | ~np.isfinite(difference[:3])
    mask[3] = True
    for column in ("psf_chi2", "elongation", "translient", "cosmic_ratio", "consistency"):
        table[column][4] = np.nan
    table["snr"][5], table["opposite_score"][5] = np.inf, np.inf
    score = Scorer.member(name)()(Candidates(new, few.reference, difference, mask, table)).score
    assert np.isfinite(score).all()


def test_trees_score_each_candidate_by_itself(candidates):
    scorer = trees.Trees()
    together = scorer(candidates).score[:10]
    alone = [scorer(some(candidates, slice(k, k + 1))).score[0] for k in range(10)]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_the_log_odds_of_the_info_are_those_of_the_score(candidates):
    found = trees.Trees()(candidates)
    odds = np.array([info["log_odds"] for info in found.info])
    np.testing.assert_allclose(found.score, 1 / (1 + np.exp(-odds)), atol=5e-4)
    assert len({info["model"] for info in found.info}) == 1


def test_on_unseen_fields_few_are_mistaken(unseen):
    real = 1 / (1 + np.exp(-trees.predict(trees.packaged("trees"), unseen.features))) >= trees.Trees().threshold
    lost, false = ~real & unseen.is_real, real & ~unseen.is_real
    assert unseen.is_real.sum() > 200 and (~unseen.is_real).sum() > 400
    assert lost.sum() / unseen.is_real.sum() <= 0.02  # down to 4.5 σ, where noise decides
    assert false.sum() / (~unseen.is_real).sum() <= 0.02
    clear = unseen.snr > 7
    assert lost[clear].sum() / unseen.is_real[clear].sum() <= 0.01


def test_every_kind_of_change_is_recovered_and_every_kind_of_artefact_refused(unseen):
    score = 1 / (1 + np.exp(-trees.predict(trees.packaged("trees"), unseen.features)))
    clear = unseen.snr > 7
    for kind in REAL:
        assert np.mean(score[clear & (unseen.kind == kind)] >= 0.5) >= 0.95, kind
    for kind in BOGUS:
        assert np.mean(score[clear & (unseen.kind == kind)] >= 0.5) <= 0.05, kind


def test_sets_of_different_seeds_share_no_field():
    first, second = training_set(1, 1, cells=4), training_set(2, 1, cells=4)
    assert not set(first.snr.tolist()) & set(second.snr.tolist())


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="no such file"):
        trees.Trees(model="nonesuch")(nobody())


def test_a_model_of_other_features_is_refused(monkeypatch):
    monkeypatch.setattr(trees, "FEATURES", {**FEATURES, "one_more": "?"})
    with pytest.raises(BadInput, match="other features"):
        trees.packaged.__wrapped__("trees")


def test_exported_trees_say_what_the_classifier_says(unseen):
    ensemble = pytest.importorskip("sklearn.ensemble")
    values, labels = unseen.features, unseen.is_real.astype(int)
    classifier = ensemble.HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=8, early_stopping=False)
    classifier.fit(values, labels)
    model = trees.export_trees(classifier, "test")
    np.testing.assert_allclose(
        1 / (1 + np.exp(-trees.predict(model, values))), classifier.predict_proba(values)[:, 1], rtol=1e-6
    )


def test_features_are_finite_named_and_limited(candidates):
    found = features(candidates)
    assert found.shape == (len(candidates), len(FEATURES)) and found.dtype == np.float32
    assert np.isfinite(found).all() and np.abs(found).max() <= 1e4
    assert all(FEATURES.values())


def test_features_do_not_depend_on_which_way_is_up(candidates):
    few = some(candidates, slice(0, 40))
    flipped = {
        name: np.ascontiguousarray(getattr(few, name)[:, ::-1, ::-1])
        for name in ("new", "reference", "difference", "mask")
    }
    np.testing.assert_allclose(features(replace(few, **flipped)), features(few), rtol=1e-4, atol=1e-4)


def test_features_of_the_difference_do_not_depend_on_its_sign(candidates):
    few = some(candidates, slice(0, 40))
    table = few.table.copy()
    table["is_negative"] = ~table["is_negative"]
    turned = features(replace(few, difference=-few.difference, table=table))
    names, same = list(FEATURES), features(few)
    for name in names:
        if name.startswith(("ring_", "pixels_", "outer_", "brightest_", "asymmetry", "row_", "column_", "log_")):
            np.testing.assert_allclose(turned[:, names.index(name)], same[:, names.index(name)], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(turned[:, names.index("is_negative")], 1 - same[:, names.index("is_negative")])


def test_features_do_not_depend_on_the_unit_of_the_pixels(candidates):
    few = some(candidates, slice(0, 40))
    scaled = {name: getattr(few, name) * np.float32(7.5) for name in ("new", "reference", "difference")}
    np.testing.assert_allclose(features(replace(few, **scaled)), features(few), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape, rows", [((3, 30, 30), 3), ((3, 31, 33), 3), ((3, 31, 31), 2)])
def test_stamps_that_do_not_fit_are_refused(shape, rows):
    stamps = np.zeros(shape, np.float32)
    with pytest.raises(BadInput, match="stamps"):
        Candidates(stamps, stamps, stamps, stamps.astype(bool), np.zeros(rows, DIAGNOSTICS))


def test_stamps_of_different_shapes_are_refused():
    stamps, small = np.zeros((3, 31, 31), np.float32), np.zeros((3, 21, 21), np.float32)
    with pytest.raises(BadInput, match="reference"):
        Candidates(stamps, small, stamps, stamps.astype(bool), np.zeros(3, DIAGNOSTICS))
