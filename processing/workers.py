"""One child process a CCD: a child that dies fails alone, and none outlives its parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from types import FrameType
from typing import Any

import django
from django.apps import apps

from products.interrupts import forget_connection, interrupt

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
if not apps.ready and not apps.loading:
    django.setup()

PRELOADED = [  # once, in the process that the children are forked from: they need not load it again
    "processing.workers",
    "processing.exposures",
    "processing.pipelines",
    "processing.algorithms.calibration_kernels",
    "processing.algorithms.cosmic_ray_kernels",
    "processing.algorithms.mask_kernels",
    "processing.algorithms.pixel_loops",
    "processing.algorithms.psf_kernels",
    "processing.algorithms.readout_kernels",
    "processing.algorithms.score_kernels",
    "processing.algorithms.stacking_kernels",
    "processing.algorithms.star_kernels",
    "processing.algorithms.trail_kernels",
    "processing.algorithms.tree_kernels",
    "processing.warm",
]
GRACE = 20.0  # seconds that a child has to stop when it is told to


@dataclass(frozen=True)
class _Child:
    index: int  # of its job
    job: Any
    report_id: uuid.UUID
    process: ForkServerProcess


def run_jobs(jobs: Sequence[Any], *, numprocs: int, progress: Callable[[Any, str], None] | None = None) -> list[Any]:
    """Work off `jobs` (exposure, section, settings) with at most `numprocs` children; their reports in order.

    Whatever ends this function early, KeyboardInterrupt included, stops the children first.
    """
    from django.db import connections

    connections.close_all()  # a connection must not be shared with a child
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    waiting, running, reports = deque(enumerate(jobs)), {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < max(1, numprocs):
                _start(context, *waiting.popleft(), running)
            for pipe in wait(list(running)):
                child, step = running[pipe], _receive(pipe)
                if step is None:
                    child.process.join()
                    reports[child.index] = _report(child)
                    del running[pipe]
                if progress:
                    progress(child.job, step or "")
    finally:
        _stop(list(running.values()))
    return [reports[index] for index in range(len(jobs))]


def _start(context: Any, index: int, job: Any, running: dict[Connection, _Child]) -> None:
    from products.ids import uuid7

    ours, theirs = context.Pipe(duplex=False)
    exposure, section, settings = job
    report_id = uuid7()
    process = context.Process(
        target=_work, args=(theirs, exposure.pk, section, settings, report_id), name=f"{exposure} {section}"
    )
    process.start()
    theirs.close()
    running[ours] = _Child(index, job, report_id, process)


def _receive(pipe: Connection) -> str | None:
    """The step that a child has ended; None when the child has ended."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        pipe.close()
        return None


def _report(child: _Child) -> Any:
    from processing.exposures import closed_report
    from processing.reporting import patiently

    exposure, section, _ = child.job
    return patiently(lambda: closed_report(exposure, section, child.report_id, child.process.exitcode))


def _stop(children: Sequence[_Child]) -> None:
    """Tell children to stop, kill those that do not, and close the reports that they left open."""
    if children:
        forget_connection()
    for child in children:
        child.process.terminate()
    deadline = time.monotonic() + GRACE
    for child in children:
        child.process.join(max(0.0, deadline - time.monotonic()))
        if child.process.is_alive():
            child.process.kill()
            child.process.join()
    for child in children:
        _report(child)


def _work(pipe: Connection, exposure_id: Any, section: str, settings: Any, report_id: uuid.UUID) -> None:
    from processing.allowance import keep_within_allowance
    from processing.exposures import process_section
    from products.models import Exposure

    def tell(step: str) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more: the thread below ends this process
            pipe.send(step)

    keep_within_allowance()
    _interruptible()
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        exposure = Exposure.objects.get(pk=exposure_id)
        process_section(exposure, section, settings, progress=tell, report_id=report_id)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:  # what ends by itself needs no telling
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


def _interruptible() -> None:
    """SIGTERM gives up what is half done and closes the report: one KeyboardInterrupt, however often it is sent.

    A terminal's SIGINT goes to the whole group; the parent gets it too and tells its children.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, interrupt)
    sys.unraisablehook = _not_swallowed


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    interrupt(number, frame)


def _not_swallowed(ignored: Any) -> None:
    """An interrupt that came while a compiled library called back into Python is lost there; it comes again."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
    elif signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:  # later ones are of objects that it left half made
        sys.__unraisablehook__(ignored)


def end_with_parent() -> None:
    """Wait until the parent is gone, and go too."""
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
