"""The checks at start-up find what is set or declared wrongly, say what to do, and need no database."""

from __future__ import annotations

import pytest
from django.core.checks import registry

from processing import checks, wiring
from processing.parameters import Parameters, param
from processing.pipelines import SCIENCE, STEPS
from processing.step import Step
from processing.steps.detection import Detection
from products.models import Cutouts, Detections, DifferenceImage, Exposure, MeasurementSet, ScienceImage
from products.models.base import Product
from seechange_site import checks as site


class Nothing(Parameters):
    pass


class Undescribed(Parameters):
    depth: int = param(3, help="")


class Circling(Step):
    """Takes the set of measurements, but not the cutouts that identify what it makes."""

    name = "circling"
    version = (1, 0, 0)
    parameters: Nothing

    def run(self, stamps: Cutouts) -> MeasurementSet:
        raise NotImplementedError


class Namesake(Circling):
    """Called like another step."""

    name = "detection"


class Silent(Step):
    name = "silent"
    version = (1, 0, 0)
    parameters: Undescribed

    def run(self, exposure: Exposure) -> ScienceImage:
        raise NotImplementedError


def ids(messages) -> list[str]:
    return [message.id for message in messages]


def test_all_is_well_as_it_is(settings):
    settings.DEBUG = True
    for check in (checks.configuration, checks.declarations, site.folders, site.queue, site.time, site.public_site):
        assert check() == []


def test_the_checks_run_with_every_command():
    ours = {check.__name__ for check in registry.registry.get_checks() if check.__module__.endswith("checks")}
    assert {"configuration", "declarations", "folders", "queue", "time", "public_site"} <= ours


# Declarations ------------------------------------------------------------------------------------------


def test_a_product_whose_parent_the_step_does_not_take_is_found():
    found = list(wiring.identity_is_known(Circling))
    assert ids(found) == ["processing.E004"]
    assert "MeasurementSet.cutouts is neither an input nor an earlier output of circling" in found[0].msg
    assert "cutouts: Cutouts" in found[0].hint


def test_a_parent_under_another_name_or_of_another_class_does_not_count():
    class Wrong(Circling):
        def run(self, cutouts: Detections) -> MeasurementSet:
            raise NotImplementedError

    assert ids(wiring.identity_is_known(Wrong)) == ["processing.E004"]


def test_a_parent_that_the_same_step_makes_earlier_counts():
    class Both(Circling):
        def run(self, sources: Detections) -> tuple[Cutouts, MeasurementSet]:
            raise NotImplementedError

    assert list(wiring.identity_is_known(Both)) == []

    class WrongOrder(Circling):
        def run(self, sources: Detections) -> tuple[MeasurementSet, Cutouts]:
            raise NotImplementedError

    assert ids(wiring.identity_is_known(WrongOrder)) == ["processing.E004"]


def test_an_input_that_comes_too_late_is_found():
    shuffled = (*SCIENCE[1:], SCIENCE[0])
    found = list(wiring.inputs_are_there("SHUFFLED", shuffled, (Exposure,)))
    assert set(ids(found)) == {"processing.E003"}
    assert found[0].msg == "extraction of SHUFFLED takes image: ScienceImage or CoaddImage, which no earlier step makes"


def test_a_pipeline_that_lacks_a_step_is_found():
    without = [step for step in SCIENCE if step is not Detection]
    found = [message.msg for message in wiring.inputs_are_there("SHORT", without, (Exposure,))]
    assert found == [
        "cutting of SHORT takes sources: Detections, which no earlier step makes",
        "measuring of SHORT takes sources: Detections, which no earlier step makes",
    ]


def test_an_input_that_may_be_missing_is_not_asked_for():
    class Optional(Circling):
        def run(self, difference: DifferenceImage | None) -> Detections:
            raise NotImplementedError

    assert list(wiring.inputs_are_there("X", [Optional], ())) == []


def test_two_steps_of_one_name_are_found():
    found = list(wiring.unique_names([*STEPS, Namesake]))
    assert ids(found) == ["processing.E002"] and "both called 'detection'" in found[0].msg


def test_a_step_and_a_parameter_without_help_are_found():
    found = [message.msg for message in wiring.undocumented(Silent)]
    assert found == ["step silent has no docstring", "parameter silent.depth has no help"]


