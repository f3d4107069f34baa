"""`manage.py launch` against a running site: whatever is killed or goes away, each exposure is done once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections

from conductor.models import ClaimEvent, KnownExposure, PipelineWorker
from conductor.services import adding, moving, policy
from processing.instruments.demo import Demo
from products.models import Exposure, Report
from seechange_site.models import ApiToken
from tests.night.conftest import Place
from tests.night.same import counts, recorded, stored
from tests.night.test_processes import NEEDS_PROC, group, started, wait_until

pytestmark = [pytest.mark.night, NEEDS_PROC]


@dataclass
class Site:
    """A site on a port of its own, and a token for its conductor."""

    place: Place
    port: int
    token: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def open(self) -> Iterator[subprocess.Popen]:
        """Serve meanwhile."""
        with started(self.place, "runserver", "--noreload", str(self.port), stderr=subprocess.DEVNULL) as process:
            wait_until(self.answers, process)
            yield process

    def answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/login/", timeout=5) as answer:
            return answer.status == 200
        return False

    def launch(self, *options: str) -> contextlib.AbstractContextManager[subprocess.Popen]:
        """A launcher that is killed at the end."""
        return started(self.place, "launch", *self.options(*options))

    def options(self, *more: str) -> tuple[str, ...]:
        own = ("--cluster", "test", "--conductor", self.address, "--token-file", str(self.token), "--numprocs", "2")
        return (*own, "--interval", "0.5", *more)


@pytest.fixture
def site(night: Place, tmp_path: Path) -> Site:
    """Nothing is served yet; both late exposures are known and ready."""
    _, key = ApiToken.issue(User.objects.create_superuser("operator"), "launcher", ["claim"])
    token = tmp_path / "token"
    token.write_text(f"{key}\n")
    offers = list(Demo().offers(folder=str(night.folder / "raw"), pattern="*late*", settle=0))
    assert len(adding.add("demo", offers, actor="test").new) == 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Site(night, free.getsockname()[1], token)


def states() -> list[str]:
    return sorted(KnownExposure.objects.values_list("state", flat=True))


def events() -> list[str]:
    return list(ClaimEvent.objects.order_by("pk").values_list("what", flat=True))


def at_work(steps: int = 1) -> bool:
    """Whether two CCDs have finished their first step, and none its last."""
    return sum(len(row.steps) >= steps for row in Report.objects.filter(state="running")) >= 2


def undisturbed(night: Place, folder: Path) -> dict[str, int]:
    """How many rows there are of each product when nobody disturbs."""
    connections["default"].close()  # to read the file of an open SQLite database takes its locks away
    apart = night.copy_to(folder)
    names = [row.name for row in Exposure.objects.filter(name__contains="late")]
    done = apart.manage("process_exposure", *names, "--numprocs", "2")
    assert done.returncode == 0, done.stderr
    with apart.in_use():
        return counts()


def output(process: subprocess.Popen, seconds: float = 240) -> str:
    """What it said, when it has ended."""
    said, errors = process.communicate(timeout=seconds)
    return said + errors


def test_what_waits_is_processed_and_the_launcher_ends(site, tmp_path):
    with site.open():
        done = site.place.manage("launch", *site.options("--once"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert states() == ["done", "done"]
    for row in KnownExposure.objects.all():
        assert row.attempt == 1 and row.exposure.origin == row.identifier
        assert {said["state"] for said in row.sections.values()} == {"done"} and len(row.sections) == 2
    assert Report.objects.filter(state="done", cluster="test").count() == 4
    assert "nothing waits; nothing more to do" in done.stdout
    assert PipelineWorker.objects.get().ended_at
    assert not (site.place.folder / "incoming").exists() or not any((site.place.folder / "incoming").iterdir())


def test_a_launcher_that_is_killed_leaves_no_process_and_its_exposure_is_done_once_by_the_next(site, tmp_path):
    wanted = undisturbed(site.place, tmp_path / "apart")
    with site.open():
        with site.launch("--lease", "4") as process:
            wait_until(at_work, process)
            os.kill(process.pid, signal.SIGKILL)
            killed = time.monotonic()
            process.wait()
            wait_until(lambda: not group(process.pid))
        with site.launch("--lease", "30", "--max-exposures", "2") as process:
            wait_until(lambda: "expired" in events(), process)
            moving.move("change", KnownExposure.objects.values_list("pk", flat=True), actor="operator", not_before=None)
            said = output(process)
    assert process.returncode == 0, said
    assert time.monotonic() - killed < 180
    assert states() == ["done", "done"]
    assert sorted(KnownExposure.objects.values_list("attempt", flat=True)) == [1, 2]
    assert events().count("expired") == 1 and events().count("finished") == 2
    assert counts() == wanted
    assert recorded() == stored()
    assert not Report.objects.filter(state="running").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_launcher_that_is_told_to_stop_gives_back_and_leaves_no_process(number, site):
    with site.open(), site.launch() as process:
        wait_until(at_work, process)
        began = time.monotonic()
        os.kill(process.pid, number)
        said = output(process, 90)
        assert time.monotonic() - began < 90
        wait_until(lambda: not group(process.pid))
    assert process.returncode == 0, said
    assert "given back" in said and "Traceback" not in said
    assert states() == ["ready", "ready"]
    assert set(KnownExposure.objects.values_list("attempt", flat=True)) == {0}
    assert events()[-1] == "released" and "finished" not in events()
    assert not Report.objects.filter(state="running").exists()
    assert recorded() == stored()
    assert PipelineWorker.objects.get().ended_at


def test_a_launcher_that_waits_stops_at_once(site):
    policy.set_policy(is_paused=True)
    with site.open(), site.launch("--interval", "600") as process:
        wait_until(PipelineWorker.objects.exists, process)
        time.sleep(2)
        os.kill(process.pid, signal.SIGTERM)
        said = output(process, 20)
    assert process.returncode == 0
    assert said.count("the conductor is paused") == 1
    assert "claimed" not in events()


def test_a_conductor_that_goes_away_for_some_time_is_waited_for(site):
    with site.open() as server, site.launch("--max-exposures", "2", "--lease", "60") as process:
        wait_until(at_work, process)
        os.killpg(server.pid, signal.SIGKILL)
        wait_until(lambda: Report.objects.filter(state="done", cluster="test").count() == 2, process)
        time.sleep(2)
        assert process.poll() is None
        with site.open():
            said = output(process)
    assert process.returncode == 0, said
    assert states() == ["done", "done"]
    assert set(KnownExposure.objects.values_list("attempt", flat=True)) == {1}


def test_a_launcher_begins_before_there_is_a_conductor(site):
    with site.launch("--max-exposures", "1", "--through-step", "extraction") as process:
        assert "no answer" in process.stdout.readline()
        with site.open():
            said = output(process)
    assert process.returncode == 0, said
    assert states() == ["done", "ready"]
    assert {row.reached[-1] for row in Report.objects.filter(cluster="test")} == {"extraction"}


@pytest.mark.parametrize("action", ["release", "expire"])
def test_a_holder_whose_claim_was_taken_away_stops_and_finishes_nothing(action, site):
    with site.open(), site.launch("--max-exposures", "1", "--lease", "2", "--numprocs", "1") as process:
        wait_until(lambda: Report.objects.filter(state="running").exists(), process)
        row = KnownExposure.objects.get(state="running")
        policy.set_policy(is_paused=True)
        (moved,) = moving.move(action, [row.pk], actor="operator", reason="to see")
        assert moved.ok
        said = output(process)
        wait_until(lambda: not group(process.pid))
    assert process.returncode == 1
    assert "this claim is over" in said and "1 lost of 1 exposures" in said and "Traceback" not in said
    row.refresh_from_db()
    assert row.state == "ready" and row.attempt == (0 if action == "release" else 1)
    assert "finished" not in events()
    assert not Report.objects.filter(state="running").exists()


def test_an_exposure_of_which_some_ccds_were_not_asked_for_is_not_done(site):
    first = KnownExposure.objects.order_by("mjd").first()
    with site.open():
        some = ("--max-exposures", "1", "--sections", "N1", "--through-step", "preprocessing")
        done = site.place.manage("launch", *site.options(*some))
    assert done.returncode == 1 and "1 partial of 1 exposures" in done.stderr
    first.refresh_from_db()
    assert first.state == "partial" and "only N1 of 2 CCDs were asked for" in first.last_error
    assert {name: said["state"] for name, said in first.sections.items()} == {"N1": "done", "N2": "missing"}


def test_a_raw_file_that_is_gone_fails_with_its_reason(site):
    lost = KnownExposure.objects.order_by("mjd").first()
    lost.params = {**lost.params, "path": "/nowhere/lost.fits"}
    lost.save()
    with site.open():
        done = site.place.manage("launch", *site.options("--once", "--through-step", "preprocessing"))
    assert done.returncode == 1
    assert "1 failed of 2 exposures" in done.stderr
    lost.refresh_from_db()
    assert (lost.state, lost.last_error) == ("failed", "/nowhere/lost.fits: there is no such file")
    assert states() == ["done", "failed"]


@pytest.mark.parametrize(
    ("scopes", "why"), [(["read"], "this token is not for “claim”"), ([], "this token is not known")]
)
def test_a_token_that_opens_nothing_is_said_at_once(scopes, why, site):
    key = ApiToken.issue(User.objects.get(), "other", scopes)[1] if scopes else "invented"
    site.token.write_text(key)
    with site.open():
        done = site.place.manage("launch", *site.options())
    assert done.returncode == 1
    assert why in done.stderr and "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_nothing_is_claimed_while_the_disk_is_nearly_full(site):
    with site.open(), site.launch("--min-free", "1e9") as process:
        wait_until(PipelineWorker.objects.exists, process)
        time.sleep(3)
        os.kill(process.pid, signal.SIGTERM)
        said = output(process, 30)
    assert said.count("is nearly full") == 1 and "claimed," not in said
    assert states() == ["ready", "ready"]


def test_without_a_token_the_command_says_where_to_get_one(night):
    done = night.manage("launch", "--cluster", "test", SEECHANGE_CLAIM_TOKEN="")
    assert done.returncode == 1
    assert "a token is needed" in done.stderr and len(done.stderr.strip().splitlines()) == 1
