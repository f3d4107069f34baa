"""A difference beyond its limits: the next method is tried, the choice is told, and what fails all the same is bad."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from processing.errors import NotEnoughStars
from processing.gates import Gate
from processing.pipelines import Subtraction
from processing.subtraction_gates import SubtractionGates, excess, gates_of
from products.models import Badness

GOOD = {
    "score_std": 1.01, "score_mean": -0.02, "residual_ratio": 0.01, "flux_ratio_over_zero_points": 1.001,
    "registration_x": 0.02, "registration_y": 0.03,
}  # fmt: skip


@pytest.fixture
def blurred(ccd):
    """Inputs of subtraction with a PSF of the new image that is far too wide."""
    psf = copy.copy(ccd.new["psf"])
    wide = np.stack([gaussian_filter(plane, 2.5) for plane in ccd.new["psf"].planes])
    psf.__dict__["_planes"] = {"planes": wide}
    return {**ccd.new, "psf": psf, "reference": ccd.reference, "made_of": ccd.made_of}


def test_what_one_method_does_badly_another_is_tried_with_and_chosen_where_it_is_better(blurred):
    step = Subtraction(gates={"max_residual_ratio": 0.02})
    _, difference = step.run(**blurred)
    assert difference.quality["method"] == "alard_lupton"
    assert difference.quality["zogy_residual_ratio"] > 0.02 > difference.quality["residual_ratio"]
    said = step.warnings()
    assert any(text.startswith("zogy: part of the stars' flux that is left") for text in said)
    assert said[-1] == "alard_lupton was used"
    assert not difference.badness_own


def test_the_same_method_is_not_tried_twice(blurred):
    step = Subtraction(fallbacks=["zogy", {"name": "zogy", "tile": 128}], gates={"max_residual_ratio": 0.02})
    step.run(**blurred)
    assert sum(text.startswith("zogy: ") for text in step.warnings()) == 2


def test_a_good_first_attempt_is_the_only_one(ccd):
    step = Subtraction()
    _, difference = step.run(**ccd.new, reference=ccd.reference, made_of=ccd.made_of)
    assert difference.quality["method"] == "zogy"
    assert step.warnings() == []
    assert "kernel_sum" not in difference.quality


def test_a_difference_that_fails_by_every_method_is_bad_with_the_reasons(blurred):
    step = Subtraction(fallbacks=[], gates={"max_residual_ratio": 0.02})
    _, difference = step.run(**blurred)
    assert difference.badness_own == Badness.BAD_SUBTRACTION
    assert "is more than 0.02" in difference.description
    assert any("is more than 0.02" in text for text in step.warnings())


def test_a_method_without_enough_stars_gives_way_to_the_next(ccd):
    nothing = copy.copy(ccd.new["sources"])
    nothing.__dict__["_planes"] = {"table": ccd.new["sources"].table[:0]}
    inputs = {**ccd.new, "sources": nothing, "reference": ccd.reference, "made_of": ccd.made_of}
    step = Subtraction(method="alard_lupton", fallbacks=["zogy"])
    _, difference = step.run(**inputs)
    assert difference.quality["method"] == "zogy"
    assert "alard_lupton: " in step.warnings()[0]
    with pytest.raises(NotEnoughStars):
        Subtraction(method="alard_lupton", fallbacks=[]).run(**inputs)


@pytest.mark.parametrize(
    ("figure", "value", "words"),
    [
        ("score_std", 1.2, "scatter of the score on empty sky"),
        ("score_std", 0.8, "scatter of the score on empty sky"),
        ("score_mean", -0.4, "mean of the score"),
        ("residual_ratio", 0.1, "stars' flux that is left"),
        ("flux_ratio_over_zero_points", 0.9, "flux ratio"),
        ("registration_y", 0.5, "shift"),
    ],
)
def test_each_figure_has_its_limit(figure, value, words):
    assert not any(gate.reason for gate in gates_of(GOOD, SubtractionGates()))
    assert excess(gates_of(GOOD, SubtractionGates())) < 1
    gates = gates_of(GOOD | {figure: value}, SubtractionGates())
    (reason,) = (gate.reason for gate in gates if gate.reason)
    assert words in reason
    assert excess(gates) > 1


def test_the_worst_figure_tells_how_bad_a_difference_is():
    gates = [Gate("a", 2.0, Badness.BAD_SUBTRACTION, most=4.0), Gate("b", 0.5, Badness.BAD_SUBTRACTION, least=0.75)]
    assert excess(gates) == pytest.approx(1.5)
    assert excess([]) == 0
    assert excess([Gate("unknown", None, Badness.BAD_SUBTRACTION, most=1.0)]) == 0
