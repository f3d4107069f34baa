"""Files of models: what is damaged, foreign or pickled is refused; calibration keeps the order."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from processing.algorithms.scoring import models
from processing.algorithms.scoring.models import calibrated, checksum_of, digest, packaged, read, with_checksum
from processing.errors import BadModel

CURVE = {"calibration_raw": np.array([-2.0, 0.0, 3.0]), "calibration_log_odds": np.array([-4.0, 1.0, 2.5])}


class Bomb:
    """What unpickling would run."""

    exploded = False

    def __reduce__(self):
        return (explode, ())


def explode() -> str:
    Bomb.exploded = True
    return "pickle was loaded"


def file_of(arrays) -> io.BytesIO:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return io.BytesIO(file.getvalue())


def arrays() -> dict[str, np.ndarray]:
    return dict(packaged("trees", "trees"))


def test_what_was_written_is_read():
    found = read(file_of(arrays()), "trees", "trees")
    assert digest(found) == checksum_of(found) == digest(arrays())


@pytest.mark.parametrize("name", sorted(set(packaged("trees", "trees")) - {"checksum"}))
def test_one_changed_number_anywhere_is_found(name):
    changed = arrays()
    flat = changed[name].copy().reshape(-1)
    flat[0] = flat[0] + 1 if flat.dtype.kind in "if" and np.isfinite(flat[0]) else 7
    changed[name] = flat.reshape(changed[name].shape)
    with pytest.raises(BadModel, match="not those that were trained"):
        read(file_of(changed), "trees", "trees")


def test_a_missing_or_additional_array_is_found():
    less, more = arrays(), arrays() | {"extra": np.zeros(1)}
    less.pop("limit")
    for wrong in (less, more):
        with pytest.raises(BadModel, match="not those that were trained"):
            read(file_of(wrong), "trees", "trees")


@pytest.mark.parametrize("cut", [0, 10, 1000])
def test_a_file_that_was_cut_short_is_refused(cut):
    content = file_of(arrays()).getvalue()[:cut]
    with pytest.raises(BadModel, match="cannot be read"):
        read(io.BytesIO(content), "trees", "trees")


def test_damage_within_the_file_is_refused():
    content = bytearray(file_of(arrays()).getvalue())
    content[len(content) // 2] ^= 255
    with pytest.raises(BadModel):
        read(io.BytesIO(bytes(content)), "trees", "trees")


def test_pickled_objects_are_never_loaded():
    inside = file_of(arrays() | {"value": np.array([Bomb()], object)})
    with pytest.raises(BadModel, match="cannot be read as plain arrays"):
        read(inside, "trees", "trees")
    with pytest.raises(BadModel, match="cannot be read as plain arrays"):
        read(io.BytesIO(pickle.dumps(Bomb())), "trees", "trees")
    disguised = io.BytesIO()
    with zipfile.ZipFile(disguised, "w") as archive:
        archive.writestr("scorer.npy", pickle.dumps(Bomb()))
    with pytest.raises(BadModel):
        read(io.BytesIO(disguised.getvalue()), "trees", "trees")
    assert not Bomb.exploded


def test_a_model_of_another_scorer_is_refused():
    with pytest.raises(BadModel, match="of 'trees', not of 'network'"):
        read(file_of(arrays()), "trees", "network")


def test_calibration_follows_its_points_and_keeps_the_order_beyond_them():
    raw = np.array([-50.0, -3.0, -2.0, -1.0, 0.0, 3.0, 5.0, 99.0])
    np.testing.assert_allclose(calibrated(CURVE, raw), [-30.0, -5.0, -4.0, -1.5, 1.0, 2.5, 4.5, 30.0])


@pytest.mark.parametrize("name", models.names())
def test_every_packaged_model_has_a_card_of_its_own_arrays(name):
    card = models.card_of(name)
    assert card["checksum"] == digest(packaged(name, card["scorer"]))
    nights = [set(part["nights"]) for part in card["data"].values()]
    assert len(set.union(*nights)) == sum(map(len, nights)), "a night is in two parts"


def test_a_card_of_other_arrays_is_refused(monkeypatch, tmp_path):
    card = models.card_of("trees") | {"checksum": "0" * 64}
    (tmp_path / "trees.json").write_text(json.dumps(card))
    monkeypatch.setattr(models.resources, "files", lambda package: tmp_path)
    with pytest.raises(BadModel, match="of another model"):
        models.card_of("trees")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"scorer": 1}', "{}"])
def test_a_card_that_is_none_is_refused(monkeypatch, tmp_path, text):
    (tmp_path / "broken.json").write_text(text)
    monkeypatch.setattr(models.resources, "files", lambda package: tmp_path)
    with pytest.raises(BadModel):
        models.card_of("broken")


def test_the_checksum_does_not_depend_on_the_order_of_the_arrays():
    found = arrays()
    assert digest(dict(reversed(found.items()))) == digest(found)
    assert with_checksum(found)["checksum"] == found["checksum"]
