"""The page of the queue shows what waits, runs and failed, changes nothing, and runs nothing that it reads."""

from __future__ import annotations

import base64
import pickle
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from processing.queue.broker import Broker, note
from processing.queue.reading import plain_text

pytestmark = pytest.mark.django_db
PAGE = "/conductor/queue/"
TASK = "processing.tasks.send_alerts"


@pytest.fixture
def viewer(client):
    person = User.objects.create_user("viewer")
    person.user_permissions.add(Permission.objects.get(codename="view_knownexposure"))
    client.force_login(person)
    return client


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def task(name: str, *, success: bool = True, **columns) -> Task:
    now = timezone.now()
    return Task.objects.create(
        id=f"{Task.objects.count():032}", name=name, func=TASK, started=now - timedelta(seconds=3), stopped=now,
        success=success, **columns,
    )  # fmt: skip


def test_strangers_log_in_and_people_without_the_permission_are_refused(client):
    assert client.get(PAGE).status_code == 302
    client.force_login(User.objects.create_user("nobody"))
    assert client.get(PAGE).status_code == 403


def test_it_says_what_waits_runs_and_pauses(viewer, monkeypatch):
    broker = Broker()
    broker.holder = "node7:4711:abcd"
    async_task(TASK, task_name="first")
    broker.dequeue()
    async_task(TASK, task_name="second")
    async_task(TASK, task_name="third")
    OrmQ.objects.filter(pk=OrmQ.objects.latest("pk").pk).update(lock=timezone.now() + timedelta(seconds=60))
    broker.beat()
    page = viewer.get(PAGE)
    rows = [(row.name, row.state, row.attempts, row.holder) for row in page.context["waiting"]]
    assert rows == [
        ("first", "running", 1, "node7:4711"),
        ("second", "waiting", 0, ""),
        ("third", "later", 0, ""),
    ]
    text = page.content.decode()
    assert "1 running, 1 waiting, 1 after a pause" in text
    assert "Tasks wait, but no cluster of this machine works them off" in text


def test_a_failed_task_says_why_and_a_traceback_can_be_unfolded(viewer):
    note({"name": "poison", "func": TASK, "attempts": 3}, "the process that ran it was lost 3 times")
    task("bug", success=False, result="no star : Traceback (most recent call last):\n  File <x>")
    text = viewer.get(PAGE).content.decode()
    assert "the process that ran it was lost 3 times" in text
    assert "<summary>no star</summary>" in text
    assert "Traceback (most recent call last):" in text
    assert "File &lt;x&gt;" in text
    assert "2 failed, 0 done and kept" in text


def test_a_pickle_that_runs_code_is_not_read(viewer, tmp_path):
    evil = Evil(tmp_path / "run")
    row = task("trap", success=False, result="harmless", args=(), kwargs={})
    stored = base64.b64encode(pickle.dumps(evil)).decode()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_q_task SET args = %s, kwargs = %s, result = %s", [stored] * 3)
    OrmQ.objects.create(key="seechange", payload=stored, lock=timezone.now())
    page = viewer.get(PAGE)
    assert page.status_code == 200
    assert "(not a text, not shown)" in page.content.decode() and row.name in page.content.decode()
    assert [item.name for item in page.context["waiting"]] == ["unreadable"]
    assert not (tmp_path / "run").exists()
    assert pickle.loads(base64.b64decode(stored)) is None and (tmp_path / "run").exists()  # it would have


@pytest.mark.parametrize("stored", ["", "%%%", "gASV", base64.b64encode(pickle.dumps(3)).decode(), "x" * 300_000])
def test_whatever_a_result_holds_the_answer_is_a_text(stored):
    assert isinstance(plain_text(stored), str)


def test_it_is_filtered_by_name_and_state_and_turned_by_page(viewer):
    for number in range(30):
        task(f"night {number}", success=number % 3 > 0, result="x")
    assert len(viewer.get(PAGE).context["tasks"]) == 25
    assert len(viewer.get(PAGE, {"page": 2}).context["tasks"]) == 5
    assert len(viewer.get(PAGE, {"state": "failed", "size": 50}).context["tasks"]) == 10
    assert [item.name for item, *_ in viewer.get(PAGE, {"name": "night 29"}).context["tasks"]] == ["night 29"]
    assert viewer.get(PAGE, {"state": "nonsense", "name": "\0", "page": "x"}).status_code in (200, 400)


def test_the_number_of_queries_does_not_grow_and_arguments_are_not_asked_for(viewer):
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as asked:
            assert viewer.get(PAGE).status_code == 200
        return [query["sql"] for query in asked]

    task("one", success=False, result="x", args=(1,))
    async_task(TASK)
    viewer.get(PAGE)
    before = queries()
    for number in range(5):
        task(f"more {number}", success=False, result="x", args=(1,))
        async_task(TASK)
    after = queries()
    assert len(after) == len(before)
    asked = [sql for sql in after if '"django_q_task"' in sql]
    assert asked and not any(f'"{name}"' in sql for sql in asked for name in ("args", "kwargs"))


def test_nothing_can_be_posted(viewer):
    assert viewer.post(PAGE).status_code == 405
