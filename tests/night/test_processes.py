"""One process a CCD: what dies fails alone, what is told to stop stops, and nobody is left behind."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from astropy.io import fits
from django.db import OperationalError, connections

from processing import reporting
from processing.admission.rules import AdmissionRules
from processing.config import load
from processing.exposures import RunSettings, ingest, process_section
from processing.instruments.generic import Generic
from processing.pipelines import SCIENCE
from products import fits as product_files
from products.models import Exposure, Image, Report
from products.services import keeping
from tests.instruments.test_instruments import image_file
from tests.night.conftest import ROOT, Place, forked
from tests.night.same import counts, recorded, stored, tree

pytestmark = pytest.mark.night

SETTINGS = RunSettings(configuration=load())
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")


def late() -> Exposure:
    return Exposure.objects.get(name__contains="late-1")


@contextlib.contextmanager
def started(place: Place, *arguments: str, stderr: IO[str] | int = subprocess.PIPE):
    """manage.py in a process group of its own, which is killed at the end."""
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background is born deaf to it
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=place.environment, text=True,
        stdout=subprocess.PIPE, stderr=stderr, start_new_session=True, preexec_fn=hear,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def group(leader: int) -> dict[int, int]:
    """Process → its parent, of the living processes of a group."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, own = path.read_text().rpartition(")")[2].split()[:3]
            if int(own) == leader and state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def workers(leader: int) -> list[int]:
    """The processes of CCDs: their parent is the one that forks them, which is a child of the command."""
    found = group(leader)
    return sorted(pid for pid, parent in found.items() if parent != leader and parent in found)


def wait_until(happened: Callable[[], object], process: subprocess.Popen | None = None) -> object:
    """What `happened` returns when it is true; not for ever."""
    for _ in range(2400):
        if found := happened():
            return found
        if process and process.poll() is not None:
            pytest.fail(f"ended too early: {process.communicate()}")
        time.sleep(0.05)
    raise AssertionError("it did not happen in two minutes")


def begun(number: int = 2) -> bool:
    """Whether as many CCDs have finished their first step."""
    return sum(bool(row.steps) for row in Report.objects.filter(exposure=late())) == number


@NEEDS_PROC
def test_a_killed_process_fails_alone_and_the_run_goes_on_from_there(night, tmp_path):
    name, summary = late().name, tmp_path / "summary.json"
    with started(night, "process_exposure", name, "--numprocs", "2", "--json", str(summary)) as process:
        wait_until(begun, process)
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.strip().splitlines()[-1] == "CommandError: 1 of 2 CCDs did not finish; their reports say why"
    reports = {row.state: row for row in Report.objects.filter(exposure=late())}
    assert reports.keys() == {"done", "failed"}
    killed = reports["failed"]
    assert killed.error_type == "Killed" and "SIGKILL" in killed.error_message and "--numprocs" in killed.error_message
    assert killed.error_step == ["extraction", "astrocal", "photocal", "referencing", "subtraction", "detection",
        "cutting", "measuring", "scoring", "knownobjects", "alerting", "sending"][len(killed.steps) - 1]  # fmt: skip
    assert f"{killed.section}: stopped in {killed.error_step}" in out
    found = json.loads(summary.read_text())
    assert found["exposure"] == name and len(found["provenances"]) == 11
    bad, good = found["sections"][killed.section], found["sections"][reports["done"].section]
    assert (bad["status"], bad["error"]["type"], bad["error"]["details"]["exit_code"]) == ("failed", "Killed", -9)
    assert good["error"] is None and good["counts"]["alerts"] >= 0
    for step in good["steps"]:
        assert step["seconds"] >= 0 and step["peak_mb"] > 10, step
    again = night.manage("process_exposure", name, "--numprocs", "2")
    assert again.returncode == 0, again.stderr
    assert recorded() <= stored()


@NEEDS_PROC
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_leaves_no_process_and_closes_its_reports(number, night):
    name = late().name
    with started(night, "process_exposure", name, "--numprocs", "2") as process:
        wait_until(begun, process)
        children = workers(process.pid)
        assert len(children) == 2
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            os.kill(process.pid, number)
        _, err = process.communicate(timeout=120) if number != signal.SIGKILL else (process.wait(), "")
        wait_until(lambda: not group(process.pid))
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert err.strip().splitlines()[-1].startswith("CommandError: interrupted; what was finished is kept")
        assert "Traceback" not in err
    for row in Report.objects.filter(exposure=late()):
        assert (row.state, row.error_type) in {("failed", "Interrupted"), ("done", "")}
        assert row.error_type == "" or row.error_step
    assert recorded() == stored()
    again = night.manage("process_exposure", name, "--numprocs", "2")
    assert again.returncode == 0, again.stderr
    assert recorded() == stored()


