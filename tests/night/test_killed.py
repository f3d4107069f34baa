"""A CCD whose process is killed, at any step and at any moment of it, ends with the same products as one that is not."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from processing import sending
from processing.config import load
from processing.exposures import RunSettings, process_section
from processing.pipelines import SCIENCE
from processing.step import Lookup
from products import storage
from products.alerts.avro import decode
from products.interrupts import interrupt
from products.models import Alert, Exposure, Report
from products.models.files import FileBacked
from products.services import keeping
from tests.night.conftest import forked
from tests.night.same import counts, recorded, stored, tree

pytestmark = pytest.mark.night

SETTINGS = RunSettings(configuration=load())
STEPS = [step.name for step in SCIENCE]
MAKING = [step.name for step in SCIENCE if not issubclass(step, Lookup)]
WITH_FILES = [step.name for step in SCIENCE if any(issubclass(cls, FileBacked) for cls in step.outputs())]


def die(*arguments, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)


def run(exposure: Exposure, dies: tuple[object, str] | None = None) -> None:
    """Process the first CCD; `dies` is the function, as module and name, in whose place the process is killed."""
    if dies:
        setattr(*dies, die)
    report = process_section(exposure, "N1", SETTINGS)
    assert report.state == Report.State.DONE, report.error_message


def killed_after(exposure: Exposure, step: str) -> None:
    process_section(exposure, "N1", SETTINGS, progress=lambda ended: ended == step and die())


def late_exposure() -> Exposure:
    return Exposure.objects.get(name__contains="late-1")


@pytest.fixture(scope="module")
def uninterrupted(calibrated_night, tmp_path_factory, django_db_blocker):
    """Products of the CCD, number of all rows, and decoded alerts, of a run that nothing disturbs."""
    place = calibrated_night.place.copy_to(tmp_path_factory.mktemp("uninterrupted") / "data")
    with django_db_blocker.unblock(), place.in_use():
        run(late_exposure())
        return tree(late_exposure(), "N1"), counts(), alerts()


def alerts() -> list[tuple]:
    """What the files of the alerts that went out say, without ids, by position."""
    found = []
    for alert in Alert.objects.all():
        assert alert.state == Alert.State.SENT
        packet = decode(Path(alert.sent_to).read_bytes())
        assert packet["alertId"] == str(alert.pk)
        found.append((packet["diaSource"]["x"], packet["diaSource"]["snr"], packet["cutoutDifference"]))
    return sorted(found)


def assert_same(exposure: Exposure, uninterrupted: tuple) -> None:
    products, rows, sent = uninterrupted
    found = tree(exposure, "N1")
    assert found.keys() == products.keys()
    for name in products:
        assert found[name] == products[name], name
    assert counts() == rows
    assert alerts() == sent
    assert recorded() <= stored()


def test_killed_at_every_step_a_run_ends_with_the_same_products(night, uninterrupted):
    exposure = late_exposure()
    moments = {
        "while a file is written": (storage.os, "fsync"),
        "between the files and the rows": (keeping.badness, "wait_for_marking"),
        "before the rows are committed": (keeping, "_keep_rows"),
    }
    for step in STEPS:
        for moment, place in moments.items():
            if step not in MAKING or (place[1] == "fsync" and step not in WITH_FILES):
                continue
            before = counts()
            assert forked(partial(run, exposure, dies=place)) == [-signal.SIGKILL], f"{step}, {moment}"
            report = Report.objects.filter(exposure=exposure).latest("started_at")
            assert report.state == Report.State.RUNNING
            assert [entry["name"] for entry in report.steps] == STEPS[: STEPS.index(step)], moment
            assert counts() == before, f"{step}, {moment}"
        assert forked(partial(killed_after, exposure, step)) == [-signal.SIGKILL]
    assert forked(partial(run, exposure, dies=(sending, "_note"))) == [-signal.SIGKILL]
    assert {alert.state for alert in Alert.objects.all()} == {Alert.State.PENDING}
    ids = set(Alert.objects.values_list("pk", flat=True))
    Alert.objects.update(claimed_until=timezone.now())  # the lease of the killed process ends
    run(exposure)
    assert_same(exposure, uninterrupted)
    assert set(Alert.objects.values_list("pk", flat=True)) == ids
    assert not Report.objects.filter(state=Report.State.RUNNING).exists()
    assert Report.objects.filter(error_type="Abandoned").exists()


def test_run_twice_nothing_is_made_or_sent_twice(night, uninterrupted):
    exposure = late_exposure()
    run(exposure)
    files, sent = stored(), {alert.pk: (alert.sent_at, alert.attempts) for alert in Alert.objects.all()}
    changed = {path: path.stat().st_mtime_ns for path in (night.folder / "alerts").rglob("*.avro")}
    assert sent and len(changed) == len(sent)
    run(exposure)
    assert_same(exposure, uninterrupted)
    assert stored() == files
    assert {alert.pk: (alert.sent_at, alert.attempts) for alert in Alert.objects.all()} == sent
    assert {path: path.stat().st_mtime_ns for path in (night.folder / "alerts").rglob("*.avro")} == changed
    report = Report.objects.filter(exposure=exposure).latest("started_at")
    assert report.attempt == 2
    assert [entry["name"] for entry in report.steps if entry["made"]] == ["sending"]
    assert report.counts["sent"] == 0


def test_a_signal_to_stop_leaves_no_half_written_product_and_closes_the_report(night, uninterrupted):
    exposure = late_exposure()

    def interrupted():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        keeping.badness.wait_for_marking = lambda: os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            process_section(exposure, "N1", SETTINGS)

    assert forked(interrupted) == [0]
    report = Report.objects.get(exposure=exposure)
    assert (report.state, report.error_step, report.error_type) == ("failed", "preprocessing", "Interrupted")
    assert "run it again" in report.error_message
    assert recorded() == stored()
    run(exposure)
    assert_same(exposure, uninterrupted)
    assert recorded() == stored()


def test_a_signal_right_after_the_commit_does_not_take_the_file_of_a_kept_product(night):
    exposure = late_exposure()

    def interrupted():
        commit = keeping.transaction.Atomic.__exit__

        def commit_then_stop(self, *error):
            commit(self, *error)
            if stored() > kept and not connection.in_atomic_block:
                raise KeyboardInterrupt

        kept = stored()
        keeping.transaction.Atomic.__exit__ = commit_then_stop
        with pytest.raises(KeyboardInterrupt):
            process_section(exposure, "N1", SETTINGS)

    before = counts()["Image"]
    assert forked(interrupted) == [0]
    assert counts()["Image"] == before + 1
    assert recorded() == stored()


def test_a_signal_in_the_middle_of_the_transaction_waits_until_the_rows_are_there(night):
    exposure = late_exposure()

    def interrupted():
        signal.signal(signal.SIGTERM, interrupt)
        keeping.badness.wait_for_marking = lambda: os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            process_section(exposure, "N1", SETTINGS)

    before = counts()["Image"]
    assert forked(interrupted) == [0]
    report = Report.objects.get(exposure=exposure)
    assert (report.state, report.error_step, report.error_type) == ("failed", "preprocessing", "Interrupted")
    assert counts()["Image"] == before + 1
    assert recorded() == stored()


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="its driver ends a query before it looks for signals")
def test_a_signal_that_cuts_a_query_short_leaves_a_report_that_says_so(night, caplog):
    exposure = late_exposure()

    def cut(step: str) -> None:
        connection.ensure_connection()
        connection.connection.pgconn.send_query(b"SELECT pg_sleep(20)")
        raise KeyboardInterrupt

    def interrupted():
        with pytest.raises(KeyboardInterrupt):
            process_section(exposure, "N1", SETTINGS, progress=cut)
        assert not caplog.records, caplog.text

    assert forked(interrupted) == [0]
    report = Report.objects.get(exposure=exposure)
    assert (report.state, report.error_step, report.error_type) == ("failed", "extraction", "Interrupted")
    assert recorded() == stored()
