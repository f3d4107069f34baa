"""The process group of a cluster as its supervisor sees it: what runs in it, whether it moves, and its end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass

from processing.queue.serving import serve
from processing.workers import GRACE


@dataclass
class Running:
    """A task that a worker began."""

    row: int
    worker: int
    ended: float = 0.0  # when the worker was through with it; its result is not yet saved

    @property
    def is_lost(self) -> bool:
        """Whether its worker died over it."""
        return not self.ended and not is_alive(self.worker)


class Group:
    """A cluster of django-q that was started just now."""

    def __init__(self, holder: str, *, workers: int, lease: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe(duplex=False)
        self.main = context.Process(target=serve, args=(theirs, holder, lease), name="cluster")
        self.main.start()
        theirs.close()
        self.workers = workers
        self.running: dict[str, Running] = {}
        self.moved = self.started = time.monotonic()

    def hear(self, seconds: float) -> None:
        """Take in what the processes tell, for so long."""
        deadline = time.monotonic() + seconds
        while self.pipe.poll(max(0.0, deadline - time.monotonic())):
            try:
                self._take(*self.pipe.recv_bytes().decode().split())
            except EOFError:  # nobody lives who could write
                time.sleep(max(0.0, deadline - time.monotonic()))
                return

    def _take(self, what: str, task: str, *more: str) -> None:
        if what == "began":
            self.running[task] = Running(*map(int, more))
        elif what == "ended" and task in self.running:
            self.running[task].ended = time.monotonic()
        elif what == "done":
            self.running.pop(task, None)
            self.moved = time.monotonic()

    def still(self) -> float:
        """Seconds in which no task was done although a worker was free to do one."""
        busy = sum(not task.ended and is_alive(task.worker) for task in self.running.values())
        if busy >= self.workers:
            self.moved = time.monotonic()
        return time.monotonic() - self.moved

    def end(self) -> None:
        """Kill every process. Those of CCDs, which see that their parent is gone, have time to close their reports."""
        self.main.kill()
        self.main.join()
        if sys.platform == "linux":  # the others die with it
            self._wait(GRACE + 5)
        self._signal(signal.SIGKILL)
        self._wait(5)
        self.hear(0)
        self.pipe.close()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):  # orphans of the group are children of the supervisor
                while os.waitpid(-self.main.pid, os.WNOHANG)[0]:
                    pass
            if not self._signal(0):
                return
            time.sleep(0.05)

    def _signal(self, number: int) -> bool:
        """Send a signal to the group; False where nobody is left."""
        try:
            os.killpg(self.main.pid, number)
        except ProcessLookupError:
            return False
        return True


def is_alive(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
