"""The measurable laws of the house: which way imports run, how long files and functions are, what is typed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
APPS = ("products", "processing", "conductor", "seechange_site")
SOURCES = sorted(
    path for app in APPS for path in (ROOT / app).rglob("*.py") if not {"migrations", "vendor"} & set(path.parts)
)
MAX_LINES, MAX_FUNCTION, MAX_ARGUMENTS = 350, 60, 6
# Compiled loops take arrays one by one, and their types are found when they are compiled.
KERNELS = {path for path in SOURCES if path.stem.endswith("_kernels") or path.stem == "pixel_loops"}
# Framework calls fix these signatures, or the names of the columns of a product are the arguments.
WIDE = {"processing/steps/photocal.py:run", "processing/steps/subtraction.py:run", "processing/steps/measuring.py:run"}


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def functions(path: Path) -> list[ast.FunctionDef]:
    """Functions of the module and methods of its classes; what is nested in them counts as part of them."""
    bodies = [ast.parse(path.read_text()).body]
    bodies += [node.body for node in bodies[0] if isinstance(node, ast.ClassDef)]
    return [node for body in bodies for node in body if isinstance(node, ast.FunctionDef)]


def lines_of_code(function: ast.FunctionDef, text: list[str]) -> int:
    start = (
        function.body[1].lineno if ast.get_docstring(function) and len(function.body) > 1 else function.body[0].lineno
    )
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") for line in text[start - 1 : function.end_lineno]
    )


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_imports_run_in_one_direction(path):
    name = module(path)
    forbidden = {
        "products": ("processing", "conductor", "seechange_site"),
        "processing": ("conductor", "seechange_site"),
        "conductor": ("seechange_site",),
        "seechange_site": (),
    }[name.split(".")[0]]
    wrong = {found for found in imports(path) if found.split(".")[0] in forbidden}
    assert not wrong, f"{name} must not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", sorted((ROOT / "processing" / "algorithms").rglob("*.py")), ids=module)
def test_algorithms_know_only_numbers(path):
    allowed = {"processing.algorithms", "processing.parameters", "processing.plugins", "processing.errors"}
    ours = {found for found in imports(path) if found.split(".")[0] in APPS}
    assert all(any(found == name or found.startswith(f"{name}.") for name in allowed) for found in ours), sorted(ours)
    outside = {"django", "requests", "urllib", "socket", "time", "datetime", "subprocess", "shutil", "pathlib", "os"}
    assert not {found.split(".")[0] for found in imports(path)} & outside


@pytest.mark.parametrize("path", sorted((ROOT / "processing" / "steps").glob("*.py")), ids=module)
def test_steps_do_no_input_or_output(path):
    outside = {"requests", "urllib", "socket", "time", "datetime", "subprocess", "pathlib", "os"}
    found = imports(path)
    assert not {name.split(".")[0] for name in found} & outside
    assert not any(name.startswith("products.services") or name == "products.storage" for name in found)


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_files_functions_and_argument_lists_are_short(path):
    text = path.read_text().splitlines()
    assert len(text) <= MAX_LINES, f"{module(path)} has {len(text)} lines"
    for function in functions(path):
        size = lines_of_code(function, text)
        assert size <= MAX_FUNCTION, f"{module(path)}.{function.name} has {size} lines of code"
        arguments = [a for a in function.args.args + function.args.kwonlyargs if a.arg not in ("self", "cls")]
        if path not in KERNELS and f"{path.relative_to(ROOT)}:{function.name}" not in WIDE:
            positional = len(arguments) - len(function.args.kwonlyargs)
            assert positional <= MAX_ARGUMENTS, f"{module(path)}.{function.name}"


@pytest.mark.parametrize("path", [path for path in SOURCES if path not in KERNELS], ids=module)
def test_public_functions_say_what_they_return_and_do(path):
    for function in functions(path):
        if function.name.startswith("_") or any(
            isinstance(d, ast.Name) and d.id == "overload" for d in function.decorator_list
        ):
            continue
        assert function.returns is not None, f"{module(path)}.{function.name} has no return type"


def test_nothing_is_left_for_later():
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    for path in SOURCES:
        assert not any(mark in path.read_text() for mark in marks), path


def test_only_the_declared_folders_stand_at_the_top():
    allowed = {"seechange_site", "conductor", "products", "processing", "templates", "static", "tests", "data"}
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert found <= allowed
