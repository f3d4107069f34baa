"""Families of interchangeable parts: a subclass with a `name` is a member; a new file in the folder is enough."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any, ClassVar, Self

from pydantic import model_validator

from processing.parameters import ConfigurationError, Parameters


def load(package: str) -> None:
    """Import every module of `package`, so that the members declared there are known."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


class Plugin(Parameters):
    """A family is a direct subclass with `package`; a member is a subclass of a family with `name`.

    The fields of a member are its parameters. Where a family is the type of a parameter, a member is chosen
    by its name (`"zogy"`) or by a mapping with the name and its parameters (`{"name": "zogy", ...}`).
    """

    package: ClassVar[str] = ""
    name: ClassVar[str] = ""

    @classmethod
    def members(cls) -> dict[str, type[Self]]:
        """Every member of this family by name."""
        load(cls.package)
        found: dict[str, type[Self]] = {}
        pending = list(cls.__subclasses__())
        while pending:
            member = pending.pop(0)
            pending += member.__subclasses__()
            if "name" in vars(member):
                found[member.name] = member
        return dict(sorted(found.items()))

    @classmethod
    def member(cls, name: str) -> type[Self]:
        """The member called `name`; a ConfigurationError lists the others."""
        members = cls.members()
        if name not in members:
            close = difflib.get_close_matches(name, members, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise ConfigurationError(f"unknown {cls.__name__} '{name}'; {hint}there are: {', '.join(members)}")
        return members[name]

    @model_validator(mode="wrap")
    @classmethod
    def _choose(cls, value: Any, handler: Any) -> Any:
        if cls.name:
            return handler({k: v for k, v in value.items() if k != "name"} if isinstance(value, dict) else value)
        if isinstance(value, str):
            value = {"name": value}
        if isinstance(value, dict):
            if "name" not in value:
                raise ConfigurationError(f"{cls.__name__} needs a 'name'; there are: {', '.join(cls.members())}")
            where = f"{cls.__name__} '{value['name']}'"
            return cls.member(value["name"]).build({k: v for k, v in value.items() if k != "name"}, where)
        if not isinstance(value, cls):
            raise ConfigurationError(f"{value!r} is no {cls.__name__}; name one: {', '.join(cls.members())}")
        return handler(value)
