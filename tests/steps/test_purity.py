"""What holds for every step: no query, no change of what it is given, and the same bits twice."""

from __future__ import annotations

import pytest

from processing.pipelines import STEPS
from processing.step import Lookup
from tests.steps.night import fingerprint

RUNNABLE = [step for step in STEPS if not issubclass(step, Lookup)]


@pytest.mark.parametrize("step", RUNNABLE, ids=lambda step: step.name)
def test_a_step_leaves_its_inputs_alone_and_makes_the_same_twice(ccd, step):
    calls = ccd.everything()
    instance, inputs = calls.inputs[step]
    before = {name: fingerprint(value) for name, value in inputs.items()}
    again = instance.run(**inputs)
    after = {name: fingerprint(value) for name, value in inputs.items()}
    assert [name for name in before if before[name] != after[name]] == []
    assert fingerprint(again, identity=False) == fingerprint(calls.outputs[step], identity=False)


@pytest.mark.parametrize("step", RUNNABLE, ids=lambda step: step.name)
def test_a_step_makes_what_it_declares_and_says_so_in_numbers(ccd, step):
    calls = ccd.everything()
    made = calls.outputs[step]
    kinds = [type(product) for product in made] if isinstance(made, tuple) else [type(made)]
    if isinstance(made, list):  # any number of one class
        kinds = list({type(product) for product in made})
    made = made if isinstance(made, tuple | list) else (made,)
    assert tuple(kinds) == step.outputs()
    assert set(calls.inputs[step][1]) == set(step.inputs())
    for product in made:
        assert all(isinstance(value, int | float | None) for value in product.counts().values())
        assert product._state.adding, "nothing was saved"


@pytest.mark.parametrize("step", RUNNABLE, ids=lambda step: step.name)
def test_the_parameters_of_a_step_do_not_change_when_it_runs(ccd, step):
    instance = ccd.everything().inputs[step][0]
    before = instance.parameters.values()
    assert instance.warnings() is not None
    assert instance.parameters.values() == before
