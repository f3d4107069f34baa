"""Pages read from the declarations: how the steps are wired, and the parameters of each."""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

if typing.TYPE_CHECKING:
    from processing.step import Step

ROW, LEFT, COLUMN, TOP = 34, 190, 44, 116  # of the drawings: pixels
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
PIPELINES = (
    ("SCIENCE", "Science", "From a raw CCD to alerts."),
    ("COADD", "Coaddition", "From calibrated CCDs to a reference."),
    ("CALIBRATION", "Calibration", "From raw frames to master frames."),
    ("FAKES", "Fakes", "What becomes of injected sources."),
    ("NIGHT", "Night", "From the detections of a night to tracklets."),
)


@dataclass(frozen=True)
class Line:
    """One product in the drawing: from the row that makes it to the rows that take it."""

    name: str
    x: float
    start: float
    end: float
    taken: list[float]
    given: bool  # comes from outside


@dataclass(frozen=True)
class Chart:
    """The wiring of one pipeline."""

    title: str
    about: str
    steps: list[tuple[str, str, float]]  # name, version, y
    lines: list[Line]
    width: float
    height: float


def chart(title: str, about: str, steps: tuple[type[Step], ...]) -> Chart:
    """Steps below each other; a column for each product, marked at the step that makes it and those that take it."""
    rows = {step: TOP + 18 + index * ROW for index, step in enumerate(steps)}
    made: dict[str, float] = {}
    taken: dict[str, list[float]] = {}
    for step, y in rows.items():
        for classes in step.inputs().values():
            names = [cls.__name__ for cls in classes if cls is not type(None)]
            name = next((name for name in names if name in made), names[0])
            taken.setdefault(name, []).append(y)
        for output in outputs_of(step):
            made.setdefault(output, y)
    lines = []
    order = sorted({*made, *taken}, key=lambda name: (made.get(name, 0), -max(taken.get(name, [0]))))
    for index, name in enumerate(order):
        start, ends = made.get(name, float(TOP)), sorted(taken.get(name, []))
        x = LEFT + 24 + index * COLUMN
        lines.append(Line(name, x, start, max([start, *ends]), ends, name not in made))
    boxes = [(step.name, f"{step.version[0]}.{step.version[1]}", y) for step, y in rows.items()]
    return Chart(title, about, boxes, lines, LEFT + 24 + len(lines) * COLUMN + 60, TOP + len(steps) * ROW + 4)


def outputs_of(step: type[Step]) -> list[str]:
    """Names of the products of a step."""
    return [cls.__name__ for cls in step.outputs() if inspect.isclass(cls) and cls is not type(None)]


@require_safe
def pipeline(request: HttpRequest) -> HttpResponse:
    """The flowchart of every pipeline."""
    from processing import pipelines

    charts = [chart(title, about, getattr(pipelines, name)) for name, title, about in PIPELINES]
    return render(request, "processing/pipeline.html", {"charts": charts})


@require_safe
def step(request: HttpRequest, name: str) -> HttpResponse:
    """One step: what it is for, what it takes and makes, its parameters."""
    from processing.algorithms.scoring import models
    from processing.pipelines import STEPS

    found = next((cls for cls in STEPS if cls.name == name), None)
    if found is None:
        raise Http404(f"There is no step '{name}'; there are: {', '.join(cls.name for cls in STEPS)}.")
    inputs = [
        {
            "name": key,
            "classes": [{"name": cls.__name__} for cls in classes if cls is not type(None)],
            "optional": type(None) in classes,
        }
        for key, classes in found.inputs().items()
    ]
    rows, families = parameter_rows(found.parameters_class())
    return render(
        request,
        "processing/step.html",
        {
            "name": name,
            "version": ".".join(map(str, found.version)),
            "about": inspect.getdoc(found) or "",
            "inputs": inputs,
            "outputs": [(cls.__name__, summary(cls)) for cls in found.outputs() if inspect.isclass(cls)],
            "parameters": rows,
            "families": families,
            "steps": [cls.name for cls in STEPS],
            "models": models.names() if name == "scoring" else [],
        },
    )


def summary(cls: type) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(cls) or "").split("\n")[0]


def limits_text(limits: str) -> str:
    """`≥ 0, ≤ 1` for the limits that a declaration shows as `Ge(ge=0) Le(le=1)`."""
    found = re.findall(r"\b(ge|gt|le|lt)=([^)\s]+)", limits)
    return ", ".join(f"{SIGNS[sign]} {value}" for sign, value in found) or limits


def parameter_rows(parameters: type[Any], prefix: str = "") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Parameters with nested ones as dotted names, and the families of plug-ins with the parameters of each member."""
    from processing.parameters import Parameters
    from processing.plugins import Plugin

    rows: list[dict[str, Any]] = []
    families: list[dict[str, Any]] = []
    for row in parameters.declarations():
        row["limits"] = limits_text(row["limits"])
        kind = row["annotation"]
        name = f"{prefix}{row['name']}"
        if inspect.isclass(kind) and issubclass(kind, Plugin):
            members = []
            for key, member in kind.members().items():
                inner, deeper = parameter_rows(member, f"{name}.")
                members.append({"name": key, "about": summary(member), "rows": inner})
                families += deeper
            families.append({"parameter": name, "name": kind.__name__, "about": summary(kind), "members": members})
            default = row["default"]["name"] if isinstance(row["default"], dict) else row["default"]
            rows.append(row | {"name": name, "type": "one of the choices below", "default": default})
        elif inspect.isclass(kind) and issubclass(kind, Parameters):
            inner, deeper = parameter_rows(kind, f"{name}.")
            rows.append(row | {"name": name, "type": "group", "default": None, "group": True})
            defaults = row["default"] if isinstance(row["default"], dict) else {}
            rows += [
                item | {"default": defaults.get(item["name"].removeprefix(f"{name}."), item["default"])}
                for item in inner
            ]
            families += deeper
        else:
            rows.append(row | {"name": name})
    return rows, families
