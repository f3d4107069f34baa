"""Take in an exposure, and bring its CCDs through the pipeline: one process a CCD, each with its own report."""

from __future__ import annotations

import json
import logging
import signal
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from processing import config
from processing.choosing import choose
from processing.datastore import DataStore
from processing.errors import BadInput, Interrupted, Killed
from processing.fakes import is_due, run_fakes, try_fakes
from processing.forced import measure_known
from processing.instruments.base import ExposureFacts, Instrument
from processing.pipeline import Pipeline
from processing.provenances import keep_one
from processing.reporting import Reporter, expected
from processing.sending import send_batch
from processing.sensor_sections import section_states
from products import storage
from products.dates import EARLIEST, LATEST
from products.models import AlertBatch, Exposure, Report
from products.services.statistics import refresh_statistics

log = logging.getLogger(__name__)
ACQUISITION = ("acquisition", (1, 1, 0))
COLUMNS = (  # of an exposure, as the instrument reads them
    "name", "kind", "mjd", "exposure_time", "filter", "filters", "airmass", "target", "project", "telescope",
    "header",
)  # fmt: skip
Progress = Callable[[str, str], None]  # (section, step that ended)


@dataclass(frozen=True)
class RunSettings:
    """How an exposure is processed."""

    configuration: Mapping[str, Any] = field(default_factory=dict)
    assignments: tuple[str, ...] = ()  # what the command line changes, also in a configuration that the field chooses
    through: str = ""
    fakes: bool = False
    cluster: str = ""


def ingest(path: Path, instrument: Instrument) -> Exposure:
    """The row of a raw exposure; its files are taken into the data folder. The same file again gives the same row.

    The admission guard looks at the file, and at those that come beside it, before anything else reads them:
    BadExposureFile has a code from a closed list. What it tolerated is in the header of the row. BadInput
    where a known file would be read differently now: what was made of it rests on what was read before.
    """
    path = Path(path)
    oddities = [str(oddity) for oddity in instrument.admit(path).warnings]
    facts = instrument.read_exposure(path)
    for role, beside in facts.companions.items():
        found = instrument.admit(beside, is_companion=True)
        oddities += [f"{role}: {oddity}" for oddity in found.warnings]
    _refuse_implausible(facts, path)
    if oddities:
        facts.header["admission"] = oddities
        log.warning("%s was let in with warnings: %s", path.name, "; ".join(oddities))
    process, version = ACQUISITION
    provenance = keep_one(process, version, {"instrument": instrument.name})
    known = Exposure.objects.filter(instrument=instrument.name, name=facts.name, provenance=provenance)
    if row := known.first():
        if row.sha256 != storage.sha256(path):
            reason = f"another file is known as {facts.name} already; rename yours"
            raise BadInput(what=str(path), reason=reason)
        _refuse_other_reading(row, facts, instrument, path)
        return row
    row = Exposure(
        provenance=provenance,
        instrument=instrument.name,
        origin=path.name[:200],
        **{name: getattr(facts, name) for name in COLUMNS},
    ).set_position(facts.ra, facts.dec)
    try:
        row.clean_fields(exclude=["provenance"])
    except ValidationError as error:
        raise BadInput(
            what=str(path), reason="; ".join(f"{k}: {v[0]}" for k, v in error.message_dict.items())
        ) from error
    folder = f"exposures/{instrument.name}/{int(facts.mjd)}"
    row.filepath = f"{folder}/{path.name}"
    row.sha256, row.filesize = storage.adopt(row.filepath, path)
    for role, companion in facts.companions.items():
        digest, _ = storage.adopt(f"{folder}/{companion.name}", companion)
        row.companions[role] = {"path": f"{folder}/{companion.name}", "sha256": digest}
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return known.get()
    return row


def _refuse_implausible(facts: ExposureFacts, path: Path) -> None:
    """BadInput for numbers that no exposure has: a typing error, or a keyword that means something else."""
    wrong = []
    if facts.exposure_time < 0 or (facts.kind == Exposure.Kind.SCIENCE and facts.exposure_time == 0):
        wrong.append(f"exposure time {facts.exposure_time:g} s")
    if not EARLIEST < facts.mjd < LATEST:
        wrong.append(f"MJD {facts.mjd:g} (days; {EARLIEST:g} to {LATEST:g} are possible)")
    if not (abs(facts.dec) <= 90 and abs(facts.ra) <= 360):
        wrong.append(f"position ra {facts.ra:g}, dec {facts.dec:g} (degrees)")
    if wrong:
        hint = "correct its header, or choose another --instrument"
        raise BadInput(what=str(path), reason=f"it says {', '.join(wrong)}; {hint}")


def _refuse_other_reading(row: Exposure, facts: ExposureFacts, instrument: Instrument, path: Path) -> None:
    """BadInput where options of the instrument, or files beside a known one, would change what was read of it."""
    changed = [f"a {role} image is beside it" for role in facts.companions if role not in row.companions]
    if instrument != type(instrument)():
        now = json.loads(json.dumps({name: getattr(facts, name) for name in COLUMNS}))
        changed += [
            f"another {name.replace('_', ' ')}"
            for name in _differences({name: getattr(row, name) for name in COLUMNS}, now)
        ]
    if changed:
        reason = f"{row.name} is known and keeps what was read of it; now there is {', '.join(changed)}"
        hint = "to use that, take the file in under another name; else name the exposure without path and ending"
        raise BadInput(what=str(path), reason=f"{reason}; {hint}")


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Names of the entries in which two nested mappings differ, each once."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [name]
    found = [_differences(old.get(key), value, key) for key, value in new.items()]
    return list(dict.fromkeys(one for part in found for one in part))


