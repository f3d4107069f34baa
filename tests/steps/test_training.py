"""Training: labels against the truth, nights apart, curves that are probabilities, a network as PyTorch computes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.features import FEATURES
from processing.algorithms.scoring import models, network, trees
from processing.algorithms.simulation_render import sources
from processing.errors import BadInput
from processing.training import cards, material, rates
from processing.training.fields import NEW_MJD, REAL, REFERENCE_MJD, draw_field
from processing.training.labels import BOGUS, UNSURE
from processing.training.material import Material


@pytest.fixture(scope="module")
def made(searched) -> Material:
    return Material.made(searched.found.candidates, searched.kind, searched.field.name)


@pytest.fixture(scope="module")
def nights(made) -> Material:
    """The candidates dealt out to ten nights."""
    dealt = np.array([f"night {k % 10}" for k in range(len(made))], "U40")
    return replace(made, night=dealt, made_by="--nights 10")


def test_a_field_is_the_same_ever_after():
    first, second = draw_field(5, 256), draw_field(5, 256)
    assert first.kinds == second.kinds and first.new == second.new
    np.testing.assert_array_equal(first.sky.transients, second.sky.transients)
    assert draw_field(6, 256).new != first.new


def test_every_kind_of_change_is_in_a_field_with_the_sign_that_it_has(searched):
    field = searched.field
    scale = 10 ** (0.4 * (field.new.zero_point - field.references[0].zero_point))
    now, then = (
        sources(field.sky, frame, mjd)["flux"]
        for frame, mjd in ((field.new, NEW_MJD), (field.references[0], REFERENCE_MJD))
    )
    change, kind = now - then * scale, np.array([field.kinds[k] if k >= 0 else "" for k in field.changed])
    assert set(kind) >= set(REAL)
    for name in REAL:
        signs = np.sign(change[kind == name])
        wanted = {"faded": {-1}, "variable star": {-1, 1}}.get(name, {1})
        assert set(signs.astype(int)) == wanted, name
    still = np.abs(change[(kind == "") & (now > 0)]) / now[(kind == "") & (now > 0)]
    assert still.max() < 1e-6


def test_labels_name_what_truly_changed(searched):
    field, found, kind = searched
    assert set(kind) <= {*REAL, *BOGUS, UNSURE}
    now = sources(field.sky, field.new, NEW_MJD)
    rows = field.changed >= 0
    real = np.isin(kind, REAL)
    distance = np.hypot(found.x[:, None] - now["x"][rows], found.y[:, None] - now["y"][rows]).min(axis=1)
    assert real.sum() > 60 and distance[real].max() <= max(0.8 * found.fwhm, 1)
    assert distance[np.isin(kind, BOGUS)].min() > 3 * found.fwhm
    rays = np.rint([found.y[kind == "cosmic ray"], found.x[kind == "cosmic ray"]]).astype(int)
    reach = max(1, round(0.5 * found.fwhm))
    for y, x in rays.T:
        assert found.artefacts.rays[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].any()
    assert np.mean(kind == UNSURE) < 0.15


def test_material_is_kept_as_it_is(made, tmp_path):
    path = tmp_path / "material.npz"
    material.save(replace(made, made_by="--nights 1"), path)
    again = material.load(path)
    assert again.made_by == "--nights 1" and len(again) == len(made)
    for name in ("features", "stamps", "mask", "table", "kind", "is_real", "night"):
        assert getattr(again, name).tobytes() == getattr(made, name).tobytes(), name


def test_material_of_other_features_and_files_that_are_none_are_refused(made, tmp_path, monkeypatch):
    path = tmp_path / "material.npz"
    material.save(made, path)
    monkeypatch.setattr(material, "FEATURES", {**FEATURES, "one_more": "?"})
    with pytest.raises(BadInput, match="other features"):
        material.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="cannot be read"):
        material.load(path)
    np.savez(path, a=np.zeros(1))
    with pytest.raises(BadInput, match="no training material"):
        material.load(path)


def test_no_night_is_in_two_shares(nights):
    parts = cards.shares(nights, 1)
    held = [set(part.night) for part in parts.values()]
    assert len(set.union(*held)) == sum(map(len, held)) == 10
    assert [len(group) for group in held] == [7, 2, 1]
    assert sum(map(len, parts.values())) == len(nights)
    assert (
        set(cards.shares(nights, 2)["test"].night) != held[2] or set(cards.shares(nights, 3)["test"].night) != held[2]
    )


def test_too_few_nights_are_said_so(made):
    with pytest.raises(BadInput, match="1 nights, at least 5"):
        cards.shares(made, 1)


def test_a_scorer_is_trained_calibrated_and_described(nights, tmp_path):
    pytest.importorskip("sklearn")
    parts = cards.shares(nights, 1)
    model = cards.trained(trees.Trees, parts, 1, lambda text: None)
    card = cards.card(trees.Trees, model, parts, cards.Origin("2026-01-02", 1))
    path = cards.write(tmp_path, "mine", model, card)
    with path.open("rb") as file:
        again = models.read(file, "mine", "trees")
    np.testing.assert_array_equal(
        cards.scores_of(trees.Trees, again, parts["test"]), cards.scores_of(trees.Trees, model, parts["test"])
    )
    assert card["date"] == "2026-01-02" and card["command"] == "manage.py train_scorer --scorer trees --nights 10"
    assert card["checksum"] == models.digest(again)
    real = parts["test"].is_real
    assert card["data"]["test"]["real"] == real.sum()
    half = next(row for row in card["rates"] if row["threshold"] == 0.5)
    assert half["missed"] == pytest.approx(
        (cards.scores_of(trees.Trees, model, parts["test"])[real] < 0.5).mean(), abs=1e-6
    )
    assert half["missed"] < 0.2
    same = cards.trained(trees.Trees, parts, 1, lambda text: None)
    assert models.checksum_of(same) == models.checksum_of(model)


def test_scores_become_the_probabilities_that_they_claim():
    rng = np.random.default_rng(1)
    true = rng.normal(0, 3, 60_000)
    is_real = rng.random(len(true)) < models.sigmoid(true)
    raw = 0.4 * true**3 / 9 + 2  # of the right order, and nothing else
    first = slice(0, 30_000)
    curve = rates.calibration(raw[first], is_real[first])
    score = models.sigmoid(models.calibrated(curve, raw[30_000:]))
    _, error = rates.reliability(score, is_real[30_000:])
    _, before = rates.reliability(models.sigmoid(raw[30_000:]), is_real[30_000:])
    assert error < 0.015 < before
    order = np.argsort(raw[30_000:])
    assert np.all(np.diff(score[order]) >= 0)


def test_rates_count_what_is_on_the_wrong_side():
    score, is_real = np.array([0.2, 0.6, 0.8, 0.95, 0.05, 0.4, 0.55, 0.1]), np.repeat([True, False], 4)
    half = next(row for row in rates.rates(score, is_real) if row["threshold"] == 0.5)
    assert half["missed"] == 0.25 and half["false"] == 0.25
    assert half["purity"] == pytest.approx(0.75 / (0.75 + 9 * 0.25))
    snr = np.array([5.5, 5.5, 30, 60, 5, 5, 5, 5])
    assert rates.missed_by_snr(score, is_real, snr, 0.5)[0] == {"from": 5.0, "to": 6.0, "real": 2, "missed": 0.5}
    kind = np.repeat(["transient", "noise"], 4)
    assert [row["wrong"] for row in rates.wrong_by_kind(score, is_real, kind, 0.5)] == [0.25, 0.25]
    assert rates.roc(score, is_real)[0]["missed"] == 0.25  # without a false one: above 0.55


def test_the_network_computes_what_pytorch_does(made):
    torch = pytest.importorskip("torch")
    from processing.algorithms.scoring import network_training

    lessons, kept = made.lessons, {}
    original = network_training._exported

    def keep(net, middle, scale):
        kept.update(net=net, middle=middle, scale=scale)
        return original(net, middle, scale)

    network_training._exported = keep
    try:
        model = network.Network.learn(lessons, seed=1, tick=lambda text: None)
    finally:
        network_training._exported = original
    beside = network.scalars(lessons.table)
    inputs = network.planes(lessons.stamps.cropped(network.SIZE))
    with torch.no_grad():
        scaled = ((beside - kept["middle"]) / kept["scale"]).astype(np.float32)
        wanted = kept["net"](torch.from_numpy(inputs).permute(3, 0, 1, 2), torch.from_numpy(scaled)).numpy()
    np.testing.assert_allclose(network.predict(model, inputs, beside), wanted, atol=2e-4)
    assert np.corrcoef(wanted, made.is_real)[0, 1] > 0.3  # it learned something
