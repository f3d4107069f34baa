"""Keeps a cluster of django-q at work: what hangs or dies is killed as a whole and replaced.

A worker that is killed while it waits takes the lock of the queue with it, and a monitor the lock of the results: the
cluster lives on, does nothing for ever, and cannot be stopped. That shows from outside only: a beat, a task that does
nothing, goes all the way through, and if none comes back although a worker is free, the cluster is replaced.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import time
from dataclasses import dataclass
from types import FrameType

from django import db
from django_q.conf import Conf

from processing.queue.broker import Broker, note
from processing.queue.group import Group
from processing.queue.serving import SET_SUBREAPER, control

log = logging.getLogger(__name__)
LEASE = 150.0  # seconds after which others take what a killed supervisor held
TICK = 0.5
PAUSES = (1.0, 5.0, 30.0)  # seconds before the next start of a cluster that does not live


@dataclass(frozen=True)
class Limits:
    """Seconds."""

    still: float = 150.0  # without a task done, while a worker is free
    stop: float = 60.0  # that running tasks have left after SIGTERM
    pause: float = 60.0  # until a task whose worker was lost is handed out again


class Supervisor:
    """Runs clusters, one after the other, until it is told to stop."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.broker = Broker()
        Broker.holder = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        Broker.lease = LEASE
        self.asked = 0  # how often to stop

    def run(self) -> None:
        """Until SIGTERM or SIGINT; a second one stops without waiting for running tasks."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        control(SET_SUBREAPER, 1)  # orphans come to this process, which sees their end
        short_lives = 0
        while not self.asked:
            group = Group(Broker.holder, workers=Conf.WORKERS, lease=LEASE)
            try:
                reason = self._watch(group)
            finally:
                group.end()
            self._after(group, reason)
            if reason:
                short_lives = short_lives + 1 if time.monotonic() - group.started < 30 else 0
                self._rest(PAUSES[min(short_lives, len(PAUSES) - 1)])

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1

    def _rest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.asked and time.monotonic() < deadline:
            time.sleep(TICK)

    def _watch(self, group: Group) -> str:
        """Why the cluster must be replaced; empty where it was stopped."""
        log.info("cluster %s of %d workers started", Broker.holder, group.workers)
        due = 0.0
        while not self.asked:
            group.hear(TICK)
            if not group.main.is_alive():
                return f"it ended by itself with exit status {group.main.exitcode}"
            if time.monotonic() >= due:
                self._keep(group)
                due = time.monotonic() + min(LEASE, self.limits.still) / 5
            self._give_back_lost(group)
            if (still := group.still()) > self.limits.still:
                return f"no task was done for {still:.0f} s although a worker was free"
        self._stop(group)
        return ""

    def _keep(self, group: Group) -> None:
        """Renew the leases, and send a beat where nothing else shows that the cluster works."""
        try:
            self.broker.renew([task.row for task in group.running.values()])
            if group.still() > self.limits.still / 4:
                self.broker.beat()
        except db.Error as error:
            log.warning("the database cannot be used: %s", str(error).strip())
            group.moved = time.monotonic()  # that the cluster does nothing now is not its fault
            db.connections.close_all()

    def _give_back_lost(self, group: Group) -> None:
        """Tasks whose worker died over them, or whose result was lost on its way, are tried again."""
        now = time.monotonic()
        lost = {
            key: task.row
            for key, task in group.running.items()
            if task.is_lost or (task.ended and now - task.ended > self.limits.still)
        }
        if not lost:
            return
        try:
            count = self.broker.release(lost.values(), pause=self.limits.pause)
        except db.Error as error:
            log.warning("lost tasks are given back later: %s", str(error).strip())
            return
        for key in lost:
            del group.running[key]
        log.warning("%d tasks lost the process that ran them; the next attempt is in %g s", count, self.limits.pause)

    def _stop(self, group: Group) -> None:
        log.info("stopping: running tasks have %g s", self.limits.stop)
        group.main.terminate()
        deadline = time.monotonic() + min(self.limits.stop, LEASE)
        while group.main.is_alive() and time.monotonic() < deadline and self.asked < 2:
            group.hear(TICK)

    def _after(self, group: Group, reason: str) -> None:
        """What the dead cluster held is free again: at once, and not counted where it was not begun or told to stop."""
        if reason:
            log.critical("the cluster is replaced: %s", reason)
        begun = [task.row for task in group.running.values()] if reason else []
        try:
            db.close_old_connections()
            count = self.broker.release(begun) + self.broker.release(uncounted=True)
            self.broker.forget_beats()
            if reason:
                task = {"name": f"cluster on {socket.gethostname()}"[:100], "func": "manage.py cluster"}
                note(task, f"replaced: {reason}; {count} tasks were given back")
        except db.Error as error:
            log.warning("what the cluster held is free in %g s at the latest: %s", LEASE, str(error).strip())
            db.connections.close_all()
        if not reason:
            log.info("stopped; %d tasks were given back", count)
