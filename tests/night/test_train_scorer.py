"""Training from simulated nights and from an archive, the command, and several scorers side by side."""

from __future__ import annotations

import json

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management.base import CommandError

from processing.algorithms.features import features
from processing.algorithms.scoring import models
from processing.errors import BadInput
from processing.management.commands import train_scorer
from processing.steps.scoring import candidates_of
from processing.training import archive, material
from processing.training.nights import night_of, simulate
from products.models import DeepScoreSet, Exposure, Image, Label, MeasurementSet

pytestmark = pytest.mark.night
SIDE = 400


def tell(title: str, total: int):
    return lambda text: None


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """A file of six small simulated nights."""
    found = simulate(range(40, 46), side=SIDE, configuration={}, numprocs=1, tick=lambda text: None)
    path = tmp_path_factory.mktemp("material") / "nights.npz"
    material.save(material.joined(found.parts, "--nights 6"), path)
    return path


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where the models of the test go."""
    place = tmp_path / "models"
    place.mkdir()
    monkeypatch.setattr(train_scorer, "FOLDER", place)
    return place


def test_the_same_seed_gives_the_same_night(nights):
    held, again = material.load(nights), night_of(41, SIDE, {})
    first = held.of(held.night == "simulated 41")
    np.testing.assert_array_equal(first.features, again.features)
    assert first.kind.tolist() == again.kind.tolist() and 0 < first.is_real.sum() < len(first)


def test_a_night_that_the_pipeline_refuses_is_left_out_with_the_reason():
    found = simulate(
        [41], side=SIDE, configuration={"astrocal": {"solution": {"min_matches": 5000}}}, numprocs=1, tick=str
    )
    assert not found.parts and "needed" in found.failed[41]


def test_trees_are_trained_kept_and_shown(nights, folder, command):
    pytest.importorskip("sklearn")
    options = {"material": str(nights), "scorer": ["trees"], "name": "mine", "date": "2026-01-02"}
    said = command("train_scorer", **options)
    assert "scoring.scorer.model=mine_trees" in said and "Missed by S/N" in said
    card = json.loads((folder / "mine_trees.json").read_text())
    assert card["date"] == "2026-01-02" and card["command"].endswith("--scorer trees --nights 6")
    with (folder / "mine_trees.npz").open("rb") as file:
        assert models.checksum_of(models.read(file, "mine_trees", "trees")) == card["checksum"]
    with pytest.raises(CommandError, match="there is a model mine_trees"):
        command("train_scorer", **options)
    before = (folder / "mine_trees.npz").read_bytes()
    command("train_scorer", **options, replace=True)
    assert (folder / "mine_trees.npz").read_bytes() == before


def test_the_card_of_a_packaged_model_is_shown(command):
    said = command("train_scorer", card="trees")
    assert models.card_of("trees")["checksum"][:12] in said and "calibration error" in said
    with pytest.raises(CommandError, match="it has no card"):
        command("train_scorer", card="nonesuch")


@pytest.mark.parametrize(
    "options, said",
    [
        ({"scorer": ["random"], "nights": 5}, "no scorer that learns is called random"),
        ({"name": "../x", "nights": 5}, "small letters"),
        ({"name": "mine"}, "say what to learn from"),
        ({"name": "mine", "from_tag": "nonesuch"}, "no provenances"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_done(night, folder, command, options, said):
    with pytest.raises(CommandError, match=said):
        command("train_scorer", **options)
    assert not list(folder.iterdir())


def test_labels_and_fakes_of_a_tag_are_learned_from(night, command):
    late = Exposure.objects.get(name__contains="late-1")
    command("inject_fakes", late.name, section=["N2"], assignments=["detection.peaks.threshold=3.8"])
    measured = MeasurementSet.objects.get()
    rows = measured.all_rows()
    ada, bob = (User.objects.create_user(name) for name in ("ada", "bob"))
    said = [("real", "real"), ("bogus", None), ("real", "bogus"), ("unsure", "real"), (None, "bogus")]
    for row, words in zip(rows, said):
        for person, word in zip((ada, bob), words):
            if word:
                Label.objects.create(measurement=row, person=person, verdict=word)
    before = Image.objects.count(), MeasurementSet.objects.count()
    labelled, with_fakes = archive.material_of("current", None, tell)
    assert (Image.objects.count(), MeasurementSet.objects.count()) == before
    assert labelled.kind.tolist() == ["real", "bogus", "bogus"] and labelled.is_real.tolist() == [True, False, False]
    own = features(candidates_of(measured, measured.cutouts))
    np.testing.assert_allclose(labelled.features, own[[0, 1, 4]], rtol=1e-5, atol=1e-5)
    assert set(with_fakes.kind) == {"fake"} and with_fakes.is_real.all() and len(with_fakes) >= 3
    assert set(labelled.night) == set(with_fakes.night) and len(set(labelled.night)) == 1


def test_a_tag_without_labels_and_fakes_is_said_so(night, command):
    with pytest.raises(BadInput, match="nobody labelled"):
        archive.material_of("current", None, tell)


def test_scorers_stand_side_by_side_each_with_its_provenance(night, command):
    late = Exposure.objects.get(name__contains="late-1")
    command("score", late.name, section=["N2"])
    command("score", late.name, section=["N2"], assignments=["scoring.scorer=network"], provenance_tag="network")
    first, second = DeepScoreSet.objects.order_by("created_at")
    assert first.measurement_set == second.measurement_set and first.provenance != second.provenance
    assert second.algorithm == "network" and first.algorithm != "network"
    scores = [{row.measurement_id: row.score for row in found.all_rows()} for found in (first, second)]
    assert scores[0].keys() == scores[1].keys() and scores[0] != scores[1]
    command("score", late.name, section=["N2"], assignments=["scoring.scorer.prior=0.01"], provenance_tag="rare")
    assert DeepScoreSet.objects.count() == 3
