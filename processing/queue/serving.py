"""The processes of one cluster: each dies with the one that started it, and tells the supervisor what it does."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
if not apps.ready and not apps.loading:
    django.setup()

SET_DEATH_SIGNAL, SET_SUBREAPER = 1, 36  # numbers of Linux's prctl
_pipe: Connection | None = None
_parent = 0


def serve(pipe: Connection, holder: str, lease: float) -> None:
    """Run a cluster of django-q in a process group of its own until SIGTERM; for a process that was spawned."""
    global _pipe
    from django_q import signals
    from django_q.cluster import Cluster

    from processing.queue.broker import Broker

    os.setsid()
    _pipe = pipe
    _remember_parent(multiprocessing.parent_process().pid)
    _die_with_parent()
    os.register_at_fork(before=_remember_parent, after_in_child=_die_with_parent)
    Broker.holder, Broker.lease = holder, lease
    signals.pre_execute.connect(_began)
    signals.post_execute_in_worker.connect(_ended)
    signals.post_execute.connect(_done)
    cluster = Cluster()
    cluster.start()
    cluster.sentinel.join()


def control(what: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(what, value, 0, 0, 0)


def _remember_parent(pid: int = 0) -> None:
    global _parent
    _parent = pid or os.getpid()


def _die_with_parent() -> None:
    control(SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != _parent:  # it died before it was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def _began(sender: Any, task: Mapping[str, Any], **other: Any) -> None:
    _tell("began", task["id"], task["ack_id"], os.getpid())


def _ended(sender: Any, task: Mapping[str, Any], **other: Any) -> None:
    _tell("ended", task["id"])


def _done(sender: Any, task: Mapping[str, Any], **other: Any) -> None:
    """Saved and taken out of the queue. django-q counts how often it ended; here it is how often it was begun."""
    from django_q.models import Task

    if task.get("attempts", 1) > 1:
        Task.objects.filter(pk=task["id"]).update(attempt_count=task["attempts"])
    _tell("done", task["id"])


def _tell(*words: object) -> None:
    """One short line: it is written whole or not at all, whoever else writes."""
    with contextlib.suppress(OSError):  # without a supervisor this process is about to be killed
        _pipe.send_bytes(" ".join(map(str, words)).encode())
