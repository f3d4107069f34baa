"""YAML configuration: only what differs from the declarations; files may build on other files."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings

from processing.parameters import ConfigurationError, Parameters, param
from products.selectors.tags import DEFAULT

SHIPPED = Path(__file__).parent / "configs"
INCLUDES = ("preloads", "augments", "overrides")
OTHER_BLOCKS = ("pipeline", "configchoice", "instrument")


class PipelineParameters(Parameters):
    """What holds for a whole run."""

    provenance_tag: str | None = param(
        DEFAULT, critical=False, help="Name that gathers the provenances of a run; empty: none."
    )
    fakes_every: int = param(
        50,
        ge=0,
        critical=False,
        help="Fakes are injected into one CCD of an exposure in so many, never the same ones; 0: into none.",
    )


def load(path: str | Path | None = None) -> dict[str, Any]:
    """The configuration in `path` (default: the setting SEECHANGE_CONFIG) with everything that it includes.

    `preloads` are read first, the file itself replaces them, `augments` add to it (lists grow), `overrides` replace it.
    A file `local_overrides.yaml` beside it is read last where there is one.
    """
    path = Path(path or settings.SEECHANGE_CONFIG)
    result = _read(path, ())
    local = path.parent / "local_overrides.yaml"
    return merge(result, _read(local, ())) if local.exists() and local != path else result


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path in above:
        raise ConfigurationError(f"{path} includes itself by way of {above[-1].name}")
    try:
        own = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        wanted = f" (included by {above[-1]})" if above else "; set SEECHANGE_CONFIG or --config to an existing file"
        raise ConfigurationError(f"there is no configuration file {path}{wanted}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(own, dict):
        raise ConfigurationError(f"{path} must hold a mapping of step names, not a {type(own).__name__}")
    includes = {key: own.pop(key, None) or [] for key in INCLUDES}
    for key, names in includes.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigurationError(f"{key} in {path} must be a list of files, e.g. [default.yaml], not {names!r}")
    chain = (*above, path)
    result: dict[str, Any] = {}
    for name in includes["preloads"]:
        result = merge(result, _read(_included(name, path), chain))
    result = merge(result, own)
    for name in includes["augments"]:
        result = merge(result, _read(_included(name, path), chain), extend=True)
    for name in includes["overrides"]:
        result = merge(result, _read(_included(name, path), chain))
    return result


def _included(name: str, above: Path) -> Path:
    """A file that `above` includes: beside it, or else one of those that come with SeeChange."""
    beside, shipped = above.parent / name, SHIPPED / name
    return shipped if shipped.exists() and not beside.exists() else beside


def merge(base: Mapping[str, Any], other: Mapping[str, Any], *, extend: bool = False) -> dict[str, Any]:
    """`other` over `base`: mappings merge, lists are replaced (or grow with `extend`), everything else is replaced."""
    result = copy.deepcopy(dict(base))
    for key, value in other.items():
        held = result.get(key)
        if isinstance(held, dict) and isinstance(value, Mapping):
            # another plug-in by name: the parameters of the one it replaces do not fit it
            replaced = "name" in value and held.get("name") != value["name"]
            result[key] = copy.deepcopy(dict(value)) if replaced else merge(held, value, extend=extend)
        elif extend and isinstance(held, list) and isinstance(value, list):
            result[key] = held + copy.deepcopy(value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def assignment(key: str, text: str) -> str:
    """A text as `assign` takes it, which stays the text that it is: not the number 2026, not `yes` for true."""
    return f"{key}={json.dumps(text)}"


def assign(configuration: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """`--set subtraction.method=zogy --set subtraction.method.tile=128`: dotted keys with YAML values, over it all."""
    result = copy.deepcopy(dict(configuration))
    for text in assignments:
        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals or len(parts) < 2 or not all(parts):
            raise ConfigurationError(f"--set {text!r} is not of the form step.parameter=value")
        try:
            nested: Any = yaml.safe_load(value)
        except yaml.YAMLError:
            nested = value
        for part in reversed(parts):
            nested = {part: nested}
        _spell_out(result, parts[:-1])
        result = merge(result, nested)
    return result


def _spell_out(configuration: dict[str, Any], parts: Sequence[str]) -> None:
    """What was chosen by its name alone becomes a mapping with the name, so that it can get parameters."""
    for part in parts:
        if isinstance(configuration.get(part), str):
            configuration[part] = {"name": configuration[part]}
        if not isinstance(configuration.get(part), dict):
            return
        configuration = configuration[part]


def refuse_unknown(configuration: Mapping[str, Any]) -> None:
    """ConfigurationError for a block that no step has."""
    from processing.pipelines import STEPS

    known = [step.name for step in STEPS] + list(OTHER_BLOCKS)
    for key, block in configuration.items():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known)}"
            raise ConfigurationError(f"unknown step '{key}' in the configuration; {hint}")
        if not isinstance(block, Mapping):
            raise ConfigurationError(f"'{key}' in the configuration must be a mapping of parameters, not {block!r}")
    tag_of(configuration)


def refuse_wrong(configuration: Mapping[str, Any]) -> None:
    """ConfigurationError for a block, a parameter or a value that no step takes."""
    from processing.choosing import ConfigChoice
    from processing.pipelines import STEPS

    refuse_unknown(configuration)
    ConfigChoice.build(configuration.get("configchoice", {}), "configchoice")
    for step in STEPS:
        step(**configuration.get(step.name, {}))


def tag_of(configuration: Mapping[str, Any]) -> str:
    """The tag of the provenances of a run with this configuration; empty where they get none."""
    return of_run(configuration).provenance_tag or ""


def of_run(configuration: Mapping[str, Any]) -> PipelineParameters:
    """What a configuration says of a whole run."""
    return PipelineParameters.build(configuration.get("pipeline", {}), "pipeline")


def defaults_text() -> str:
    """The default configuration as YAML, generated from the declarations, with units and help as comments."""
    from processing.choosing import ConfigChoice
    from processing.pipelines import STEPS

    lines = [
        "# Every step and parameter with its default, generated by `manage.py config --defaults`.",
        "# A configuration of your own needs only what differs: `preloads: [default.yaml]`, then your values.",
        "pipeline:",
        *_documented(PipelineParameters(), 1),
        "",
        f"# {ConfigChoice.__doc__}",
        "configchoice:",
        *_documented(ConfigChoice(), 1),
    ]
    for step in STEPS:
        summary = (step.__doc__ or "").strip().splitlines()[0]
        lines += ["", f"# {summary}", f"{step.name}:"]
        lines += _documented(step.parameters_class()(), 1) or ["  {}"]
    return "\n".join(lines) + "\n"


def _documented(parameters: Parameters, depth: int) -> list[str]:
    """Lines of YAML with help and unit of every parameter, and of what is nested in it."""
    indent, lines, plain = "  " * depth, [], parameters.values()
    if (name := getattr(parameters, "name", "")) and depth > 1:
        lines.append(f"{indent}name: {name}")
    for row in parameters.declarations():
        unit = f" [{row['unit']}]" if row["unit"] else ""
        aside = "" if row["critical"] else " (not in the provenance)"
        lines.append(f"{indent}# {row['help']}{unit}{aside}")
        value = getattr(parameters, row["name"])
        if isinstance(value, Parameters):
            nested = _documented(value, depth + 1)
            lines += [f"{indent}{row['name']}:", *nested] if nested else [f"{indent}{row['name']}: {{}}"]
        else:
            text = yaml.safe_dump(
                {row["name"]: plain[row["name"]]}, default_flow_style=False, sort_keys=False, width=100
            )
            lines += [f"{indent}{line}" for line in text.rstrip().splitlines()]
    return lines
