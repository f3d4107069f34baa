"""`manage.py cluster` with real processes: whichever of them is killed, the tasks are done and nobody is left behind."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django_q.models import OrmQ, Task
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from processing.queue.broker import Broker
from tests.night.conftest import Place, forked, new_place
from tests.night.test_processes import NEEDS_PROC, started, wait_until

pytestmark = [pytest.mark.night, NEEDS_PROC]
NOTE, DIE = "tests.night.queue_tasks.note", "tests.night.queue_tasks.die"


@pytest.fixture(scope="module")
def empty(tmp_path_factory, django_db_blocker) -> Place:
    """A place with tables and nothing in them."""
    place = new_place(tmp_path_factory.mktemp("empty") / "data")
    place.folder.mkdir()
    with django_db_blocker.unblock(), place.in_use():
        call_command("migrate", verbosity=0)
    return place


@pytest.fixture
def place(empty: Place, django_db_blocker, monkeypatch) -> Iterator[Place]:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.night.queue_settings")
    monkeypatch.setenv("SECRET_KEY", settings.SECRET_KEY)  # what this process signs is read by others
    with django_db_blocker.unblock(), empty.in_use():
        yield empty
        OrmQ.objects.all().delete()
        Task.objects.all().delete()


@dataclass
class Cluster:
    """A running `manage.py cluster` and what it logged."""

    pid: int
    log: Path

    def said(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text())

    def process(self, role: str) -> int:
        """The number of the latest process that has a role."""
        pattern = {"worker": r"ready for work at (\d+)", "monitor": r"monitoring at (\d+)"}
        pattern["pusher"] = r"pushing tasks at (\d+)"
        if role in pattern:
            return int(self.said(pattern[role])[-1])
        return parent_of(self.process("worker")) if role == "sentinel" else parent_of(self.process("sentinel"))

    def processes(self) -> list[int]:
        """Everything that it started and that lives."""
        return [pid for pid in map(int, self.said(r"(?:work|pushing tasks|monitoring) at (\d+)")) if lives(pid)]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def cluster(place: Place, tmp_path, monkeypatch) -> Iterator[Cluster]:
    """One worker, so that an idle one is always the one that holds the lock of the queue."""
    monkeypatch.setenv("QUEUE_WORKERS", "1")
    log = tmp_path / "log"
    with log.open("w") as file, started(
        place, "cluster", "--still-limit", "15", "--stop-limit", "3", "--pause", "1", stderr=file
    ) as process:  # fmt: skip
        found = Cluster(process.pid, log)
        wait_until(lambda: found.said("pushing tasks at") and found.said("monitoring at"), process)
        yield found
    wait_until(lambda: not found.processes())


def ended(folder: Path, name: str) -> int:
    return len(list(folder.glob(f"{name}.ended.*")))


@pytest.mark.parametrize("role", ["worker", "monitor", "pusher", "sentinel", "main"])
def test_whichever_process_is_killed_the_tasks_are_done(role, cluster, tmp_path):
    async_task(NOTE, str(tmp_path), "before")
    wait_until(lambda: Task.objects.filter(success=True).count() == 1)
    time.sleep(1)  # all wait for something to do
    before = cluster.processes()
    os.kill(cluster.process(role), signal.SIGKILL)
    for number in range(3):
        async_task(NOTE, str(tmp_path), f"after {number}")
    wait_until(lambda: Task.objects.filter(success=True).count() == 4)
    assert all(ended(tmp_path, f"after {number}") for number in range(3))
    wait_until(lambda: not OrmQ.objects.exclude(key__startswith="beat@").exists())
    if role in ("worker", "monitor", "sentinel", "main"):  # a pusher is replaced alone
        wait_until(lambda: Task.objects.filter(func="manage.py cluster", success=False).exists())
        assert cluster.said("the cluster is replaced: ")
        assert not any(map(lives, before))


def test_a_task_that_kills_its_worker_ends_after_three_attempts_and_the_others_are_done(cluster, tmp_path):
    async_task(DIE, str(tmp_path), task_name="poison")
    for number in range(2):
        async_task(NOTE, str(tmp_path), f"good {number}")
    wait_until(lambda: Task.objects.filter(name="poison", success=False).exists())
    note = Task.objects.get(name="poison")
    assert (note.result, note.attempt_count) == ("the process that ran it was lost 3 times", 3)
    assert len(list(tmp_path.glob("die.began.*"))) == 3
    wait_until(lambda: Task.objects.filter(success=True).count() == 2)


def test_sigterm_gives_a_long_task_back_and_leaves_no_process(cluster, tmp_path):
    async_task(NOTE, str(tmp_path), "long", 600.0)
    async_task(NOTE, str(tmp_path), "next")
    wait_until(lambda: list(tmp_path.glob("long.began.*")))
    began = time.monotonic()
    os.kill(cluster.pid, signal.SIGTERM)
    wait_until(lambda: cluster.said(r"stopped; (\d+) tasks were given back"))
    assert time.monotonic() - began < 30
    wait_until(lambda: not cluster.processes())
    assert ended(tmp_path, "long") == 0
    assert not list(tmp_path.glob("next.began.*"))
    rows = OrmQ.objects.order_by("pk")
    assert [(row.key, row.task.get("attempts", 0)) for row in rows] == [("seechange", 0), ("seechange", 0)]


def test_a_supervisor_that_is_killed_leaves_no_process(cluster, tmp_path):
    async_task(NOTE, str(tmp_path), "long", 600.0)
    wait_until(lambda: list(tmp_path.glob("long.began.*")))
    everything = {*cluster.processes(), cluster.process("sentinel"), cluster.process("main")}
    assert len(everything) == 5
    os.kill(cluster.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(lives, everything)))
    assert OrmQ.objects.get().key.startswith("seechange@")  # its lease ends by itself


def test_many_clusters_at_once_hand_each_task_out_once(place, tmp_path):
    names = [str(number) for number in range(60)]
    for name in names:
        async_task("processing.tasks.beat", task_name=name)
    taken = tmp_path / "taken"
    taken.mkdir()

    def take() -> None:
        broker, empty = Broker(), 0
        while empty < 3:
            handed = broker.dequeue()
            empty = 0 if handed else empty + 1
            for _, payload in handed or []:
                (taken / SignedPackage.loads(payload)["name"]).touch(exist_ok=False)

    assert forked(*[take] * 4) == [0] * 4
    assert sorted(path.name for path in taken.iterdir()) == sorted(names)
