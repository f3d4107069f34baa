"""Ids of the provenances of the default pipelines, for fixed beginnings."""

from __future__ import annotations

from typing import Any

from processing import provenances
from processing.pipelines import CALIBRATION, COADD, FAKES, FORCED, SCIENCE
from processing.providers import CoaddInputs
from processing.step import Lookup, Step
from processing.steps.raw_stack import Corrections, RawStack
from products.models import Exposure, Reference

EXPOSURE, REFERENCE, COMPONENT, BIAS = ("A" * 20, "B" * 20, "C" * 20, "D" * 20)

Golden = dict[str, dict[str, dict[str, Any]]]  # pipeline → step → id, version, parameters


def golden_provenances() -> Golden:
    """What the declarations give now."""
    science = [step() for step in SCIENCE]
    roots: dict[type, list[str]] = {Exposure: [EXPOSURE], Reference: [REFERENCE]}
    made = dict(roots)
    for step in science:
        for output in step.outputs() if not isinstance(step, Lookup) else ():
            made[output] = [provenances.ids(science, roots)[step.name][0]]
    return {
        "SCIENCE": _entries(science, roots),
        "COADD": _entries([step() for step in COADD], {CoaddInputs: [COMPONENT]}),
        "FAKES": _entries([step() for step in FAKES], made),
        "CALIBRATION": _entries([step() for step in CALIBRATION], {RawStack: [EXPOSURE], Corrections: [BIAS]}),
        "FORCED": _entries([step() for step in FORCED], made),
    }


def _entries(steps: list[Step], roots: dict[type, list[str]]) -> dict[str, dict[str, Any]]:
    by_name = {step.name: step for step in steps}
    found = {}
    for name, (own, _) in provenances.ids(steps, roots).items():
        major, minor, _ = by_name[name].version
        found[name] = {"id": own, "version": f"{major}.{minor}", "parameters": by_name[name].parameters.critical()}
    return found


def differences(kept: Golden, now: Golden) -> list[str]:
    """One line for each step whose id changed, with the reason, in the order of the pipelines."""
    lines = []
    for pipeline in {**kept, **now}:
        before, after = kept.get(pipeline, {}), now.get(pipeline, {})
        for step in {**before, **after}:
            if step not in before or step not in after:
                lines.append(f"{pipeline}: {step} is {'new' if step not in before else 'gone'}")
            elif before[step]["id"] != after[step]["id"]:
                lines.append(f"{pipeline}: {step}: {_why(before[step], after[step])}")
    return lines


def _why(before: dict[str, Any], after: dict[str, Any]) -> str:
    reasons = []
    if before["version"] != after["version"]:
        reasons.append(f"version {before['version']} → {after['version']}")
    old, new = _flat(before["parameters"]), _flat(after["parameters"])
    for key in sorted({*old, *new}):
        if key not in new:
            reasons.append(f"parameter {key} is gone")
        elif key not in old:
            reasons.append(f"parameter {key} is new")
        elif old[key] != new[key]:
            reasons.append(f"{key} {old[key]!r} → {new[key]!r}")
    return ", ".join(reasons) or "something before it changed"


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        name: one
        for key, value in values.items()
        for name, one in _flat(value, f"{prefix}.{key}" if prefix else key).items()
    }
