"""Parameters: declared once with default, unit, range and help; read by config, commands, docs and provenance."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined


class ConfigurationError(Exception):
    """A configuration that cannot be used; says which key and what would be right."""

    @property
    def details(self) -> dict[str, str]:
        return {"reason": str(self)}


def param(default: Any, *, help: str, unit: str = "", critical: bool = True, **limits: Any) -> Any:
    """Declare a parameter. `critical` ones enter the provenance; `limits` are pydantic's (`ge`, `le`, `gt`, `lt`)."""
    extra = {"unit": unit, "critical": critical}
    return Field(default, description=help, json_schema_extra=extra, **limits)


class Parameters(BaseModel):
    """A frozen set of declared parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, arbitrary_types_allowed=True)

    @classmethod
    def build(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Make the parameters from `values`; a ConfigurationError names the key and what was meant."""
        where = where or cls.__name__
        for key in values:
            if key not in cls.model_fields:
                raise cls._unknown(key, where)
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            *path, key = map(str, first["loc"])
            if first["type"] == "extra_forbidden" and (nested := cls._nested(path)):
                raise nested._unknown(key, ".".join([where, *path])) from None
            name = ".".join([where, *path, key])
            raise ConfigurationError(f"{name} = {first.get('input')!r}: {first['msg']}") from None

    @classmethod
    def _unknown(cls, key: str, where: str) -> ConfigurationError:
        """The error for a key that is no parameter, with the one that was probably meant."""
        close = difflib.get_close_matches(key, cls.model_fields, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(cls.model_fields) or 'none'}"
        return ConfigurationError(f"unknown parameter '{key}' of {where}; {hint}")

    @classmethod
    def _nested(cls, path: list[str]) -> type[Parameters] | None:
        """The class of the parameters at the end of a path of names; items of lists count as the list."""
        found: Any = cls
        for name in path:
            if name.isdigit():
                continue
            annotation = found.model_fields[name].annotation
            options = [annotation, *typing.get_args(annotation)]
            found = next((one for one in options if isinstance(one, type) and issubclass(one, Parameters)), None)
            if found is None:
                return None
        return found

    def values(self, *, critical_only: bool = False) -> dict[str, Any]:
        """Parameters as plain JSON values; of a chosen plug-in its name and its own parameters."""
        found = {}
        for key, field in type(self).model_fields.items():
            if not critical_only or _extra(field)["critical"]:
                found[key] = _plain(getattr(self, key), critical_only)
        return found

    def critical(self) -> dict[str, Any]:
        """The parameters that decide what comes out: they enter the provenance."""
        return self.values(critical_only=True)

    @classmethod
    def declarations(cls) -> list[dict[str, Any]]:
        """One row a parameter: name, type, default, unit, help, critical, limits."""
        return [
            {
                "name": key,
                "type": _type_name(field.annotation),
                "annotation": field.annotation,
                "default": None if field.default is PydanticUndefined else _plain(field.default, False),
                "help": field.description or "",
                "limits": " ".join(str(limit) for limit in field.metadata),
                **_extra(field),
            }
            for key, field in cls.model_fields.items()
        ]

    def show(self, prefix: str = "", defaults: Mapping[str, Any] | None = None) -> None:
        """Print every parameter with its value, unit, default and help; nested ones by their dotted names."""
        values = self.values()
        for row in self.declarations():
            name, value = row["name"], values[row["name"]]
            default = (defaults or {}).get(name, row["default"])
            unit = f" {row['unit']}" if row["unit"] else ""
            mark = "" if row["critical"] else ", not in the provenance"
            if isinstance(nested := getattr(self, name), Parameters):
                chosen = (
                    f" = {value['name']!r}{unit}  (default {_name_in(default)!r}{mark})" if "name" in value else ":"
                )
                print(f"{prefix}{name}{chosen}\n    {row['help']}")
                same = isinstance(default, Mapping) and _name_in(default) == value.get("name")
                nested.show(f"{prefix}{name}.", default if same else None)
            else:
                print(f"{prefix}{name} = {value!r}{unit}  (default {default!r}{mark})\n    {row['help']}")

    show_pars = show


def _name_in(default: Any) -> Any:
    return default.get("name") if isinstance(default, Mapping) else default


def _extra(field: Any) -> dict[str, Any]:
    return {"unit": "", "critical": True, **(field.json_schema_extra or {})}


def _type_name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "")


def _plain(value: Any, critical_only: bool) -> Any:
    if isinstance(value, Parameters):
        name = getattr(value, "name", "")
        return ({"name": name} if name else {}) | value.values(critical_only=critical_only)
    if isinstance(value, (list, tuple)):
        return [_plain(item, critical_only) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, critical_only) for key, item in value.items()}
    return value