def test_a_file_that_kills_the_process_that_unpacks_it_fails_alone(night, tmp_path, monkeypatch):
    path = image_file(tmp_path / "poison.fits")
    with fits.open(path) as whole:
        header = whole[0].header.copy()
    noise = np.random.default_rng(1).integers(90, 110, (64, 64)).astype(np.int32)
    poison = fits.CompImageHDU(noise, header, name="A", compression_type="HCOMPRESS_1", hcomp_scale=0)
    hdus = fits.HDUList([fits.PrimaryHDU(), poison, fits.ImageHDU(noise, header, name="B")])
    hdus.writeto(path, overwrite=True)
    contents = bytearray(path.read_bytes())
    start = contents.index(b"\xdd\x99")
    contents[start + 6 : start + 10] = bytes(4)  # the number of rows: a division by it takes the process down
    path.write_bytes(contents)
    refused = night.manage("process_exposure", path, "--numprocs", "1")
    assert refused.returncode == 1 and "[unsafe-compression]" in refused.stderr
    monkeypatch.setattr(Generic, "admission", AdmissionRules(compressions=("HCOMPRESS_1",)))
    ingest(path, Generic())
    done = night.manage("process_exposure", "poison", "--numprocs", "1", "--provenance-tag", "of another instrument")
    assert done.returncode == 1
    first, second = Report.objects.filter(exposure__name="poison").order_by("section")
    assert first.error_step == "preprocessing"
    assert first.error_type == "Killed" and "killed by SIG" in first.error_message
    assert Image.objects.get(exposure__name="poison").section == "B"
    assert second.error_type not in ("", "Killed")


def test_a_ccd_that_takes_more_time_than_it_is_allowed_is_stopped_and_says_so(night):
    name = late().name
    done = night.manage("process_exposure", name, "--sections", "N1", "--numprocs", "1", SEECHANGE_CCD_CPU="1")
    assert done.returncode == 1
    report = Report.objects.get(exposure=late(), section="N1")
    assert report.error_type == "Killed" and "SIGXCPU" in report.error_message
    assert "SEECHANGE_CCD_CPU" in report.error_message
    whole = {path for path in stored() if not Path(path).name.startswith(".")}  # one that it was writing may be left
    assert recorded() == whole


@pytest.mark.parametrize("case", ["missing", "not migrated", "no database", "no folder"])
def test_a_command_says_in_one_line_what_to_do(case, night, tmp_path):
    environment, what = {
        "missing": ({}, "neither a file nor the name of an ingested exposure"),
        "not migrated": ({"DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}"}, "run: python manage.py migrate"),
        "no database": ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing"}, "the database cannot be used"),
        "no folder": ({"SEECHANGE_DATA": "/dev/null/data"}, "set SEECHANGE_DATA to a folder of yours"),
    }[case]
    done = night.manage("process_exposure", "nowhere.fits", **environment)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 1 and len(lines) == 1 and what in lines[0], done.stderr


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("Not enough space on disk: requested 9")]
)
def test_a_full_disk_is_reported_leaves_nothing_and_is_made_good_later(error, night, monkeypatch):
    write, exposure = product_files.write, late()

    def full(path, header, hdus):
        if "difference" in path.name:
            path.write_bytes(b"SIMPLE  =")
            raise error
        write(path, header, hdus)

    monkeypatch.setattr(product_files, "write", full)
    report = process_section(exposure, "N1", SETTINGS)
    assert (report.state, report.error_step, report.error_type) == ("failed", "subtraction", "DiskFull")
    assert "make room and run it again" in report.error_message and report.traceback == ""
    assert recorded() == stored()
    assert not Image.objects.filter(exposure=exposure, kind__in=["difference", "warped"]).exists()
    monkeypatch.undo()
    assert process_section(exposure, "N1", SETTINGS).state == "done"
    assert recorded() == stored()


