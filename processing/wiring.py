"""What the declarations say about each other: inputs, outputs, identities, names and help of every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db.models import ForeignKey

from processing.parameters import Parameters
from processing.pipelines import CALIBRATION, COADD, FAKES, FORCED, NIGHT, SCIENCE
from processing.plugins import Plugin
from processing.providers import CoaddInputs, provided
from processing.step import Lookup, Step
from processing.steps.fakeanalysis import FakeRun
from processing.steps.forced import Places
from processing.steps.linking import NightDetections
from processing.steps.raw_stack import Corrections, RawStack
from products.models import Exposure

# What each pipeline begins with. Fakes begin with everything that the science pipeline made.
SCIENCE_PRODUCTS = tuple(output for step in SCIENCE for output in step.outputs())
PIPELINES: dict[str, tuple[Sequence[type[Step]], Sequence[type]]] = {
    "SCIENCE": (SCIENCE, (Exposure,)),
    "COADD": (COADD, (CoaddInputs,)),
    "FAKES": (FAKES, (Exposure, *SCIENCE_PRODUCTS, FakeRun)),
    "NIGHT": (NIGHT, (NightDetections,)),
    "CALIBRATION": (CALIBRATION, (RawStack, Corrections)),
    "FORCED": (FORCED, (*SCIENCE_PRODUCTS, Places)),
}


def unique_names(steps: Iterable[type[Step]]) -> Iterator[CheckMessage]:
    """E002 for two steps of one name: their configuration and provenances could not be told apart."""
    known: dict[str, type[Step]] = {}
    for step in steps:
        if known.setdefault(step.name, step) is not step:
            text = f"{step.__name__} and {known[step.name].__name__} are both called '{step.name}'"
            yield Error(text, obj=step, id="processing.E002")


def inputs_are_there(name: str, steps: Iterable[type[Step]], roots: Iterable[type]) -> Iterator[CheckMessage]:
    """E003 for an input that no earlier step makes, nothing provides and the pipeline does not begin with."""
    known = {*roots, *provided()}
    for step in steps:
        for field, classes in step.inputs().items():
            if type(None) not in classes and not known & set(classes):
                wanted = " or ".join(cls.__name__ for cls in classes)
                text = f"{step.name} of {name} takes {field}: {wanted}, which no earlier step makes"
                hint = "Put the step that makes it before, or declare a provider in processing/providers.py."
                yield Error(text, hint=hint, obj=step, id="processing.E003")
        known.update(step.outputs())


def identity_is_known(step: type[Step]) -> Iterator[CheckMessage]:
    """E004 for a product that could not be found again: a parent in its identity is no input and no earlier output.

    Fields that are no foreign keys (section, digest of components) come with the DataStore.
    """
    if issubclass(step, Lookup):
        return
    made: list[type] = []
    for output in step.outputs():
        for name in output.identity_fields():
            field = output._meta.get_field(name)
            parents = [*made, *(cls for cls in step.inputs().get(name, ()) if cls is not type(None))]
            if isinstance(field, ForeignKey) and not any(issubclass(cls, field.related_model) for cls in parents):
                text = f"{output.__name__}.{name} is neither an input nor an earlier output of {step.name}"
                hint = f"Let run() take '{name}: {field.related_model.__name__}'."
                yield Error(text, hint=hint, obj=step, id="processing.E004")
        made.append(output)


def undocumented(step: type[Step]) -> Iterator[CheckMessage]:
    """E005 for a step, or a parameter of it, that does not say what it is for."""
    if not (step.__doc__ or "").strip():
        yield Error(f"step {step.name} has no docstring", obj=step, id="processing.E005")
    for name, row in declarations(step.parameters_class(), step.name):
        if not row["help"].strip():
            yield Error(f"parameter {name} has no help", obj=step, id="processing.E005")


def declarations(cls: type[Parameters], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted name and declaration of every parameter, those of nested parameters and defaults of plug-ins included."""
    for row in cls.declarations():
        name = f"{where}.{row['name']}"
        yield name, row
        for nested in _nested(cls.model_fields[row["name"]].annotation, getattr(cls(), row["name"])):
            yield from declarations(nested, name)


def _nested(annotation: Any, value: Any) -> Iterator[type[Parameters]]:
    values = value if isinstance(value, (list, tuple)) else (value,)
    found = {type(one) for one in values if isinstance(one, Parameters)}
    if isinstance(annotation, type) and issubclass(annotation, Plugin):
        found |= set(annotation.members().values())
    yield from sorted(found, key=lambda cls: cls.__name__)
