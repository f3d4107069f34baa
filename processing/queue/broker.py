"""Hands tasks out: one at a time, under a lease, and not more often than the number of attempts.

django-q counts the attempts of a task when it ends, so that one that kills its worker runs for ever; here they are
counted when it is handed out, in its signed payload. The column `key` says who holds a task:

    NAME            free
    NAME:SCHEDULE   free, made by a schedule, which has one waiting task at most
    NAME@HOLDER     handed out to the cluster HOLDER, until its `lock` is over
    beat@HOLDER     shows that the cluster HOLDER works
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import timedelta
from time import sleep
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.signing import BadSignature, SignedPackage
from django_q.tasks import async_task

from processing.queue.allowed import refusal


class Broker(ORM):
    """The queue in the database, on SQLite and PostgreSQL."""

    holder = ""  # of what this process hands out, where a supervisor renews the leases
    lease = float(Conf.RETRY)  # seconds

    def enqueue(self, task: str) -> int:
        """Put a signed task in; one of a schedule only where none of it waits."""
        group = SignedPackage.loads(task).get("group")
        rows, key = self.get_connection(), self._free_key(group)
        if key != self.list_key and (waiting := rows.filter(key=key).first()):
            return waiting.pk
        return rows.create(key=key, payload=task, lock=Now()).pk

    def _free_key(self, group: str | None) -> str:
        return f"{self.list_key}:{group}" if group in settings.QUEUE_SCHEDULES else self.list_key

    def dequeue(self) -> list[tuple[int, str]] | None:
        """The next task that is due, counted and leased: short ones of schedules first, then the oldest."""
        if self._due().exists():
            with transaction.atomic(using=Conf.ORM):
                short = When(key__startswith=f"{self.list_key}:", then=Value(0))
                order = Case(short, default=Value(1), output_field=IntegerField())
                row = self._due().select_for_update(skip_locked=True).order_by(order, "pk").first()
                if row:
                    return self._hand_out(row)
        sleep(Conf.POLL)
        return None

    def _due(self) -> QuerySet[OrmQ]:
        """What may be handed out: no more than there are workers for, so that nothing waits in a cluster's hand."""
        rows = self.get_connection()
        due = Q(key=self.list_key) | Q(key__startswith=f"{self.list_key}:") | Q(key__startswith=f"{self.list_key}@")
        if self.holder:
            busy = rows.filter(key=self.held, lock__gt=Now()).count()
            due = Q(key=self.beat_key) | (due if busy < Conf.WORKERS else Q(pk__in=[]))
        return rows.filter(due, lock__lte=Now())

    def _hand_out(self, row: OrmQ) -> list[tuple[int, str]] | None:
        try:
            task = SignedPackage.loads(row.payload)
            reason = refusal(task)
        except BadSignature:
            return self._refuse(row, {}, "it was signed with another SECRET_KEY; put it in again")
        except Exception as error:  # whatever a pickle of what is gone raises, or the import of a broken module
            return self._refuse(row, {}, f"it cannot be read: {type(error).__name__}: {error}")
        before = task.get("attempts", 0)
        if reason:
            return self._refuse(row, {**task, "args": None, "kwargs": None}, reason)
        if before >= Conf.MAX_ATTEMPTS:
            return self._refuse(row, task, f"the process that ran it was lost {before} times")
        row.payload = SignedPackage.dumps({**task, "attempts": before + 1})
        row.lock = Now() + timedelta(seconds=self.lease)
        if self.holder and row.key != self.beat_key:
            row.key = self.held
        row.save(update_fields=["key", "payload", "lock"], using=Conf.ORM)
        return [(row.pk, row.payload)]

    def _refuse(self, row: OrmQ, task: Mapping[str, Any], reason: str) -> None:
        """Note that a task failed without having been run to its end, and take it out."""
        note(task, reason)
        row.delete(using=Conf.ORM)

    @property
    def held(self) -> str:
        """The key of the tasks that this cluster holds."""
        return f"{self.list_key}@{self.holder}"

    @property
    def beat_key(self) -> str:
        """The key of the beat of this cluster."""
        return f"beat@{self.holder}"

    def beat(self) -> None:
        """Put a task that does nothing in, for this cluster only, unless there is one."""
        if not self.get_connection().filter(key=self.beat_key).exists():
            async_task("processing.tasks.beat", task_name="beat", save=False, cluster=self.beat_key)

    def renew(self, begun: Collection[int]) -> None:
        """The leases of tasks that run begin anew; one that no worker begins is free again when its lease ends."""
        rows = self.get_connection().filter(key=self.held, pk__in=begun)
        rows.update(lock=Now() + timedelta(seconds=self.lease))

    def release(self, only: Collection[int] | None = None, *, pause: float = 0.0, uncounted: bool = False) -> int:
        """Give tasks of this cluster back, all of them or some rows: how many. They are free after `pause` seconds."""
        free = Now() + timedelta(seconds=pause) if pause else Now()  # on SQLite a sum is later than its own Now()
        with transaction.atomic(using=Conf.ORM):
            rows = self.get_connection().select_for_update().filter(key=self.held)
            found = list(rows if only is None else rows.filter(pk__in=only))
            for row in found:
                task = SignedPackage.loads(row.payload)
                if uncounted:
                    row.payload = SignedPackage.dumps({**task, "attempts": task["attempts"] - 1})
                row.key, row.lock = self._free_key(task.get("group")), free
                row.save(update_fields=["key", "payload", "lock"], using=Conf.ORM)
        return len(found)

    def forget_beats(self) -> None:
        """Take out the beats of this cluster, and those that a killed one left a day ago."""
        old = Q(key__startswith="beat@", lock__lt=Now() - timedelta(days=1))
        self.get_connection().filter(Q(key=self.beat_key) | old).delete()


def note(task: Mapping[str, Any], reason: str) -> None:
    """A failed task that never came to its own end, among those that did."""
    now = timezone.now()
    row = {
        "name": task.get("name") or "a task",
        "func": str(task.get("func") or ""),
        "args": task.get("args"),
        "kwargs": task.get("kwargs"),
        "group": task.get("group"),
        "started": task.get("started", now),
        "stopped": now,
        "result": reason,
        "success": False,
        "attempt_count": task.get("attempts", 0),
    }
    Task.objects.using(Conf.ORM).update_or_create(pk=task.get("id") or uuid.uuid4().hex, defaults=row)
