"""Claims exposures, brings them through the pipeline, and says what became of them, until there is a reason to end."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import signal
import time
import tomllib
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from conductor.client import FIRST_PAUSE, Client, ClientError, Conflict, Gone, Lost, NotAllowed, Refused, Unreachable
from conductor.holding import Claim
from processing.admission.quarantine import put_away
from processing.errors import BadExposureFile, Interrupted, is_passing
from processing.exposures import RunSettings, ingest, process_exposure, sections_of
from processing.instruments.base import Instrument
from processing.reporting import expected
from products.errors import ArchiveError
from products.models import Exposure, Report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a launcher is to do, and when it ends."""

    cluster: str
    node: str = ""
    numprocs: int = 1  # processes, one a CCD
    instrument: str = ""  # empty: any
    through_step: str = ""
    sections: tuple[str, ...] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict)
    assignments: tuple[str, ...] = ()
    once: bool = False  # end where nothing waits
    max_exposures: int | None = None
    max_run_time: float | None = None  # seconds after which nothing is claimed any more
    interval: float = 30.0  # seconds between two questions while nothing waits
    lease: float = 120.0
    min_free_gb: float = 2.0  # of the data folder; below, nothing is claimed


class Launcher:
    """One launcher; `outcome` counts the states that its exposures came to."""

    def __init__(self, client: Client, plan: Plan, say: Callable[[str], None]) -> None:
        self.client = client
        self.plan = plan
        self.outcome: Counter[str] = Counter()
        self._say = say
        self._said = ""  # why it rests, said once
        self._started = time.monotonic()
        self._stopping = False
        self._is_asking = False

    def run(self) -> None:
        """Until the plan says so, or SIGTERM or SIGINT: what is at work then is stopped cleanly and given back."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        worker = None
        try:
            worker = self._register()
            self._loop()
        except KeyboardInterrupt:
            self._say("stopped")
        finally:
            self._stopping = True  # a further signal does not disturb
            if worker:
                with contextlib.suppress(ClientError):
                    self.client.delete(f"workers/{worker}/", patience=3)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        """Once, and not while an answer to a claim is on its way: what it hands out could not be given back."""
        if not self._stopping:
            self._stopping = True
            if not self._is_asking:
                raise KeyboardInterrupt

    def _register(self) -> int:
        about = {"cluster": self.plan.cluster, "node": self.plan.node, "process_id": os.getpid(), "version": version()}
        while True:
            try:
                return int(self.client.post("workers/", **about)["id"])
            except Unreachable as error:
                if self.plan.once:
                    raise
                self._rest(str(error))

    def _loop(self) -> None:
        token, tries = uuid.uuid4(), 0
        while not self._is_over():
            if full := self._full_disk():
                self._rest(full)
                continue
            try:
                answer = self._ask(token)
            except Unreachable as error:  # asked again with the same token: what was handed out meanwhile is not lost
                tries += 1
                if self.plan.once and tries > 8:
                    raise
                self._rest(str(error), min(self.plan.interval, FIRST_PAUSE * 2**tries))
                continue
            except Conflict:  # the token was used, and that claim is over
                token = uuid.uuid4()
                continue
            tries = 0
            if answer["known_exposure"] is None:
                if self.plan.once:
                    self._say(f"{answer['reason']}; nothing more to do")
                    return
                self._rest(f"{answer['reason']}; asking again every {self.plan.interval:g} s")
            else:
                self._said = ""
                self._work(Claim(self.client, answer, token, self.plan.lease, self._say))
                token = uuid.uuid4()

    def _is_over(self) -> bool:
        """Whether the plan is fulfilled."""
        plan = self.plan
        if plan.max_exposures is not None and self.outcome.total() >= plan.max_exposures:
            self._say(f"{plan.max_exposures} exposures were taken, as many as asked for")
            return True
        if plan.max_run_time is not None and time.monotonic() - self._started >= plan.max_run_time:
            self._say(f"nothing is claimed after {plan.max_run_time:g} s, as asked for")
            return True
        return False

    def _ask(self, token: uuid.UUID) -> dict[str, Any]:
        """The answer to a claim. Where there is an exposure in it, signals wait until `_work` can give it back."""
        plan = self.plan
        self._is_asking = True
        answer: dict[str, Any] = {"known_exposure": None}
        try:
            answer = self.client.post(
                "known-exposures/claim/", patience=0, token=str(token), cluster=plan.cluster, node=plan.node,
                instrument=plan.instrument, through_step=plan.through_step, lease=plan.lease,
            )  # fmt: skip
        finally:
            self._is_asking = answer["known_exposure"] is not None
        return answer

    def _full_disk(self) -> str:
        if shutil.disk_usage(settings.SEECHANGE_DATA).free >= 1e9 * self.plan.min_free_gb:
            return ""
        # Without the number of those that are free: it changes, and each text is said once.
        limit = f"fewer than {self.plan.min_free_gb:g} GB are free (--min-free)"
        return f"the disk of {settings.SEECHANGE_DATA} is nearly full: {limit}; nothing is claimed"

    def _rest(self, reason: str, seconds: float | None = None) -> None:
        """Sleep, and say why once; with jitter, so that many launchers do not ask at the same moment."""
        if reason != self._said:
            self._say(reason)
            self._said = reason
        seconds = (seconds or self.plan.interval) * random.uniform(0.8, 1.2)
        if self.plan.max_run_time is not None:
            seconds = min(seconds, max(0.0, self.plan.max_run_time - (time.monotonic() - self._started)))
        if self._stopping:
            raise KeyboardInterrupt
        time.sleep(seconds)

    # One exposure --------------------------------------------------------------------------------------------

    def _work(self, claim: Claim) -> None:
        through = f", through {claim.through}" if claim.through else ""
        self._say(f"{claim}: claimed, attempt {claim.known['attempt']}{through}")
        try:
            self._is_asking = False
            if self._stopping:
                raise KeyboardInterrupt
            with claim.kept():
                state = self._process(claim)
        except KeyboardInterrupt:
            self._give_back(claim)
            raise
        except (Lost, Gone, NotAllowed) as error:
            state = "lost"
            self._say(f"{claim}: {error}")
            if isinstance(error, NotAllowed):
                raise
        except (Unreachable, Refused) as error:
            state = "untold"
            self._say(f"{claim}: what became of it could not be told; its lease ends by itself. {error}")
        self.outcome[state] += 1
        self._say(f"{claim}: {state}")

    def _give_back(self, claim: Claim) -> None:
        try:
            claim.release(f"the launcher {self.plan.cluster} {self.plan.node} was stopped".replace("  ", " "))
            self._say(f"{claim}: given back")
        except ClientError as error:
            self._say(f"{claim}: could not be given back, its lease ends by itself: {error}")

    def _process(self, claim: Claim) -> str:
        """The state that the conductor gives it for what became of it."""
        try:
            exposure = self._exposure(claim.known)
            every = sections_of(exposure)
            names = sections_of(exposure, self.plan.sections)
        except Exception as error:
            reason = expected(error)
            if isinstance(reason, Interrupted):
                raise KeyboardInterrupt from error
            if not hasattr(reason, "details") and not isinstance(reason, OSError):
                log.exception("%s could not be taken in", claim)
            said = " ".join(str(reason).split()) or type(reason).__name__
            self._say(f"{claim}: {said}")
            return claim.finish({}, error=said, transient=is_passing(type(reason).__name__))
        claim.start(exposure.pk, every)
        run = RunSettings(
            configuration=self.plan.configuration, assignments=self.plan.assignments, through=claim.through,
            cluster=self.plan.cluster,
        )  # fmt: skip
        reports = process_exposure(exposure, run, sections=names, numprocs=self.plan.numprocs)
        for report in reports:
            self._say(f"{claim} {report.section}: {ending(report)}")
        left = f"only {', '.join(names)} of {len(every)} CCDs were asked for (--sections)" if names != every else ""
        return claim.finish({report.section: told(report) for report in reports}, error=left)

    def _exposure(self, known: Mapping[str, Any]) -> Exposure:
        """The exposure in the archive: as an earlier attempt took it in, else from its raw file."""
        if known["exposure"]:
            taken_in = Exposure.objects.filter(instrument=known["instrument"], name=known["exposure"]).first()
            if taken_in:
                return taken_in
        options = self.plan.configuration.get("instrument", {})
        instrument = Instrument.member(known["instrument"]).build(options, "instrument")
        folder = Path(settings.SEECHANGE_DATA) / "incoming" / known["id"]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return ingest(instrument.fetch(known["identifier"], known["params"], folder), instrument)
        except BadExposureFile as error:
            self._keep_apart(folder, error)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _keep_apart(self, folder: Path, error: BadExposureFile) -> None:
        """Put a file that was fetched and not let in into quarantine; one that lies elsewhere belongs to others."""
        path = Path(error.path)
        try:
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                self._say(f"{path.name} was put into quarantine: {put_away(path, error)}")
        except (OSError, ValueError, ArchiveError) as failed:
            self._say(f"{path.name} could not be put into quarantine: {failed}")


def ending(report: Report) -> str:
    """How a CCD ended, in a few words."""
    if report.state == Report.State.DONE:
        return f"done in {report.seconds:.1f} s"
    return f"stopped in {report.error_step or 'the set-up'}: {report.error_message}"


def told(report: Report) -> dict[str, Any]:
    """What the conductor is told of a CCD."""
    if report.state == Report.State.DONE:
        return {"state": "done"}
    return {"state": "failed", "error": ending(report)[:10_000], "transient": is_passing(report.error_type)}


def version() -> str:
    """Of this SeeChange."""
    project = Path(settings.BASE_DIR) / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"]) if project.is_file() else ""
