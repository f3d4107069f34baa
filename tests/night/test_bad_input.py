"""Whatever is wrong with what comes in: one clear line, exit status 1, a report where there is an exposure, nothing half done."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from django.core.management import call_command
from django.core.management.base import CommandError

from products.models import Alert, CatalogExcerpt, Exposure, Image, Report
from tests import factories
from tests.instruments.test_instruments import image_file, sdss_file
from tests.night.bad_files import FILES, text_file
from tests.night.same import recorded, stored

pytestmark = pytest.mark.night


def refused(command, *arguments, **options) -> str:
    """The one line with which a command refuses its input, with exit status 1."""
    with pytest.raises(CommandError) as caught:
        command(*arguments, **options)
    assert caught.value.returncode == 1
    line = str(caught.value)
    assert line and "\n" not in line
    return line


@pytest.mark.django_db
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used_is_refused_by_name_and_leaves_nothing_behind(name, command, tmp_path):
    make, what = FILES[name]
    path = make(tmp_path / f"{name}.fits")
    line = refused(command, "process_exposure", path, instrument="generic", numprocs=0)
    assert name in line
    assert re.search(what, line), line
    assert not Exposure.objects.exists()
    assert not stored()


@pytest.mark.django_db
def test_a_file_of_another_instrument_or_filter_is_refused(command, tmp_path):
    path = image_file(tmp_path / "x.fits", INSTRUME="WFC")
    assert "choose another --instrument" in refused(command, "process_exposure", path, instrument="demo")
    assert "choose --instrument generic" in refused(command, "process_exposure", path, instrument="sdss")
    line = refused(command, "process_exposure", path, instrument="dmeo")
    assert "did you mean 'demo'?" in line and "sdss" in line
    line = refused(command, "process_exposure", sdss_file(tmp_path / "y.fits", FILTER="V"), instrument="sdss")
    assert "filter 'V'" in line and "u, g, r, i, z" in line


@pytest.mark.django_db
def test_what_is_refused_is_named_once_also_among_others(tmp_path):
    text, said = text_file(tmp_path / "a.fits"), io.StringIO()
    with pytest.raises(CommandError, match="2 of 2 files"):
        call_command("ingest", text, sdss_file(tmp_path / "b.fits", FILTER="V"), instrument="sdss", stderr=said)
    first, second = said.getvalue().splitlines()
    assert first.count(str(text)) == 1
    assert second.startswith(f"{tmp_path / 'b.fits'}: filter 'V'")


@pytest.mark.django_db
def test_a_name_that_two_instruments_share_is_not_guessed_at(command):
    one, other = (factories.exposure("field_1", instrument=name) for name in ("demo", "generic"))
    for word in ("process_exposure", "subtract"):
        line = refused(command, word, "field_1")
        assert f"{one.pk} (demo)" in line and f"{other.pk} (generic)" in line


@pytest.mark.django_db
def test_a_summary_that_could_not_be_written_is_refused_before_anything_is_done(command, tmp_path):
    for path in (tmp_path / "nowhere" / "s.json", tmp_path):
        line = refused(command, "process_exposure", image_file(tmp_path / "x.fits"), json=path)
        assert line == f"the summary cannot be written to {path}: name a file in a folder that exists"
    assert not Exposure.objects.exists()


@pytest.mark.django_db
def test_a_file_that_is_refused_does_not_keep_the_others_from_being_processed(command, tmp_path):
    good, bad = image_file(tmp_path / "good.fits"), tmp_path / "bad.fits"
    line = refused(command, "process_exposure", bad, good, instrument="generic", numprocs=0, json=tmp_path / "s.json")
    assert line == "1 of 1 CCDs did not finish; their reports say why; 1 exposures could not be used"
    assert Report.objects.get().exposure.name == "good"
    assert "bad.fits" in (tmp_path / "s.json").read_text()


CONFIGURATIONS = {
    "extration: {}": "unknown step 'extration'.*did you mean 'extraction'",
    "extraction: {detction: {}}": "unknown parameter 'detction' of extraction.*did you mean 'detection'",
    "extraction: {detection: {treshold: 3}}": "did you mean 'threshold'",
    "extraction: {detection: {threshold: many}}": "threshold = 'many'",
    "subtraction: {method: zogi}": "did you mean 'zogy'",
    "extraction: 5": "must be a mapping",
    "- extraction": "must hold a mapping",
    "extraction: {": "cannot be read as YAML",
    "preloads: default.yaml": "must be a list of files",
    "preloads: [nowhere.yaml]": "no configuration file .*nowhere.yaml",
    "3: {}": "unknown step '3'",
}


@pytest.mark.django_db
@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_that_cannot_be_used_is_refused_before_anything_is_done(text, command, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    line = refused(command, "process_exposure", image_file(tmp_path / "x.fits"), config=str(path))
    assert re.search(CONFIGURATIONS[text], line), line
    assert not Exposure.objects.exists()


ASSIGNMENTS = {
    "nonsense": "not of the form step.parameter=value",
    "extraction=5": "not of the form step.parameter=value",
    "extracton.detection.threshold=5": "did you mean 'extraction'",
    "extraction.detection.threshold=high": "threshold = 'high'",
    "preprocessing.max_bad_fraction=7": "max_bad_fraction = 7",
    "instrument.gian=2": "did you mean 'gain'",
    "instrument.gain=-2": "gain = -2",
    "pipeline.tag=x": "provenance_tag",
}


@pytest.mark.django_db
@pytest.mark.parametrize("text", ASSIGNMENTS)
def test_an_assignment_that_cannot_be_used_is_refused(text, command, tmp_path):
    line = refused(command, "process_exposure", image_file(tmp_path / "x.fits"), assignments=[text])
    assert re.search(ASSIGNMENTS[text], line), line
    assert not Exposure.objects.exists()


@pytest.mark.django_db
def test_catalogues_that_cannot_be_used_are_refused(command, tmp_path):
    def table(name: str, **columns) -> Path:
        Table(columns).write(tmp_path / name)
        return tmp_path / name

    for path, what in (
        (tmp_path / "missing.csv", "no such file"),
        (table("empty.csv", ra=np.zeros(0), dec=np.zeros(0), mag_r=np.zeros(0)), "no rows with a position|no rows"),
        (table("no_magnitudes.csv", ra=[1.0], dec=[2.0]), "mag_g, mag_r"),
        (table("no_position.csv", x=[1.0], mag_r=[2.0]), "no column ra"),
        (text_file(tmp_path / "letter.fits"), "not a FITS file"),
    ):
        line = refused(command, "import_catalog", path, name="mine")
        assert re.search(what, line), line
    assert not CatalogExcerpt.objects.exists()
    assert not stored()


def failed(step: str) -> Report:
    """The last report, of a CCD that stopped in a step."""
    report = Report.objects.latest("started_at")
    assert (report.state, report.error_step) == (Report.State.FAILED, step)
    assert report.traceback == "", report.traceback
    assert report.error_message and "\n" not in report.error_message
    return report


def two_ccds(path: Path, first: np.ndarray, second: np.ndarray) -> Path:
    whole = fits.open(image_file(path))
    header = whole[0].header.copy()
    hdus = [fits.ImageHDU(data.astype(np.float32), header, name=name) for name, data in (("A", first), ("B", second))]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "no pixel of it has a usable value"), (7.0, "every pixel has the value 7")]
)
def test_an_image_without_contents_fails_alone_and_says_so(value, what, command, tmp_path):
    noise = np.random.default_rng(1).normal(100, 5, (80, 80))
    path = two_ccds(tmp_path / "x.fits", np.full((80, 80), value), noise)
    line = refused(command, "process_exposure", path, instrument="generic", numprocs=0)
    assert line == "2 of 2 CCDs did not finish; their reports say why"
    report = Report.objects.get(section="A")
    assert report.error_step == "preprocessing" and what in report.error_message
    assert Image.objects.get().section == "B"  # it has no stars, and fails where they are needed
    assert Report.objects.get(section="B").error_step != "preprocessing"
    assert Report.objects.get(section="B").traceback == ""
    assert recorded() == stored()


def test_no_catalogue_no_reference_and_no_calibration_frame_say_which_command_makes_them(night, command):
    name = Exposure.objects.filter(name__contains="late").first().name
    refused(command, "process_exposure", name, numprocs=0, sections="N1", refset="nowhere")
    assert "make_reference --refset nowhere" in failed("referencing").error_message
    assert Image.objects.filter(exposure__name=name).count() == 1
    options = {"numprocs": 0, "sections": "N2"}
    nightly = ["preprocessing.calibrator_set=nightly"]
    refused(command, "process_exposure", name, **options, assignments=nightly)
    report = failed("")
    assert report.error_type == "TagConflict" and "'current'" in report.error_message
    refused(command, "process_exposure", name, **options, assignments=nightly, provenance_tag="another")
    report = failed("preprocessing")
    assert "make_bias" in report.error_message and report.error_details["kind"] == "bias"
    assert report.tag == "another"
    CatalogExcerpt.objects.all().delete()
    refused(command, "process_exposure", name, **options)
    assert "import_catalog" in failed("astrocal").error_message
    refused(command, "process_exposure", name, sections="N7")
    assert not Alert.objects.exists()


def test_an_unknown_section_step_or_number_of_processes_is_refused(night, command):
    name = Exposure.objects.filter(name__contains="late").first().name
    assert "N1, N2" in refused(command, "process_exposure", name, sections="N7")
    with pytest.raises(CommandError, match="invalid choice"):
        command("process_exposure", name, "--through-step", "magic")
    with pytest.raises(CommandError, match="whole number from 0"):
        command("process_exposure", name, "--numprocs=-1")
    assert not Report.objects.filter(exposure__name=name).exists()


def test_a_bias_exposure_is_not_processed_as_if_it_were_of_the_sky(night, command):
    name = Exposure.objects.filter(kind="bias").first().name
    refused(command, "process_exposure", name, numprocs=0, sections="N1")
    assert "it is a bias exposure" in Report.objects.get(exposure__name=name).error_message


def damage(key: str, folder: Path) -> None:
    """Change one byte of a stored file; the copies of other tests are other files."""
    path = folder / "files" / key
    contents = bytearray(path.read_bytes())
    if contents:
        contents[len(contents) // 2] ^= 1
    path.unlink()
    path.write_bytes(contents)


def test_a_damaged_or_empty_file_is_refused_where_it_is_used(night, command):
    exposure = Exposure.objects.filter(name__contains="late").first()
    frame = Image.objects.get(kind="flat", section="N1")
    path = night.folder / "files" / frame.filepath
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(b"")
    refused(command, "process_exposure", exposure.name, numprocs=0, sections="N1")
    report = failed("preprocessing")
    assert report.error_type == "DamagedFile" and frame.filepath in report.error_message
    path.write_bytes(whole)
    command("process_exposure", exposure.name, numprocs=0, sections="N1", through_step="photocal")
    damage(Image.objects.get(exposure=exposure, kind="science").filepath, night.folder)
    refused(command, "process_exposure", exposure.name, numprocs=0, sections="N1")
    assert failed("subtraction").error_type == "DamagedFile"
    assert not Image.objects.filter(exposure=exposure, kind="difference").exists()


def test_a_damaged_raw_file_is_taken_from_the_archive(night, command, settings):
    exposure = Exposure.objects.filter(name__contains="late").first()
    settings.SEECHANGE_ARCHIVE = str(night.folder / "archive")
    archived = night.folder / "archive" / exposure.filepath
    archived.parent.mkdir(parents=True)
    archived.write_bytes(exposure.path().read_bytes())
    damage(exposure.filepath, night.folder)
    command("process_exposure", exposure.name, numprocs=0, sections="N1", through_step="preprocessing")
    assert exposure.path().read_bytes() == archived.read_bytes()


@pytest.mark.django_db
def test_a_known_exposure_is_not_read_in_another_way_without_a_word(command, tmp_path):
    path = image_file(tmp_path / "x.fits", GAIN=None)
    command("ingest", path, assignments=["instrument.gain=2.0"])
    command("ingest", path, assignments=["instrument.gain=2.0"])
    said = [
        refused(command, "process_exposure", path, assignments=[f"instrument.{text}"])
        for text in ("gain=3.0", "gain=1.5")
    ]
    assert all("x is known and keeps what was read of it; now there is another gain" in line for line in said)
    line = refused(command, "process_exposure", "x", assignments=["instrument.gain=3.0"])
    assert "x is known and keeps what was read when it was taken in" in line
    fits.PrimaryHDU(np.ones(fits.getdata(path).shape, np.float32)).writeto(tmp_path / "x.weight.fits")
    assert "a weight image is beside it" in refused(
        command, "process_exposure", path, assignments=["instrument.gain=2.0"]
    )
    assert Exposure.objects.get().header["sections"]["1"]["gain"] == 2.0
