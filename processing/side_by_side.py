"""Work off many independent jobs of one kind, in this process or side by side in several."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from processing.errors import Killed, StepError
from products.errors import ArchiveError

Outcome = tuple[int, Any]  # which job, and what came of it: a result, or an expected error


def work_off(function: Callable[..., Any], jobs: Sequence[tuple], numprocs: int) -> Iterator[Outcome]:
    """Each job as it ends: `function(*job)`, or the StepError or ArchiveError that it raised.

    With `numprocs` above 1 that many processes share the jobs, and `function` must be one of a module. Raises Killed
    where the system ends one of them; other errors go through. Whatever ends this early: jobs that run are waited for
    (a terminal's Ctrl-C reaches them too), others do not begin.
    """
    if numprocs <= 1 or len(jobs) <= 1:
        for index, job in enumerate(jobs):
            yield index, _tried(function, job)
        return
    from django.db import connections

    from processing.workers import PRELOADED

    connections.close_all()  # a connection must not be shared with a child
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, function.__module__])
    with ProcessPoolExecutor(min(numprocs, len(jobs)), mp_context=context, initializer=_begin) as pool:
        running = {pool.submit(_in_child, function, job): index for index, job in enumerate(jobs)}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BrokenProcessPool as error:
            reason = "a process was killed (often too little memory: use fewer --numprocs); what was finished is kept"
            raise Killed(reason=reason) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _tried(function: Callable[..., Any], job: tuple) -> Any:
    try:
        return function(*job)
    except (StepError, ArchiveError) as error:
        return error


_interrupted = threading.Event()  # in a child: the pool hands it one more job before it knows


def _in_child(function: Callable[..., Any], job: tuple) -> Any:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if _interrupted.is_set():
            raise KeyboardInterrupt
        return _tried(function, job)
    except KeyboardInterrupt:
        _interrupted.set()
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _begin() -> None:
    """A child ends with its parent, however that ended; between two jobs Ctrl-C is none of its business."""
    from processing.workers import end_with_parent

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