def test_every_product_of_every_step_can_be_found_again():
    for step in STEPS:
        for output in step.outputs():
            assert issubclass(output, Product)
            assert output.identity_fields()


# Configuration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "there is no configuration file"),
        ("extraction: {", "cannot be read as YAML"),
        ("extration: {}", "did you mean 'extraction'"),
        ("detection: {peaks: {treshold: 5}}", "did you mean 'threshold'"),
        ("subtraction: {method: zogi}", "did you mean 'zogy'"),
        ("cutting: {size: 20}", "must be odd"),
        ("detection: {peaks: {threshold: much}}", "threshold"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_found(settings, tmp_path, text, complaint):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    settings.SEECHANGE_CONFIG = str(path)
    found = checks.configuration()
    assert ids(found) == ["processing.E001"]
    assert complaint in found[0].msg and str(path) in found[0].hint


# Settings ----------------------------------------------------------------------------------------------


def test_a_folder_that_is_a_file_is_found(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.SEECHANGE_ARCHIVE = str(tmp_path / "file" / "archive")
    found = site.folders()
    assert ids(found) == ["seechange.E002"] and "is not a folder" in found[0].msg


def test_a_folder_that_cannot_be_written_is_found(settings, tmp_path, monkeypatch):
    archive = tmp_path / "archive"
    archive.mkdir()
    settings.SEECHANGE_ARCHIVE = str(archive)
    access = site.os.access
    monkeypatch.setattr(site.os, "access", lambda path, mode: path != archive and access(path, mode))
    found = site.folders()
    assert ids(found) == ["seechange.E002"] and "cannot be written" in found[0].msg


def test_a_folder_that_is_still_to_be_made_is_fine(settings, tmp_path):
    settings.SEECHANGE_ARCHIVE = str(tmp_path / "not" / "yet" / "there")
    assert site.folders() == []
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("pattern", ["{yy}{letters}", "LS4 {yyyy}-{number}", "{yyyy", "", "LS4-{yyyy}-{number:06d}"])
def test_a_format_that_makes_no_names_of_objects_is_found(settings, pattern):
    assert site.names() == []
    settings.SEECHANGE_OBJECT_NAMES = pattern
    assert ids(site.names()) == ([] if pattern.startswith("LS4-") else ["seechange.E006"])


@pytest.mark.parametrize("pattern", ["SC{letters}", "SC{yy}", "SC{yy}{unknown}", "SC{0}", "x" * 33 + "{yyyy}{letters}"])
def test_a_format_whose_names_are_no_names_or_the_same_is_found(settings, pattern):
    settings.SEECHANGE_OBJECT_NAMES = pattern
    assert ids(site.names()) == ["seechange.E006"]


@pytest.mark.parametrize("inside", ["files", "files/archive", "."])
def test_an_archive_around_or_inside_the_local_files_is_found(settings, tmp_path, inside):
    settings.SEECHANGE_ARCHIVE = str(tmp_path / inside)
    assert ids(site.folders()) == ["seechange.E002"]


@pytest.mark.parametrize("change", [{"timeout": 20_000}, {"timeout": None}, {"retry": 3600}])
def test_a_queue_that_would_run_a_task_twice_at_once_is_found(settings, change):
    settings.Q_CLUSTER = settings.Q_CLUSTER | change
    assert ids(site.queue()) == ["seechange.E004"]


def test_other_dates_than_utc_are_found(settings):
    settings.TIME_ZONE = "Europe/Paris"
    assert ids(site.time()) == ["seechange.E005"]
    settings.TIME_ZONE, settings.USE_TZ = "UTC", False
    assert ids(site.time()) == ["seechange.E005"]


@pytest.mark.parametrize(
    ("debug", "hosts", "found"),
    [
        (True, ["localhost"], []),
        (True, ["*"], []),
        (False, ["localhost", "127.0.0.1", "[::1]", "testserver"], ["seechange.W001"]),
        (False, [], ["seechange.W001"]),
        (False, ["*"], ["seechange.W002"]),
        (False, ["transients.example.org", "localhost"], []),
    ],
)
def test_a_public_site_needs_its_name(settings, debug, hosts, found):
    settings.DEBUG, settings.ALLOWED_HOSTS = debug, hosts
    assert ids(site.public_site()) == found
