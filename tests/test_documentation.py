"""The documentation is true: pages render, links lead somewhere, commands, options, paths and names exist."""

from __future__ import annotations

import ast
import html
import importlib
import re
from argparse import ArgumentParser, _SubParsersAction
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import get_commands, load_command_class
from django.urls import reverse

from conductor import models as conductor_models
from processing import config
from processing.algorithms.simulation import SkyParameters
from processing.algorithms.simulation_ccd import CcdParameters
from processing.instruments.base import Instrument
from processing.pipeline import Pipeline
from processing.pipelines import STEPS
from processing.simulators.base import Simulator
from products import models
from products.models import Badness
from products.pixel_flags import PixelFlag
from products.source_flags import SourceFlag

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "templates" / "docs"
PAGES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.md"))
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(FOLDER.rglob("*.md"))]
TEXT = {path: path.read_text() for path in FILES}
EVERYTHING = "\n".join(TEXT.values())
NAMED_BY_THE_SURVEY = re.findall(
    r"\w+",
    """
    Exposure Image SourceList Background PSF WorldCoordinates ZeroPoint Reference Object Cutouts MeasurementSet
    Measurement DeepScoreSet DeepScore FakeSet FakeAnalysis Provenance CodeVersion CalibratorFile DataFile CatalogExcerpt
    KnownExposure DataStore Pipeline Instrument Preprocessor Detector Backgrounder AstroCalibrator PhotCalibrator
    Subtractor Cutter Measurer Scorer FakeInjector conductor Gaia ZOGY SFFT archive coadd UUIDMixin FileOnDiskMixin
    SpatiallyIndexed FourCorners HasBitFlagBadness ExposureProcessor pipeline_exposure_launcher show_pars
    """,
)
OTHER_PROGRAMS = ("gunicorn", "createdb", "createuser", "pip", "nox", "git")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def lines_of_code(text: str) -> list[str]:
    """Indented lines, lines of fences and inline code: what a reader may copy."""
    inline = re.findall(r"`([^`\n]+)`", text)
    return [line.strip() for line in text.splitlines() if line.startswith("    ")] + inline


@cache
def options_of(command: str) -> frozenset[str]:
    """The options of a management command and of its actions; empty for a command that there is not."""
    app = get_commands().get(command)
    if app is None:
        return frozenset()
    instance = load_command_class(app, command) if isinstance(app, str) else app
    return frozenset(_options(instance.create_parser("manage.py", command)))


def _options(parser: ArgumentParser) -> set[str]:
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for inner in action.choices.values():
                found |= _options(inner)
    return found


def commands_in(text: str) -> list[tuple[str, list[str], list[str]]]:
    """(command, options, assignments) of every `manage.py …`."""
    found = []
    for line in lines_of_code(text):
        for call in re.findall(r"manage\.py ([^&#]*)", line):
            words = call.split()
            if words and re.fullmatch(r"[a-z_]+", words[0]):
                options = [word.split("=")[0] for word in words[1:] if word.startswith("--")]
                found.append((words[0], options, re.findall(r'--set "?([\w.]+=[^\s"]+)', call)))
    return found


# Pages ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_every_page_renders_with_its_heading(page, client):
    text = (FOLDER / f"{page}.md").read_text()
    heading = re.match(r"# (.+)\n", text)
    assert heading, "a page begins with its heading"
    assert len(re.findall(r"^# ", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)) == 1
    answer = client.get(reverse("doc", kwargs={"page": page}))
    assert answer.status_code == 200
    assert html.escape(heading.group(1)) in answer.content.decode()


@pytest.mark.django_db
def test_the_documentation_begins_with_the_overview(client):
    assert client.get("/docs/").url == "/docs/overview/"


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page, client):
    body = client.get(f"/docs/{page}/").context["body"]
    for target in map(html.unescape, re.findall(r'href="([^"]+)"', body)):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        there = client.get(parts.path or f"/docs/{page}/")
        assert there.status_code in (200, 302), target
        if parts.fragment:
            assert f'id="{parts.fragment}"' in there.content.decode(), target


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_linked_file_is_there(path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"`[^`]*`", "", TEXT[path])):
        if not urlsplit(target).scheme and not target.startswith("/"):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_path_of_the_repository_is_there(path):
    tops = "products|processing|conductor|seechange_site|templates|static|tests"
    for target in re.findall(rf"`((?:{tops})/[\w./]+)`", TEXT[path]):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_pages_name_no_folder_of_one_machine(path):
    assert not re.search(r"(?<![\w.])/(work|tmp|home|root)/", TEXT[path])


