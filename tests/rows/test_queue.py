"""The queue hands each task out once at a time, not for ever, and only where it is one of ours."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule, Task
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from processing.queue.allowed import is_task
from processing.queue.broker import Broker
from processing.queue.group import Group, Running
from processing.queue.schedules import keep_schedules
from processing.queue.supervisor import Limits, Supervisor
from processing.tasks import beat

pytestmark = pytest.mark.django_db
TASK = "processing.tasks.send_alerts"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Conf, "POLL", 0.0)


def cluster(name: str, monkeypatch: pytest.MonkeyPatch, workers: int = 2) -> Broker:
    """The broker of a supervised cluster."""
    monkeypatch.setattr(Conf, "WORKERS", workers)
    found = Broker()
    found.holder, found.lease = name, 150.0
    return found


def end_leases() -> None:
    """Time goes on until nobody holds a task any more."""
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))


@pytest.mark.parametrize("options", [{"func": "os.system"}, {"func": "processing.tasks.config.load"},
    {"func": "processing.tasks.async_task"}, {"func": "conductor.nothing.here"}, {"func": print},
    {"func": TASK, "hook": "os.system"}, {"func": "processing.tasks"}, {"func": ""}])  # fmt: skip
def test_what_is_no_task_of_ours_is_not_handed_out_and_is_noted_as_failed(options):
    async_task(options["func"], "echo no", hook=options.get("hook"))
    assert Broker().dequeue() is None
    assert not OrmQ.objects.exists()
    note = Task.objects.get()
    assert not note.success and note.hook is None and note.args is None
    assert "is not one of the tasks" in note.result


def test_what_a_task_module_imports_is_no_task():
    assert is_task(beat) and is_task("processing.tasks.beat")
    assert not is_task("processing.tasks.send")
    assert not is_task("processing.tasks._send")
    assert not is_task("tests.rows.test_queue.cluster")


def test_a_task_that_comes_past_the_broker_is_refused_before_it_runs(tmp_path):
    with pytest.raises(PermissionDenied, match=r"os\.mkdir"):
        async_task("os.mkdir", str(tmp_path / "made"), sync=True)
    assert not (tmp_path / "made").exists()


def test_attempts_are_counted_when_a_task_is_handed_out_and_end():
    async_task(TASK, task_name="poison")
    for attempt in (1, 2, 3):
        ((_, payload),) = Broker().dequeue()
        assert SignedPackage.loads(payload)["attempts"] == attempt
        assert Broker().dequeue() is None  # it is leased
        end_leases()
    assert Broker().dequeue() is None
    assert not OrmQ.objects.exists()
    note = Task.objects.get()
    assert (note.name, note.success, note.attempt_count) == ("poison", False, 3)
    assert note.result == "the process that ran it was lost 3 times"


@pytest.mark.parametrize(
    ("payload", "why"),
    [("nonsense", "another SECRET_KEY"), (SignedPackage.dumps({"func": 1}) + "x", "another SECRET_KEY")],
    ids=["nonsense", "signed and changed"],  # a signature holds the time, and no two processes would agree on a name
)
def test_a_payload_that_was_not_signed_here_is_noted_and_gone(payload, why):
    OrmQ.objects.create(key=Conf.CLUSTER_NAME, payload=payload, lock=Now())
    assert Broker().dequeue() is None
    assert why in Task.objects.get().result
    assert not OrmQ.objects.exists()


class Gone:
    """A class that a later version no longer has."""


def test_a_payload_that_names_what_is_gone_is_noted_and_the_next_task_goes_on(monkeypatch):
    async_task(TASK, Gone())
    async_task(TASK, task_name="good")
    monkeypatch.delattr("tests.rows.test_queue.Gone")
    assert Broker().dequeue() is None
    assert "cannot be read: AttributeError" in Task.objects.get().result
    ((_, payload),) = Broker().dequeue()
    assert SignedPackage.loads(payload)["name"] == "good"


def test_a_cluster_holds_no_more_tasks_than_it_has_workers_and_its_beat_goes_through(monkeypatch):
    broker = cluster("a", monkeypatch)
    for _ in range(3):
        async_task(TASK)
    assert broker.dequeue() and broker.dequeue()
    assert broker.dequeue() is None
    broker.beat()
    broker.beat()
    assert OrmQ.objects.filter(key="beat@a").count() == 1
    assert cluster("b", monkeypatch).dequeue()[0][0] == OrmQ.objects.filter(key__endswith="@b").get().pk
    ((pk, payload),) = broker.dequeue()
    assert SignedPackage.loads(payload)["func"] == "processing.tasks.beat"
    broker.acknowledge(pk)
    assert not OrmQ.objects.filter(key="beat@a").exists()


def test_what_a_dead_cluster_held_is_taken_by_another_when_its_lease_is_over(monkeypatch):
    async_task(TASK)
    ((pk, _),) = cluster("a", monkeypatch).dequeue()
    other = cluster("b", monkeypatch)
    assert other.dequeue() is None
    end_leases()
    assert other.dequeue()[0][0] == pk
    assert OrmQ.objects.get().key == "seechange@b"


def test_the_lease_of_a_task_that_runs_is_renewed_and_one_that_no_worker_began_is_handed_out_again(monkeypatch):
    broker = cluster("a", monkeypatch)
    async_task(TASK)
    async_task(TASK)
    (began, _), (lost, _) = broker.dequeue()[0], broker.dequeue()[0]
    end_leases()
    broker.renew([began])
    other = cluster("b", monkeypatch)
    assert other.dequeue()[0][0] == lost
    assert other.dequeue() is None


def test_a_task_that_is_given_back_is_free_after_the_pause_and_counted_only_where_it_was_begun(monkeypatch):
    broker = cluster("a", monkeypatch)
    async_task(TASK)
    ((pk, _),) = broker.dequeue()
    assert broker.release([pk], pause=60) == 1
    assert broker.dequeue() is None
    end_leases()
    ((_, payload),) = broker.dequeue()
    assert SignedPackage.loads(payload)["attempts"] == 2
    assert broker.release(uncounted=True) == 1
    ((_, payload),) = broker.dequeue()
    assert SignedPackage.loads(payload)["attempts"] == 2
    assert broker.release([]) == 0


def watched(workers: int, *running: Running) -> Group:
    """A group as its supervisor sees it, of no processes; nothing was done for 100 s."""
    found = Group.__new__(Group)
    found.workers, found.moved = workers, time.monotonic() - 100
    found.running = {str(number): task for number, task in enumerate(running)}
    return found


def test_a_cluster_stands_still_only_while_a_worker_of_it_is_free():
    alive, gone = Running(1, os.getpid()), Running(2, worker_that_died())
    through = Running(3, os.getpid(), ended=time.monotonic())
    assert watched(2, alive, Running(4, os.getpid())).still() < 50
    for free in (watched(2, alive), watched(2, alive, gone), watched(2, alive, through), watched(1)):
        assert free.still() >= 100


def worker_that_died() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


@pytest.fixture
def supervisor(monkeypatch) -> Supervisor:
    for name in ("holder", "lease"):
        monkeypatch.setattr(Broker, name, getattr(Broker, name))  # the supervisor sets them for its process
    return Supervisor(Limits(still=30.0, pause=60.0))


def test_a_supervisor_renews_the_lease_of_what_runs_and_sends_a_beat_while_a_worker_is_free(supervisor):
    async_task(TASK)
    ((row, _),) = supervisor.broker.dequeue()
    end_leases()
    running = Running(row, os.getpid())
    supervisor._keep(watched(1, running))
    assert (OrmQ.objects.get().lock - timezone.now()).total_seconds() > 100
    supervisor._keep(watched(2, running))
    assert OrmQ.objects.filter(key=supervisor.broker.beat_key).count() == 1


@pytest.mark.parametrize("lost", ["its worker", "its result"])
def test_a_task_that_lost_its_worker_or_its_result_is_counted_and_tried_again_after_the_pause(lost, supervisor):
    async_task(TASK)
    async_task(TASK)
    (row, _), (good, _) = supervisor.broker.dequeue()[0], supervisor.broker.dequeue()[0]
    long_ago = time.monotonic() - 31
    task = Running(row, worker_that_died()) if lost == "its worker" else Running(row, os.getpid(), ended=long_ago)
    group = watched(2, task, Running(good, os.getpid(), ended=long_ago + 10))
    supervisor._give_back_lost(group)
    given_back, kept = OrmQ.objects.get(pk=row), OrmQ.objects.get(pk=good)
    assert (given_back.key, given_back.task["attempts"]) == ("seechange", 1)
    assert 50 < (given_back.lock - timezone.now()).total_seconds() <= 60
    assert kept.key == supervisor.broker.held and list(group.running) == ["1"]


@pytest.mark.parametrize("name", ["WORKERS", "TIMEOUT"])
def test_a_cluster_that_could_do_nothing_is_refused(name, monkeypatch):
    monkeypatch.setattr(Conf, name, -1)
    with pytest.raises(CommandError, match=f"QUEUE_{name}"):
        call_command("cluster")


def test_a_schedule_has_one_waiting_task_and_goes_before_the_others(settings):
    async_task(TASK, task_name="long")
    for _ in range(3):
        async_task(TASK, group="alerts", task_name="short")
    assert OrmQ.objects.count() == 2
    names = [SignedPackage.loads(Broker().dequeue()[0][1])["name"] for _ in range(2)]
    assert names == ["short", "long"]


def test_a_task_of_a_schedule_that_is_given_back_is_still_the_one_that_waits(monkeypatch):
    broker = cluster("a", monkeypatch)
    async_task(TASK, group="alerts")
    assert broker.dequeue() and broker.release(uncounted=True) == 1
    async_task(TASK, group="alerts")
    assert OrmQ.objects.get().key == "seechange:alerts"


def test_the_schedules_are_those_of_the_settings_whatever_the_table_held(settings):
    Schedule.objects.create(name="evil", func="os.system", next_run=timezone.now())
    Schedule.objects.filter(name="alerts").update(func="os.system", hook="os.system")
    for _ in range(2):
        keep_schedules()
    rows = {row.name: (row.func, row.hook, row.minutes) for row in Schedule.objects.all()}
    assert rows == {name: (function, None, minutes) for name, (function, minutes) in settings.QUEUE_SCHEDULES.items()}
    assert all(is_task(row.func) for row in Schedule.objects.all())
