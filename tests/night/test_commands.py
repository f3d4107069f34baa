"""Every command of the engine does what its help says, on a small night."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from astropy.io import fits
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError

from processing.errors import BadInput
from processing.management.step_command import StepCommand
from processing.pipelines import SCIENCE
from processing.plugins import load
from processing.step import Lookup
from products.models import (
    Alert,
    CalibratorFile,
    CatalogExcerpt,
    Exposure,
    FakeAnalysis,
    Image,
    ProvenanceTag,
    Reference,
    RefSet,
    Report,
    WorldCoordinates,
    ZeroPoint,
)
from tests.night.same import counts, recorded, stored

pytestmark = pytest.mark.night

COMMANDS = {
    "preprocessing": "preprocess", "extraction": "extract", "astrocal": "astrocal", "photocal": "photocal",
    "subtraction": "subtract", "detection": "detect", "cutting": "cut", "measuring": "measure", "scoring": "score",
    "knownobjects": "match_known", "alerting": "alert",
}  # fmt: skip


def late(number: int = 1) -> Exposure:
    return Exposure.objects.get(name__contains=f"late-{number}")


def test_the_commands_before_processing_make_what_they_say(calibrated_night, night):
    said = calibrated_night.said
    assert said["make_bias"].count("bias") >= 2 and said["make_flat"].count(" r flat: calibrators/demo/") == 2
    assert {(row.kind, row.section, row.filter) for row in CalibratorFile.objects.all()} == {
        (kind, section, band) for kind, band in (("bias", ""), ("flat", "r")) for section in ("N1", "N2")
    }
    for line, row in zip(said["ingest"].splitlines(), Exposure.objects.filter(name__contains="late").order_by("mjd")):
        assert line == f"{row.name}: science, r, MJD {row.mjd:.5f}, CCDs N1, N2"
    assert said["process_exposure"].count(": done in ") == 4
    assert ZeroPoint.objects.filter(world_coordinates__sources__image__kind="science").count() == 4
    assert said["make_reference"].count("2 images, limit ") == 2
    assert Reference.objects.filter(filter="r").count() == 2 and RefSet.objects.get().name == "default"
    assert recorded() == stored()


def test_images_have_a_first_look_that_their_stars_confirm(calibrated_night, night):
    """The zero point of clear air is less than 0.4 mag of clouds away, and the limits are as far apart but for wings."""
    rows = ZeroPoint.objects.all()
    assert len(rows) == 6
    for row in rows:
        image = row.image
        assert image.telescope == "SeeChange demo telescope"
        assert image.fwhm == pytest.approx(1.12 * row.psf.fwhm_pixels * image.pixel_scale, rel=0.1)
        assert image.background_noise == pytest.approx(row.background.noise, rel=0.02)
        lost = image.zero_point_estimate - row.zp
        assert -0.05 < lost < 0.4
        assert image.limiting_magnitude_estimate - row.limiting_magnitude - lost == pytest.approx(0.15, abs=0.1)
        if image.kind == "science":
            assert image.exposure.telescope == image.telescope and image.alignment_target is None
            with fits.open(image.path()) as hdus:
                assert hdus[0].header["TELESCOP"] == image.telescope
        else:
            sharpest = min(image.components.all(), key=lambda part: part.psf.fwhm_pixels * part.image.pixel_scale)
            assert image.alignment_target == sharpest.image
            assert [report.state for report in image.reports.all()] == ["done"]


def test_every_command_of_the_engine_has_a_help_with_its_options(capsys):
    load("processing.management.commands")
    for name, app in get_commands().items():
        if app != "processing":
            continue
        with pytest.raises(SystemExit) as ended:
            load_command_class(app, name).run_from_argv(["manage.py", name, "--help"])
        assert ended.value.code == 0
        text = capsys.readouterr().out
        assert "usage:" in text and len(text.split("options:")[0].split()) > 12, name


def test_step_commands_bring_an_image_one_step_further_each(night, command):
    name, done = late().name, []
    assert list(COMMANDS) == [step.name for step in SCIENCE if not issubclass(step, Lookup)]
    for step, word in COMMANDS.items():
        said = command(word, name, section=["N1"])
        assert said.startswith("N1: done in ")
        report = Report.objects.filter(exposure=late()).latest("started_at")
        made = [entry["name"] for entry in report.steps if entry["made"]]
        assert [step_made for step_made in made if step_made != "sending"] == [step], f"{word} made {made}"
        done.append(step)
    before = counts()
    for word in COMMANDS.values():
        command(word, name, section=["N1"])
    assert counts() == before
    assert {alert.state for alert in Alert.objects.all()} == {"sent"}


def test_a_step_command_takes_the_parameters_of_its_step(night, command):
    name = late().name
    command("detect", name, section=["N1"], provenance_tag="high", parameter_peaks="{threshold: 30}")
    command("detect", name, section=["N1"], provenance_tag="low")
    high, low = (
        ProvenanceTag.objects.get(tag=tag, provenance__process="detection").provenance for tag in ("high", "low")
    )
    assert high.parameters["peaks"]["threshold"] == 30.0 != low.parameters["peaks"]["threshold"]
    assert Image.objects.filter(exposure=late(), kind="difference").count() == 1
    with pytest.raises(CommandError, match="unknown parameter 'treshold'"):
        command("detect", name, parameter_peaks="{treshold: 30}")
    with pytest.raises(CommandError, match=r"no exposure has the name or id nobody; .* ingest FILE"):
        command("detect", "nobody")


def test_alerts_that_wait_are_sent_once_by_their_command(night, command):
    command("process_exposure", late().name, numprocs=0, sections="N1", assignments=["alerting.send=false"])
    waiting = Alert.objects.count()
    assert waiting and Alert.objects.filter(state="pending").count() == waiting
    folder = night.folder / "alerts"
    assert not list(folder.rglob("*.avro"))
    assert command("send_alerts") == f"{waiting} sent, 0 still waiting\n"
    assert command("send_alerts") == "0 sent, 0 still waiting\n"
    assert len(list(folder.rglob("*.avro"))) == waiting


def test_fakes_are_injected_and_found_again(night, command):
    said = command("inject_fakes", late().name, section=["N2"])
    assert said.startswith("N2: done in ")
    analysis = FakeAnalysis.objects.get()
    assert analysis.counts() and Image.objects.filter(exposure=late(), kind="difference").count() == 1
    before = counts()
    command("inject_fakes", late().name, section=["N2"])
    assert counts() == before


def test_normal_processing_injects_fakes_where_it_is_their_turn(night, command):
    every = ["pipeline.fakes_every=1"]
    command("process_exposure", late().name, numprocs=0, sections="N2", assignments=every)
    analysis, report = FakeAnalysis.objects.get(), Report.objects.order_by("-started_at").first()
    names = [step["name"] for step in report.steps]
    assert report.state == "done" and names[-1] == "fakeanalysis" and "fakes: subtraction" in names
    assert report.steps[-1]["counts"]["fakes_detected"] == analysis.n_detected > 0
    before = counts()
    command("inject_fakes", late().name, section=["N2"])
    assert counts() == before
    command("process_exposure", late().name, numprocs=0, sections="N1", assignments=["pipeline.fakes_every=0"])
    assert FakeAnalysis.objects.count() == 1


@pytest.mark.parametrize("error", [BadInput(what="fakes", reason="no room"), RuntimeError("a bug")], ids=repr)
def test_fakes_that_fail_do_not_fail_their_ccd_unless_they_were_asked_for(night, command, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("processing.fakes.inject", fail)
    command("process_exposure", late().name, numprocs=0, sections="N2", assignments=["pipeline.fakes_every=1"])
    report = Report.objects.order_by("-started_at").first()
    assert report.state == "done" and not (report.error_type or report.error_step or report.traceback)
    assert report.steps[-1]["name"] == "fakes: light"
    assert report.steps[-1]["warnings"][-1] == f"fakes failed: {type(error).__name__}: {error}"
    assert not FakeAnalysis.objects.exists()
    with pytest.raises(CommandError):
        command("inject_fakes", late().name, section=["N2"])


def test_the_same_images_make_the_same_reference_and_others_need_another_name(night, command):
    before = counts()
    command("make_reference", instrument="demo", filter="r", mjd_max=61360.0)
    assert counts() == before
    said = command("make_reference", instrument="demo", filter="r", refset="sharp", max_number=1, sections="N2")
    assert said.startswith("N2: 1 images, limit ") and "N1: " not in said
    assert Reference.objects.filter(provenance__refsets__name="sharp").count() == 1
    with pytest.raises(CommandError, match=r"calibrated images fit, 9 needed.*--through-step photocal"):
        command("make_reference", instrument="demo", filter="r", min_number=9)


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ({"max_seeing": 0.1}, r"left out: \d+ less sharp than 0.1 arcsec"),
        ({"mjd_max": 50000.0}, r"left out: \d+ outside the dates"),
        ({"sections": "n1"}, r"left out: \d+ of CCD N1, \d+ of CCD N2"),
        ({"filter": "q"}, r"tag 'current' has images of demo in r"),
    ],
)
def test_where_no_image_fits_a_reference_it_says_what_was_left_out(night, command, choice, why):
    with pytest.raises(CommandError, match=why):
        command("make_reference", **{"instrument": "demo", "filter": "r", **choice})


def test_an_image_of_ones_own_becomes_a_reference(night, command):
    said = command("import_reference", night.raw("early-1")[0], instrument="demo", sections="N1", refset="mine")
    assert said.startswith("N1: limit ")
    assert (
        Reference.objects.get(provenance__refsets__name="mine").image.exposure.name == night.raw("early-1")[0].name[:-8]
    )
    command("process_exposure", late().name, numprocs=0, sections="N1", refset="mine", provenance_tag="mine")
    assert Image.objects.get(exposure=late(), kind="difference").reference.section == "N1"


def test_solutions_and_zero_points_name_the_stars_that_they_were_compared_with(night):
    stars = CatalogExcerpt.objects.get()
    rows = [*WorldCoordinates.objects.all(), *ZeroPoint.objects.all()]
    assert rows and all(list(row.catalog_excerpts.all()) == [stars] for row in rows)


def test_a_catalogue_is_imported_once(night, command, tmp_path):
    stars = CatalogExcerpt.objects.get()
    fits.BinTableHDU(stars.table[["ra", "dec", "mag_r", "err_r"]]).writeto(tmp_path / "stars.fits")
    for _ in range(2):
        said = command("import_catalog", tmp_path / "stars.fits", "--name", "mine", "--epoch", "2015.5")
        assert said.startswith(f"{stars.n_stars} stars of mine around 52.") and said.endswith("magnitudes r\n")
    mine = CatalogExcerpt.objects.get(origin="mine")
    assert (mine.epoch, mine.filters) == (2015.5, ["r"])
    np.testing.assert_array_equal(mine.table["ra"], stars.table["ra"])


def test_files_that_are_known_are_left_alone_and_bad_ones_are_named(night, command, tmp_path):
    before = counts()
    command("ingest", *night.raw("late"), instrument="demo")
    assert counts() == before
    (tmp_path / "bad.fits").write_text("no")
    with pytest.raises(CommandError, match="1 of 2 files were not taken in"):
        command("ingest", tmp_path / "bad.fits", night.raw("late")[0], instrument="demo")
    other = tmp_path / night.raw("late")[0].name
    other.write_bytes(night.raw("late")[1].read_bytes())
    with pytest.raises(CommandError):
        command("ingest", other, instrument="demo")
    assert counts() == before


def test_master_frames_need_frames_of_one_kind_and_filter(night, command):
    with pytest.raises(CommandError, match="it is a flat exposure, not a bias"):
        command("make_bias", *night.raw("flat"), instrument="demo", numprocs=0)
    with pytest.raises(CommandError, match="at least 3 are needed"):
        command("make_bias", *night.raw("bias")[:2], instrument="demo", numprocs=0)
    before = counts()
    command("make_bias", *night.raw("bias"), instrument="demo", numprocs=0)
    assert counts() == before


def test_config_shows_what_a_run_would_use_and_needs_no_database(command, tmp_path):
    (tmp_path / "mine.yaml").write_text("subtraction: {method: zogy}\ndetection: {peaks: {threshold: 6.5}}\n")
    shown = yaml.safe_load(command("config", config=str(tmp_path / "mine.yaml"), assignments=["scoring.threshold=0.7"]))
    assert shown["detection"]["peaks"]["threshold"] == 6.5 and shown["scoring"]["threshold"] == 0.7
    defaults = yaml.safe_load(command("config", defaults=True))
    assert defaults["detection"]["peaks"]["threshold"] != 6.5
    (tmp_path / "again.yaml").write_text(command("config", defaults=True))
    assert command("config", config=str(tmp_path / "again.yaml")) == command("config")


def test_the_summary_of_an_exposure_has_everything(night, command, tmp_path):
    command("process_exposure", late().name, late(2).name, numprocs=0, sections="N1", json=tmp_path / "two.json")
    first, second = json.loads((tmp_path / "two.json").read_text())
    assert (first["exposure"], second["exposure"], first["instrument"]) == (late().name, late(2).name, "demo")
    making = [step.name for step in SCIENCE if not issubclass(step, Lookup)]
    assert list(first["provenances"]) == making and first["provenances"] == second["provenances"]
    section = first["sections"]["N1"]
    assert (section["status"], section["attempt"], section["error"]) == ("done", 1, None)
    assert [step["name"] for step in section["steps"]] == [*(step.name for step in SCIENCE), "sending"]
    assert section["seconds"] == pytest.approx(sum(step["seconds"] for step in section["steps"]), abs=0.01)
    assert {"sources", "zp", "detections", "alerts"} <= section["counts"].keys()
    with pytest.raises(CommandError, match="the summary cannot be written"):
        command("process_exposure", late().name, numprocs=0, sections="N1", json=tmp_path / "nowhere" / "x.json")


def test_every_step_has_its_command():
    load("processing.management.commands")
    assert {command.step.name for command in StepCommand.__subclasses__()} == set(COMMANDS)