# Commands, options, parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_command_and_its_options_exist(path):
    for command, options, _ in commands_in(TEXT[path]):
        known = options_of(command)
        assert known, f"there is no command {command}"
        wrong = [option for option in options if option not in known]
        assert not wrong, f"{command} has no {', '.join(wrong)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_option_belongs_to_some_command(path):
    ours = [name for name, app in get_commands().items() if app in ("products", "processing", "conductor")]
    known = frozenset().union(*(options_of(name) for name in ours))
    for line in re.findall(r"`([^`\n]+)`", TEXT[path]):
        if "manage.py" in line or line.split()[0] in OTHER_PROGRAMS:
            continue
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line):
            assert option in known, option


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_assignment_names_a_parameter(path):
    for line in TEXT[path].splitlines():
        check_assignments(re.findall(r'--set "?([\w.]+=[^\s"`)]+)', line))


def check_assignments(given: list[str]) -> None:
    """Those of one command line: what one chooses another may be a parameter of."""
    together = []
    for text in given:
        step, key = text.split("=")[0].split(".", 1)
        if "…" in text or "NAME" in text:
            continue
        if step == "instrument":
            assert any(key in member.model_fields for member in Instrument.members().values()), text
        elif step == "sky":
            assert key in SkyParameters.model_fields, text
        elif step == "simulator":
            first, _, second = key.partition(".")
            assert any(first in member.model_fields for member in Simulator.members().values()), text
            assert not second or second in CcdParameters.model_fields, text
        else:
            together.append(text)
    if together:
        Pipeline(STEPS, configuration=config.assign(config.load(), together))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_configuration_can_be_used(path, tmp_path):
    for name in ("more.yaml", "site.yaml"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "default.yaml").write_text((ROOT / "processing" / "configs" / "default.yaml").read_text())
    for block in code_blocks(TEXT[path], "yaml"):
        mine = tmp_path / "mine.yaml"
        mine.write_text(block)
        Pipeline(STEPS, configuration=config.load(mine))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_dotted_parameter_exists(path):
    names = {step.name: step.parameters_class() for step in STEPS}
    for text in re.findall(rf"`((?:{'|'.join(names)})\.[a-z_.]+)`", TEXT[path]):
        step, *keys = text.split(".")
        parameters = names[step]()
        for key in keys:
            assert key in type(parameters).model_fields, text
            parameters = getattr(parameters, key)


def test_every_environment_variable_is_documented_and_read():
    sources = "".join((ROOT / "seechange_site" / name).read_text() for name in ("settings.py", "env.py"))
    read = set(re.findall(r'\b(?:text|boolean|integer|folder|kept_secret)\("([A-Z_]+)"', sources))
    table = TEXT[FOLDER / "setup.md"].split("## Environment variables")[1].split("\n## ")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])
    }
    assert read <= named
    assert named - read == {"SEECHANGE_REAL_DATA", "OMP_NUM_THREADS"}


# Python --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_python_compiles_and_its_imports_exist(path):
    for block in code_blocks(TEXT[path], "python"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_steps_in_python_take_the_parameters_that_they_are_given(path):
    """`Pipeline(extraction={…})` and `Preprocessing(…)` with literal values are built."""
    makers = {step.__name__: step for step in STEPS} | {"Pipeline": Pipeline}
    for block in code_blocks(TEXT[path], "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
                if any(keyword.arg == "configuration" for keyword in node.keywords):
                    continue
                makers[node.func.id](**{keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords})


# Names ---------------------------------------------------------------------------------------------------


def test_every_model_is_described():
    page = TEXT[FOLDER / "data_model.md"]
    missing = [name for name in (*models.__all__, *conductor_models.__all__) if f"`{name}`" not in page]
    assert not missing


def test_every_step_has_a_place_in_the_overview_and_in_the_pipeline():
    for step in STEPS:
        assert f"/pipeline/steps/{step.name}/" in TEXT[FOLDER / "overview.md"], step.name
        assert step.name in TEXT[FOLDER / "pipeline.md"], step.name


@pytest.mark.parametrize("name", NAMED_BY_THE_SURVEY)
def test_what_the_survey_named_can_be_found(name):
    assert re.search(rf"\b{name}\b", EVERYTHING), name


def test_bits_are_described_with_their_values():
    page = TEXT[FOLDER / "data_model.md"]
    for flag in (*PixelFlag, *SourceFlag):
        assert f"| `{flag.name}` | {int(flag)} |" in page
    rows = page.split("## Badness")[1].split("## Pixel flags")[0]
    for bit in Badness:
        assert bit.label in rows, bit.label
