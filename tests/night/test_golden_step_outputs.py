"""Version discipline: when a step makes other products of the same sky, its minor version is raised."""

from __future__ import annotations

import copy
import json

import pytest

from processing.pipelines import STEPS
from processing.step import Lookup
from tests import golden
from tests.golden.step_outputs import OF_COADD, changed, golden_outputs, stages, verdict


@pytest.fixture
def kept():
    return json.loads(golden.STEP_OUTPUTS.read_text())


@pytest.mark.night
@pytest.mark.django_db
def test_no_step_changed_its_products_without_a_new_version(kept, tmp_path):
    now = json.loads(json.dumps(golden_outputs(tmp_path / "raw")))
    complaint = verdict(kept, now)
    assert not complaint, complaint


def test_every_step_that_makes_something_is_watched():
    assert {step for _, step in stages()} == {step for step in STEPS if not issubclass(step, Lookup)}
    assert len({name for name, _ in stages()}) == len(stages())


def test_every_stage_is_kept_with_the_numbers_of_its_products(kept):
    assert list(kept) == [name for name, _ in stages()]
    for name, step in stages():
        assert set(kept[name]["products"]) == {output.__name__ for output in step.outputs()}
        assert all(len(numbers) > 1 for numbers in kept[name]["products"].values())


def test_the_first_step_that_changed_is_told_to_raise_its_version(kept):
    now = copy.deepcopy(kept)
    now["subtraction"]["products"]["DifferenceImage"]["score.pixels"][1] *= 1.05
    now["detection"]["products"]["Detections"]["n_sources"] += 1
    found = verdict(kept, now)
    assert found.startswith("subtraction changed its products: raise its minor version")
    assert "python -m tests.golden" in found and "score.pixels" in found and "n_sources" not in found


def test_a_change_that_only_shows_in_the_coadd_is_the_steps_own(kept):
    now = copy.deepcopy(kept)
    now[f"extraction{OF_COADD}"]["products"]["SourceList"]["n_sources"] += 1
    assert verdict(kept, now).startswith("extraction changed its products")


def test_a_raised_version_asks_for_a_new_file(kept):
    now = copy.deepcopy(kept)
    now["photocal"]["version"] = "7.3"
    assert verdict(kept, now).startswith("photocal has version 7.3 and was kept with")


def test_a_new_or_vanished_step_asks_for_a_new_file(kept):
    now = copy.deepcopy(kept)
    del now["scoring"]
    assert "other steps" in verdict(kept, now)


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        (100, 100, False),
        (100, 101, True),  # counts are exact
        (27.31, 27.3100001, False),
        (27.31, 27.6, True),
        ([0, 10.0, 20.0], [0.0001, 10.01, 20.0], False),
        ([0, 10.0, 20.0], [0, 10.7, 20.0], True),
        ([512, 384], [512, 385], True),
        ([1.0], [1.0, 2.0], True),
        ([], [], False),
        (None, 1.0, True),
        (0, 0.0, False),
    ],
)
def test_counts_are_held_exactly_and_numbers_up_to_what_machines_differ_by(before, after, differs):
    found = changed({"P": {"n": before} if before is not None else {}}, {"P": {"n": after}})
    assert bool(found) == differs
