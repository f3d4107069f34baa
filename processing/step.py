"""What a step is: a pure function from products to products, with declared parameters, a name and a version."""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any, ClassVar

from processing.parameters import Parameters


class Step:
    """One process of a pipeline. `run` takes products (and what `processing.providers` provides) and returns products.

    The annotations of `run` are the wiring: they say what is taken from the DataStore, which steps come before,
    and what is kept. The annotation of `parameters` names the class of the parameters.
    """

    name: ClassVar[str]
    version: ClassVar[tuple[int, int, int]]
    parameters: Parameters

    def __init__(self, parameters: Parameters | None = None, **values: Any) -> None:
        self.parameters = parameters or self.parameters_class().build(values, self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'.'.join(map(str, self.version))}: {self.parameters}>"

    @classmethod
    @cache
    def parameters_class(cls) -> type[Parameters]:
        """The declared class of the parameters."""
        return typing.get_type_hints(cls)["parameters"]

    @classmethod
    @cache
    def inputs(cls) -> dict[str, tuple[type, ...]]:
        """Name of each input of `run` and the classes that it may be of; NoneType among them makes it optional."""
        hints = typing.get_type_hints(cls.run)
        hints.pop("return")
        return {name: _alternatives(hint) for name, hint in hints.items()}

    @classmethod
    @cache
    def outputs(cls) -> tuple[type, ...]:
        """The classes of the products, in the order in which they are kept; a list is of any number of one class."""
        hint = typing.get_type_hints(cls.run)["return"]
        return typing.get_args(hint) if typing.get_origin(hint) in (tuple, list) else (hint,)

    def run(self, **inputs: Any) -> Any:
        """Make the products; no query, no file, no network, no clock."""
        raise NotImplementedError

    def warnings(self) -> list[str]:
        """What the last run found noteworthy; shown in the report."""
        return []


class Lookup(Step):
    """A step that chooses among what exists; it lends the provenance of what it chooses to what follows."""

    def find(self, data: Any) -> Any:
        """The chosen product; a typed error where there is none."""
        raise NotImplementedError


def _alternatives(hint: Any) -> tuple[type, ...]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return typing.get_args(hint)
    return (hint,)