def test_a_lost_database_is_an_expected_failure_and_the_run_goes_on_when_it_is_back(night, monkeypatch):
    exposure = late()

    def lost():
        raise OperationalError("the connection is lost\n")

    monkeypatch.setattr(keeping.badness, "wait_for_marking", lost)
    report = process_section(exposure, "N1", SETTINGS)
    assert (report.error_step, report.error_type, report.traceback) == ("preprocessing", "DatabaseLost", "")
    assert "the connection is lost;" in report.error_message and "run it again" in report.error_message
    assert recorded() == stored()
    monkeypatch.undo()
    assert process_section(exposure, "N1", SETTINGS).state == "done"


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def interrupt_compiled_code() -> None:
    raise SystemError("a compiled function returned a result with an exception set") from KeyboardInterrupt()


def test_an_interrupt_that_comes_out_of_compiled_code_as_another_error_is_obeyed(night, monkeypatch):
    monkeypatch.setattr(keeping.badness, "wait_for_marking", interrupt_compiled_code)
    with pytest.raises(KeyboardInterrupt):
        process_section(late(), "N1", SETTINGS)
    report = Report.objects.filter(exposure=late()).latest("attempt")
    assert (report.state, report.error_step, report.error_type) == ("failed", "preprocessing", "Interrupted")
    assert report.traceback == "" and recorded() == stored()


def test_an_interrupt_between_two_steps_names_the_one_that_did_not_begin(night):
    with pytest.raises(KeyboardInterrupt):
        process_section(late(), "N1", SETTINGS, progress=interrupt)
    report = Report.objects.filter(exposure=late()).latest("attempt")
    assert (report.state, report.error_step, report.error_type) == ("failed", "extraction", "Interrupted")
    assert report.reached == ["preprocessing"]


def test_an_answer_to_a_commit_that_is_lost_does_not_lose_the_product(night, monkeypatch):
    exposure, leave = late(), keeping.transaction.Atomic.__exit__
    kept = stored()

    def commit_and_break(self, *error):
        leave(self, *error)
        if stored() > kept and not connections["default"].in_atomic_block:
            monkeypatch.undo()
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(keeping.transaction.Atomic, "__exit__", commit_and_break)
    assert process_section(exposure, "N1", SETTINGS).state == "done"
    assert recorded() == stored()


def test_a_connection_that_breaks_between_two_steps_is_made_again(night):
    def broken(step: str) -> None:
        connections["default"].connection.close()

    report = process_section(late(), "N1", SETTINGS, progress=broken)
    assert report.state == "done", report.error_message
    assert [step["name"] for step in report.steps] == [*(step.name for step in SCIENCE), "sending"]


def test_a_report_waits_for_a_database_that_comes_back(night, monkeypatch):
    monkeypatch.setattr(reporting, "PAUSES", (0.0, 0.0, 0.0))
    reporter = reporting.Reporter(late(), "N1")
    save, refused = Report.save, []

    def sometimes(self, *arguments, **keywords):
        if len(refused) < 3:
            refused.append(self)
            raise OperationalError("starting up")
        save(self, *arguments, **keywords)

    monkeypatch.setattr(Report, "save", sometimes)
    reporter.finish()
    assert len(refused) == 3
    assert Report.objects.get(pk=reporter.row.pk).state == "done"


def test_what_json_cannot_hold_does_not_keep_a_report_from_being_written(night):
    reporter = reporting.Reporter(late(), "N1")
    with reporter.step("extraction") as entry:
        entry["counts"] = {"noise": float("nan"), "sources": np.int64(3), "level": np.float32(2.5)}
    reporter.finish(ValueError("a name with \0 in it"))
    row = Report.objects.get(pk=reporter.row.pk)
    assert row.steps[0]["counts"] == {"noise": None, "sources": 3, "level": 2.5}
    assert row.state == "failed" and "a name with" in row.error_message


def test_in_this_process_the_products_are_the_same_as_in_one_process_a_ccd(night, calibrated_night, tmp_path):
    other = calibrated_night.place.copy_to(tmp_path / "other")
    done = night.manage("process_exposure", late().name, "--numprocs", "2", "--json", tmp_path / "summary.json")
    assert done.returncode == 0, done.stderr
    apart = {name: tree(late(), name) for name in ("N1", "N2")}, counts()

    def here():
        for section in ("N1", "N2"):
            assert process_section(late(), section, SETTINGS).state == "done"

    with other.in_use():
        assert forked(partial(here)) == [0]
        assert ({name: tree(late(), name) for name in ("N1", "N2")}, counts()) == apart
