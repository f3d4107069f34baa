"""What is declared once is complete: it is read by the configuration, the commands, the provenance and the pages."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command, get_commands, load_command_class

from processing import config, wiring
from processing.algorithms.scoring.base import Scorer
from processing.algorithms.subtraction.base import SubtractionMethod
from processing.catalogs.base import StarCatalogSource
from processing.ephemerides.base import EphemerisSource
from processing.instruments.base import Instrument
from processing.pipelines import COADD, FAKES, SCIENCE, STEPS
from processing.plugins import Plugin
from processing.senders.base import Sender
from processing.simulators.base import Simulator
from processing.step import Step
from products.models.files import FileBacked
from products.pixel_flags import PixelFlag

ROOT = Path(__file__).parents[1]
FAMILIES = (Instrument, SubtractionMethod, Scorer, StarCatalogSource, EphemerisSource, Sender, Simulator)
MEMBERS = [(family, name) for family in FAMILIES for name in family.members()]
PARAMETERS = [pair for step in STEPS for pair in wiring.declarations(step.parameters_class(), step.name)]
OURS = sorted(name for name, app in get_commands().items() if app in ("products", "processing", "conductor"))
PLANES = [
    (model, name, plane)
    for model in apps.get_models()
    if issubclass(model, FileBacked)
    for name, plane in model.plane_declarations().items()
]
# Names of what is measured in something; a number of that name without a unit cannot be set by anybody.
MEASURED = re.compile(r"(arcsec|radius|separation|distance|timeout|seconds|width|size|box|faintest|mag(nitude)?s?)$")


def sentence(text: str) -> bool:
    """Whether a help text is one that helps: more than two words, ended with a stop."""
    return len(text.split()) > 2 and text.rstrip(")").endswith((".", "?", "…"))


# Steps and parameters ----------------------------------------------------------------------------------


def test_every_step_class_of_the_folder_is_in_a_pipeline():
    found, pending = set(), [Step]
    while pending:
        for step in pending.pop().__subclasses__():
            pending.append(step)
            if step.__module__.startswith("processing.steps."):
                found.add(step)
    assert found == set(STEPS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_has_a_name_a_version_a_summary_and_one_parameter_class(step):
    assert re.fullmatch(r"[a-z_]+", step.name)
    assert len(step.version) == 3 and all(isinstance(part, int) and part >= 0 for part in step.version)
    assert sentence(step.__doc__.strip().splitlines()[0])
    assert step().parameters == step.parameters_class()()


@pytest.mark.parametrize(("name", "row"), PARAMETERS, ids=[name for name, _ in PARAMETERS])
def test_every_parameter_says_what_it_does(name, row):
    assert sentence(row["help"]), f"{name}: {row['help']!r}"


@pytest.mark.parametrize(("name", "row"), PARAMETERS, ids=[name for name, _ in PARAMETERS])
def test_every_number_that_is_measured_in_something_has_a_unit(name, row):
    if MEASURED.search(name) and isinstance(row["default"], (int, float)) and not isinstance(row["default"], bool):
        assert row["unit"], f"{name} needs a unit"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_critical_parameters_are_plain_json(step):
    critical = step().parameters.critical()
    assert json.loads(json.dumps(critical, allow_nan=False)) == critical


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_default_parameters_survive_a_way_through_json(step):
    values = step().parameters.values()
    again = step(**json.loads(json.dumps(values)))
    assert again.parameters == step().parameters


def test_the_kept_default_configuration_is_what_the_declarations_generate():
    out = io.StringIO()
    call_command("config", "--defaults", stdout=out)
    kept = (ROOT / "processing" / "configs" / "default.yaml").read_text()
    again = "run `python manage.py config --defaults > processing/configs/default.yaml`"
    assert out.getvalue() == kept, f"a declaration changed: {again}"


@pytest.mark.parametrize("path", sorted((ROOT / "processing" / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_that_comes_with_seechange_can_be_used(path):
    found = config.load(path)
    config.refuse_unknown(found)
    for step in STEPS:
        step(**found.get(step.name, {}))


# Plug-ins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_in_the_folder_of_a_family_adds_a_member(family):
    folder = ROOT / Path(*family.package.split("."))
    modules = {cls.__module__.rpartition(".")[2] for cls in family.members().values()}
    assert modules, f"{family.__name__} has no members"
    for module in modules:
        assert (folder / f"{module}.py").exists() or family is Scorer
    for name, member in family.members().items():
        assert member.name == name and issubclass(member, Plugin)


@pytest.mark.parametrize(("family", "name"), MEMBERS, ids=[f"{family.__name__}-{name}" for family, name in MEMBERS])
def test_every_member_is_made_by_its_name_and_documented(family, name):
    member = family.member(name)
    made = member()
    assert sentence(member.__doc__.strip().splitlines()[0])
    json.dumps(made.critical(), allow_nan=False)
    for where, row in wiring.declarations(member, name):
        assert sentence(row["help"]), f"{where}: {row['help']!r}"


# Products ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "name", "plane"), PLANES, ids=[f"{m.__name__}.{n}" for m, n, _ in PLANES])
def test_every_plane_says_what_it_holds(model, name, plane):
    assert sentence(plane.help), f"{model.__name__}.{name}"
    assert re.fullmatch(r"[A-Z0-9]{1,8}", plane.extension)
    assert plane.compression in ("exact", "noise", "inverse", "smooth", "none")


def test_no_two_planes_of_a_product_share_an_extension():
    for model in {model for model, _, _ in PLANES}:
        extensions = [plane.extension for plane in model.plane_declarations().values()]
        assert len(set(extensions)) == len(extensions), model.__name__


def test_every_column_of_a_product_says_its_unit_or_meaning():
    silent = [
        f"{model.__name__}.{field.name}"
        for app in ("products", "conductor")
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.concrete_fields
        if not field.help_text and not field.is_relation and not field.primary_key
    ]
    assert not silent


def test_every_bit_of_a_mask_has_its_own_place():
    assert len({bit.value for bit in PixelFlag}) == len(PixelFlag)
    assert max(bit.value for bit in PixelFlag) < 1 << 16


# Wiring ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", wiring.PIPELINES)
def test_every_pipeline_is_wired(name):
    steps, roots = wiring.PIPELINES[name]
    assert [str(message) for message in wiring.inputs_are_there(name, steps, roots)] == []


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_what_a_step_makes_can_be_found_again(step):
    assert list(wiring.identity_is_known(step)) == []


def test_the_pipelines_share_steps_and_not_names():
    assert list(wiring.unique_names(STEPS)) == []
    assert set(COADD[1:]) < set(SCIENCE) and set(FAKES[1:-1]) < set(SCIENCE)


# Commands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_the_help_of_every_command_can_be_printed(name, capsys):
    command = load_command_class(get_commands()[name], name)
    with pytest.raises(SystemExit) as ended:
        command.create_parser("manage.py", name).parse_args(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert command.help.strip().splitlines()[0][:40] in said
    assert "%(" not in said


@pytest.mark.parametrize("name", OURS)
def test_every_option_of_every_command_has_help(name):
    command = load_command_class(get_commands()[name], name)
    assert sentence(command.help.strip().splitlines()[0]) or "\n" in command.help
    for action in command.create_parser("manage.py", name)._actions:
        assert action.help or "instrument" in action.dest or not action.option_strings, f"{name} {action.dest}"
