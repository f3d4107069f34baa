"""What happened to a CCD: time, memory, counts, warnings and errors of each step, in one row."""

from __future__ import annotations

import contextlib
import logging
import math
import platform
import resource
import sys
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.utils import timezone

from processing.errors import DatabaseLost, Interrupted
from products.ids import uuid7
from products.interrupts import forget_connection, held_back
from products.models import Exposure, Report

log = logging.getLogger(__name__)
T = TypeVar("T")
LOST = (OperationalError, InterfaceError)  # what Django raises when the database went away, or is full, or stays locked
PAUSES = (0.3, 1.0, 3.0, 10.0)  # seconds between tries to reach a database that went away
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory_mb(*, reset: bool = False) -> float:
    """Peak resident memory of this process in MB since the last reset (since its start where Linux is not)."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) / 1024
                if reset:
                    _CLEAR.write_text("5")
                return peak
    except OSError:
        pass
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def patiently(action: Callable[[], T]) -> T:
    """What `action` returns; a database that went away is waited for, and a broken connection is made again."""
    for pause in PAUSES:
        try:
            return action()
        except LOST:
            if connection.in_atomic_block:
                raise
            connection.close()
            time.sleep(pause)
    return action()


def renew_connection() -> None:
    """Let go of a connection that broke while nothing was asked of it; the next query makes another."""
    if not connection.in_atomic_block:
        close_old_connections()


class Reporter:
    """Writes the Report of one attempt as it goes, so that a killed process leaves its last step behind."""

    def __init__(
        self,
        exposure: Exposure | None,
        section: str,
        *,
        tag: str = "",
        cluster: str = "",
        report_id: uuid.UUID | None = None,
    ) -> None:
        attempt = 1
        if exposure:
            earlier = Report.objects.filter(exposure=exposure, section=section)
            attempt += max(earlier.values_list("attempt", flat=True), default=0)
            # One that is running after all, in another place, says so again when its next step ends.
            earlier.filter(state=Report.State.RUNNING).update(
                state=Report.State.FAILED,
                error_type="Abandoned",
                error_message=f"its end was not recorded; attempt {attempt} began",
            )
        self.row = Report.objects.create(
            pk=report_id or uuid7(),
            exposure=exposure,
            section=section,
            tag=tag,
            cluster=cluster,
            node=platform.node()[:100],
            attempt=attempt,
        )

    @classmethod
    def of(cls, row: Report) -> Reporter:
        """Goes on with a report that another process began."""
        reporter = cls.__new__(cls)
        reporter.row = row
        return reporter

    def begin(self, steps: Sequence[str], provenances: Mapping[str, str]) -> None:
        """Note the steps that are to be run, in order, and their provenance ids."""
        self.row.plan, self.row.provenances = list(steps), dict(provenances)
        self._save()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Time one step; the entry that it yields takes `made`, `counts` and `warnings`."""
        entry: dict[str, Any] = {"name": name, "made": True, "counts": {}, "warnings": []}
        renew_connection()
        peak_memory_mb(reset=True)
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("default")
                yield entry
        except BaseException as error:
            self.row.error_step = name
            self._note(error)
            raise
        finally:
            entry["seconds"] = round(time.perf_counter() - wall, 3)
            entry["cpu_seconds"] = round(time.process_time() - cpu, 3)
            entry["peak_mb"] = round(peak_memory_mb(), 1)
            entry["counts"] = {key: _plain(value) for key, value in entry["counts"].items()}
            entry["warnings"] = [
                *dict.fromkeys([*entry["warnings"], *(_text(f"{w.category.__name__}: {w.message}") for w in caught)])
            ]
            self.row.steps.append(entry)
            self._save()

    def forgive(self, error: BaseException, what: str) -> None:
        """Let an attempt go on after a step that it can do without: its error becomes a warning of that step."""
        row = self.row
        if row.steps:
            row.steps[-1]["warnings"].append(_text(f"{what}: {type(error).__name__}: {error}"))
        row.error_step = row.error_type = row.error_message = row.traceback = ""
        row.error_details = {}
        self._save()

    def _next_step(self) -> str:
        plan = self.row.plan
        return next((name for name in plan if name not in self.row.reached), "sending" if plan else "")

    def _note(self, error: BaseException) -> None:
        error = expected(error)
        if isinstance(error, Interrupted):
            forget_connection()
        self.row.error_type = type(error).__name__
        self.row.error_message = _text(error)
        details = getattr(error, "details", None)
        self.row.error_details = {key: _plain(value) for key, value in details.items()} if details else {}
        if details is None:
            self.row.traceback = _text("".join(traceback.format_exception(error)))

    def _save(self) -> None:
        def save() -> None:
            with held_back(), transaction.atomic():
                self.row.save()

        try:
            patiently(save)
        except DatabaseError:
            log.exception("the report of %s %s could not be written", self.row.exposure, self.row.section)

    def finish(self, error: BaseException | None = None) -> Report:
        """Close the report as done or failed."""
        if error is not None and not self.row.error_type:
            self.row.error_step = self._next_step()  # it came before that step began
            self._note(error)
        self.row.state = Report.State.FAILED if error else Report.State.DONE
        self.row.finished_at = timezone.now()
        self._save()
        return self.row


def expected(error: BaseException) -> BaseException:
    """An interruption, or the loss of the database, as the typed error that says so; any other error as it is.

    An interrupt that met compiled code comes out of it as an error of another type, which it is the cause of.
    """
    link: BaseException | None = error
    while link is not None:
        if not isinstance(link, Exception):
            return Interrupted()
        link = link.__cause__ or link.__context__
    if isinstance(error, LOST):
        return DatabaseLost(reason=" ".join(str(error).split()))
    return error


def _plain(value: Any) -> Any:
    """A value for JSON, which has no NaN; PostgreSQL's has no NUL either."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (int, float, bool, type(None))) else _text(value)


def _text(value: Any) -> str:
    return str(value).replace("\0", "\N{REPLACEMENT CHARACTER}")
