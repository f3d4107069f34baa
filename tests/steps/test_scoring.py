"""Real or bogus: what every scorer must hold, how the packaged models do on a night they never saw, and the features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.diagnostics import DIAGNOSTICS
from processing.algorithms.features import FEATURES, features
from processing.algorithms.scoring import models, network, trees
from processing.algorithms.scoring.base import Candidates, Scorer
from processing.algorithms.scoring.models import LearnedScorer
from processing.errors import BadInput, BadModel
from processing.training.fields import REAL

LEARNED = sorted(name for name, one in Scorer.members().items() if issubclass(one, LearnedScorer))
MEMBERS = sorted({*LEARNED, "random"})  # rbbot needs a file from outside: tests/steps/test_rbbot.py


@pytest.fixture(scope="module")
def candidates(searched) -> Candidates:
    """Everything found in one field."""
    return searched.found.candidates


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


@pytest.mark.parametrize("name", LEARNED)
def test_each_candidate_is_scored_by_itself(name, candidates):
    scorer = Scorer.member(name)()
    together = scorer(candidates).score[:10]
    alone = [scorer(some(candidates, slice(k, k + 1))).score[0] for k in range(10)]
    np.testing.assert_allclose(together, alone, rtol=1e-3)


@pytest.mark.parametrize("name", LEARNED)
def test_the_info_has_log_odds_and_the_probability_for_the_prior(name, candidates):
    found = Scorer.member(name)(prior=0.02)(candidates)
    odds = np.array([info["log_odds"] for info in found.info])
    np.testing.assert_allclose(found.score, models.sigmoid(odds), atol=5e-4)
    wanted = 0.02 * found.score / (0.02 * found.score + 0.98 * (1 - found.score.astype(float)))
    np.testing.assert_allclose([info["probability"] for info in found.info], wanted, atol=2e-3)
    assert {info["model"] for info in found.info} == {models.checksum_of(models.packaged(name, name))[:12]}


@pytest.mark.parametrize("name", LEARNED)
def test_on_an_unseen_night_few_are_mistaken(name, searched):
    score, sure = Scorer.member(name)()(searched.found.candidates).score, searched.kind != ""
    real = np.isin(searched.kind, REAL)
    clear = sure & (searched.found.candidates.table["snr"] > 7)
    assert (real & clear).sum() > 60 and (~real & sure).sum() > 40
    missed, false = score[real & clear] < 0.5, score[~real & sure] >= 0.5
    # 1 % missed, 3 % false where weak particles are many, and three standard deviations of so few
    assert missed.sum() <= 0.01 * len(missed) + 3 * np.sqrt(0.01 * len(missed))
    assert false.sum() <= 0.03 * len(false) + 3 * np.sqrt(0.03 * len(false))


@pytest.mark.parametrize("name", LEARNED)
def test_a_model_that_is_not_there_is_refused(name, candidates):
    with pytest.raises(BadModel, match="no such file"):
        Scorer.member(name)(model="nonesuch")(candidates)


def test_a_model_of_another_scorer_is_refused(candidates):
    with pytest.raises(BadModel, match="of 'network', not of 'trees'"):
        trees.Trees(model="network")(candidates)


def test_another_checksum_than_that_of_the_model_is_refused(candidates):
    known = models.checksum_of(models.packaged("trees", "trees"))
    assert len(trees.Trees(checksum=known[:8])(candidates).score) == len(candidates)
    wrong = f"{(int(known[:8], 16) + 1) % 16**8:08x}"
    with pytest.raises(BadModel, match="trained again"):
        trees.Trees(checksum=wrong)(candidates)


def test_a_model_of_other_features_is_refused(monkeypatch, candidates):
    monkeypatch.setattr(trees, "FEATURES", {**FEATURES, "one_more": "?"})
    with pytest.raises(BadModel, match="other features"):
        trees.Trees()(candidates)


def test_a_network_of_other_stamps_is_refused(monkeypatch, candidates):
    monkeypatch.setattr(network, "SIZE", network.SIZE + 2)
    with pytest.raises(BadModel, match="other stamps"):
        network.Network()(candidates)


def test_the_network_sees_what_lies_beside_the_mask_and_nothing_under_it(candidates):
    few = some(candidates, slice(0, 20))
    wild = few.difference.copy()
    wild[few.mask] = 1e6
    assert few.mask.any()
    same = network.Network()(replace(few, difference=wild)).score
    np.testing.assert_array_equal(same, network.Network()(few).score)
    moved = network.Network()(replace(few, difference=np.roll(few.difference, 4, axis=2))).score
    assert np.abs(moved - same).max() > 0.05


def test_exported_trees_say_what_the_classifier_says(searched):
    ensemble = pytest.importorskip("sklearn.ensemble")
    values, labels = features(searched.found.candidates), np.isin(searched.kind, REAL).astype(int)
    classifier = ensemble.HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=8, early_stopping=False)
    classifier.fit(values, labels)
    model = trees.export_trees(classifier)
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
