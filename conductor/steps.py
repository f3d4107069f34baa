"""How far: the last step of what is handed out is the earliest that anybody named."""

from __future__ import annotations

from conductor.errors import BadValue
from processing.pipelines import SCIENCE

NAMES = tuple(step.name for step in SCIENCE)


def checked(name: str, field: str = "through_step") -> str:
    """The name of a step, or the empty one; BadValue lists those that there are."""
    if name and name not in NAMES:
        raise BadValue(field=field, reason=f"there is no step '{name}'; there are: {', '.join(NAMES)}")
    return name


def earliest(*names: str) -> str:
    """The step that comes first in the pipeline; empty ones do not count, and empty is the answer where all are."""
    given = [name for name in names if name in NAMES]
    return min(given, key=NAMES.index, default="")
