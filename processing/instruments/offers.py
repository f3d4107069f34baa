"""What an instrument can offer: exposures that exist somewhere, found by looking through a folder or an archive."""

from __future__ import annotations

import datetime
import inspect
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, ValidationError, create_model

from processing.errors import BadInput
from products import storage


@dataclass(frozen=True)
class Offer:
    """An exposure that can be fetched."""

    identifier: str  # what its archive or camera calls it; the raw file's name
    params: dict[str, Any]  # what fetching it needs, as plain JSON
    kind: str  # science, bias, dark or flat
    mjd: float  # start, UTC
    exposure_time: float | None = None  # s
    filter: str = ""  # short name; empty when it varies
    filters: dict[str, str] = field(default_factory=dict)  # of each section, where they differ
    target: str = ""
    project: str = ""
    ra: float | None = None  # ICRS degrees
    dec: float | None = None


@dataclass(frozen=True)
class Unreadable:
    """Something that was found and cannot be offered."""

    identifier: str
    reason: str


Found = Offer | Unreadable


def settled_files(folder: str, pattern: str, settle: float) -> Iterator[Path | Unreadable]:
    """Files of a folder by name that nobody is writing now; BadInput where it cannot be looked through.

    A link that leads out of the folder is not followed: who may write in the folder may not have others read.
    """
    base = Path(folder)
    if not base.is_absolute():
        raise BadInput(what=f"folder '{folder}'", reason="give its whole path, beginning with /")
    if not base.is_dir():
        raise BadInput(what=f"folder {folder}", reason="there is no such folder")
    if not os.access(base, os.R_OK | os.X_OK):
        raise BadInput(what=f"folder {folder}", reason="this user may not read it")
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern.strip("."):
        raise BadInput(
            what=f"pattern '{pattern}'", reason="it names files inside the folder, e.g. *.fits* or **/*.fits"
        )
    inside = base.resolve()
    for path in sorted(base.glob(pattern)):
        if path.name.startswith("."):
            continue
        try:
            if not path.resolve(strict=True).is_relative_to(inside):
                yield Unreadable(path.name, f"{path} is a link that leads out of the folder")
            elif path.is_file() and time.time() - path.stat().st_mtime >= settle:
                yield path
        except OSError as error:  # it vanished, or is a link to nothing
            yield Unreadable(path.name, f"{path}: {error.strerror}")


def fetched_file(path: Path, params: Mapping[str, Any]) -> Path:
    """The file, if it has the size and the checksum that `params` name; BadInput where it is missing or another."""
    if not path.is_file():
        raise BadInput(what=str(path), reason="there is no such file")
    size, checksum = params.get("size"), params.get("sha256")
    if size is not None and path.stat().st_size != size:
        raise BadInput(what=str(path), reason=f"it has {path.stat().st_size} bytes, {size} were expected")
    if checksum and (found := storage.sha256(path)) != checksum:
        reason = f"its checksum is {found[:12]}…, {str(checksum)[:12]}… was expected; fetch it again"
        raise BadInput(what=str(path), reason=reason)
    return path


@dataclass(frozen=True)
class Argument:
    """What a search may be given."""

    name: str
    kind: Any  # its type
    default: Any  # `...` where it must be given
    help: str = ""


def declared_arguments(look: Callable[..., Any]) -> list[Argument]:
    """The keyword-only parameters of `look`; one of type `Annotated[int, "what it is"]` brings its help."""
    hints = get_type_hints(look, include_extras=True)
    found = []
    for name, parameter in inspect.signature(look).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            kind, said = hints[name], ""
            if get_origin(kind) is Annotated:
                kind, said = kind.__origin__, " ".join(part for part in kind.__metadata__ if isinstance(part, str))
            found.append(Argument(name, kind, ... if parameter.default is parameter.empty else parameter.default, said))
    return found


def argument_value(text: str) -> Any:
    """What somebody typed for an argument: a number, a truth value or a list where it reads as one, else the text.

    Dates stay text, and so does what is no YAML, e.g. `*.fits`.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return text if isinstance(found, datetime.date) else found


def checked_arguments(look: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` as the keyword-only parameters of `look` want them; BadInput names what is wrong with which."""
    wanted = {argument.name: (argument.kind, argument.default) for argument in declared_arguments(look)}
    model = create_model("Arguments", __config__=ConfigDict(extra="forbid", strict=True), **wanted)
    try:
        return model(**arguments).model_dump()
    except ValidationError as error:
        there = ", ".join(wanted)
        reasons = {"missing": "it must be given", "extra_forbidden": f"there is no such argument; there are: {there}"}
        said = {".".join(map(str, one["loc"])): reasons.get(one["type"], one["msg"]) for one in error.errors()}
        first, *others = said.items()
        reason = "; ".join([first[1], *(f"'{name}': {text}" for name, text in others)])
        raise BadInput(what=f"argument '{first[0]}'", reason=reason) from error