def sections_of(exposure: Exposure, wanted: Sequence[str] = ()) -> list[str]:
    """The names of the CCDs of an exposure, or those of `wanted` after a check that it has them.

    A CCD that is not usable at the date of the exposure is there only where it is wanted by name. BadInput where none
    is left.
    """
    instrument = Instrument.member(exposure.instrument)()
    names = [section.name for section in instrument.sections(exposure.path(), exposure.header)]
    if unknown := [name for name in wanted if name not in names]:
        raise BadInput(what=f"section {', '.join(unknown)}", reason=f"{exposure.name} has {', '.join(names)}")
    if wanted:
        return [name for name in names if name in wanted]
    known = section_states(exposure.instrument, names, exposure.mjd)
    usable = [name for name in names if known[name].state.is_usable]
    if names and not usable:
        reason = f"none of its CCDs ({', '.join(names)}) is usable at its date; name those that you want all the same"
        raise BadInput(what=exposure.name, reason=reason)
    return usable


def chosen_configuration(exposure: Exposure, settings: RunSettings) -> dict[str, Any]:
    """The configuration for the field of an exposure, with what the command line changes on top."""
    return config.assign(choose(settings.configuration, exposure.ra, exposure.dec), settings.assignments)


def process_section(
    exposure: Exposure,
    section: str,
    settings: RunSettings,
    progress: Callable[[str], None] | None = None,
    report_id: uuid.UUID | None = None,
) -> Report:
    """Bring one CCD through the pipeline; whatever happens is in the report that comes back."""
    report = Reporter(exposure, section, cluster=settings.cluster, report_id=report_id)
    try:
        if exposure.kind != Exposure.Kind.SCIENCE:
            raise BadInput(what=exposure.name, reason=f"it is a {exposure.kind} exposure, not one of the sky")
        pipeline = Pipeline(configuration=chosen_configuration(exposure, settings))
        report.row.tag = pipeline.tag
        data = pipeline.run(
            DataStore(exposure, section=section), through=settings.through, report=report, progress=progress
        )
        if batch := data.get(AlertBatch):
            with report.step("sending") as entry:
                entry["counts"]["sent"] = send_batch(batch, pipeline.step("alerting").parameters)
        if AlertBatch in data and settings.fakes:
            run_fakes(pipeline, data, report)
        elif AlertBatch in data and is_due(exposure, section, pipeline.fakes_every):
            try_fakes(pipeline, data, report)
        if AlertBatch in data:
            measure_known(pipeline, data, report)
    except BaseException as error:
        report.finish(error)
        reason = expected(error)
        if isinstance(reason, Interrupted):  # noted, and obeyed
            raise KeyboardInterrupt from error
        if not hasattr(reason, "details"):
            log.exception("%s %s stopped in %s", exposure.name, section, report.row.error_step or "the set-up")
        return report.row
    return report.finish()


def process_exposure(
    exposure: Exposure,
    settings: RunSettings,
    *,
    sections: Sequence[str] = (),
    numprocs: int = 0,
    progress: Progress | None = None,
) -> list[Report]:
    """Bring the CCDs of an exposure through the pipeline, in this process (numprocs 0) or in one process each."""
    names = sections_of(exposure, sections)
    jobs = [(exposure, name, settings) for name in names]
    return process_jobs(jobs, numprocs=numprocs, progress=lambda job, step: progress and progress(job[1], step))


Job = tuple[Exposure, str, RunSettings]


def process_jobs(
    jobs: Sequence[Job], *, numprocs: int, progress: Callable[[Job, str], None] | None = None
) -> list[Report]:
    """Process CCDs of any exposures side by side; the reports come in the order of the jobs."""
    if numprocs == 0:
        reports = []
        for job in jobs:
            reports.append(process_section(*job, progress=lambda step, job=job: progress and progress(job, step)))
            if progress:
                progress(job, "")
    else:
        from processing.workers import run_jobs

        reports = run_jobs(jobs, numprocs=numprocs, progress=progress)
    refresh_statistics()
    return reports


def closed_report(exposure: Exposure, section: str, report_id: uuid.UUID, exit_code: int | None) -> Report:
    """The report of a CCD whose process ended; where the process could not close it, with what is known of its end."""
    row = Report.objects.filter(pk=report_id).select_related("exposure").first()
    reporter = Reporter.of(row) if row else Reporter(exposure, section, report_id=report_id)
    if reporter.row.state != Report.State.RUNNING:
        return reporter.row
    return reporter.finish(Killed(reason=_end(exit_code), exit_code=exit_code))


def _end(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"the process ended with exit status {exit_code} before its report was closed"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = ""
    if name == "SIGKILL":
        hint = " (often too little memory: use fewer --numprocs)"
    elif name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV"):
        hint = " (often a damaged raw file: fetch it again)"
    elif name == "SIGXCPU":
        hint = " (it took more CPU time than SEECHANGE_CCD_CPU allows)"
    return f"the process was killed by {name}{hint}"
