"""The queue to look at: what waits, runs and ended, and which clusters live.

Whoever may write the tables of the queue could have any code run that reads their pickles. So payloads are read only
where their signature is ours, results only where they are plain text, and arguments never.
"""

from __future__ import annotations

import base64
import datetime
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, CharField, Count, F, IntegerField, Min, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Now
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.status import Stat
from django_q.utils import get_func_repr

PICKLED = ("args", "kwargs", "result")
LONGEST = 200_000  # characters of a pickle that are read
RUNNING, LATER, WAITING = "running", "later", "waiting"


@dataclass(frozen=True)
class Waiting:
    """A task in the queue."""

    name: str
    function: str
    state: str  # running, waiting, or later: the pause after a lost attempt
    since: datetime.datetime | None  # when it was put in
    until: datetime.datetime | None  # when its lease or its pause ends
    attempts: int
    holder: str  # machine and process of the cluster that has it


def in_queue() -> QuerySet[OrmQ]:
    """What is in the queue but for beats: what runs first, then in the order in which it will be handed out."""
    states = (
        When(key__contains="@", lock__gt=Now(), then=Value(RUNNING)),
        When(lock__gt=Now(), then=Value(LATER)),
    )
    state = Case(*states, default=Value(WAITING), output_field=CharField())
    rank = Case(When(state=RUNNING, then=0), When(state=WAITING, then=1), default=2, output_field=IntegerField())
    return (
        OrmQ.objects.exclude(key__startswith="beat@").annotate(state=state).annotate(rank=rank).order_by("rank", "pk")
    )


def described(rows: Sequence[OrmQ]) -> list[Waiting]:
    """Rows of `in_queue` as pages show them."""
    return [_described(row) for row in rows]


def _described(row: OrmQ) -> Waiting:
    task = row.task  # read after its signature was checked; else it says what is wrong
    holder = row.key.partition("@")[2].rpartition(":")[0] if row.state == RUNNING else ""
    return Waiting(
        name=str(task.get("group") or task.get("name") or "unreadable"),
        function=str(get_func_repr(task.get("func")) or ""),
        state=row.state,
        since=task.get("started"),
        until=None if row.state == WAITING else row.lock,
        attempts=task.get("attempts", 0),
        holder=holder,
    )


def numbers() -> dict[str, Any]:
    """How many tasks wait, run and ended, and how long the oldest has waited for a worker."""
    queue = in_queue().aggregate(
        running=Count("pk", filter=Q(state=RUNNING)),
        waiting=Count("pk", filter=Q(state=WAITING)),
        later=Count("pk", filter=Q(state=LATER)),
        first=Min("lock", filter=Q(state=WAITING)),
    )
    ended = Task.objects.aggregate(
        done=Count("pk", filter=Q(success=True)), failed=Count("pk", filter=Q(success=False))
    )
    first = queue.pop("first")
    return queue | ended | {"oldest": timezone.now() - first if first else None}


def ended() -> QuerySet[Task]:
    """Tasks that ended, latest first, without their pickles."""
    return Task.objects.defer(*PICKLED).order_by("-stopped", "pk")


def reasons(tasks: Sequence[Task]) -> dict[str, str]:
    """Id → why it failed, of those that did; nothing is read that could be more than text."""
    failed = [task.pk for task in tasks if not task.success]
    stored = Task.objects.filter(pk__in=failed).annotate(stored=Cast(F("result"), TextField()))
    return {pk: plain_text(text) for pk, text in stored.values_list("pk", "stored")}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it is not plain: {module}.{name}")


def plain_text(stored: str | None) -> str:
    """The text that a column of pickles holds; a note where it holds something else."""
    if not stored:
        return ""
    if len(stored) > LONGEST:
        return "(a long result, not shown)"
    try:
        found = _Plain(io.BytesIO(base64.b64decode(stored))).load()
    except Exception:  # a pickle can be broken in any way
        found = None
    return found if isinstance(found, str) else "(not a text, not shown)"


def clusters() -> list[Stat]:
    """The clusters that told the cache in the last seconds that they live, those of this machine's data folder."""
    return sorted(Stat.get_all(), key=lambda stat: (stat.host, stat.pid))
