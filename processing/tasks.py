"""What the queue runs: thin shells of ordinary functions. A task that runs twice finds what the first one made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django_q.tasks import async_task

from processing import config
from processing.exposures import RunSettings, process_exposure
from processing.forced_requests import answer
from processing.linking import link_night
from processing.sending import send
from processing.steps.alerting import Alerting
from products.models import Alert, Exposure, ForcedRequest, Report


def enqueue_exposure(exposure: Exposure, settings: RunSettings, *, sections: Sequence[str], numprocs: int) -> str:
    """Put an exposure into the queue; the id of the task. `manage.py cluster` works it off."""
    plain = {"configuration": dict(settings.configuration), "assignments": list(settings.assignments)}
    plain |= {"through": settings.through, "fakes": settings.fakes}
    name = f"process {exposure.name}"[:100]
    return async_task("processing.tasks.process", str(exposure.pk), plain, list(sections), numprocs, task_name=name)


def process(exposure_id: str, plain: Mapping[str, Any], sections: Sequence[str], numprocs: int) -> dict[str, str]:
    """Bring an exposure through the pipeline: CCD → state of its report. RuntimeError where a CCD failed."""
    settings = RunSettings(**{**plain, "assignments": tuple(plain["assignments"]), "cluster": "queue"})
    exposure = Exposure.objects.get(pk=exposure_id)
    reports = process_exposure(exposure, settings, sections=sections, numprocs=numprocs)
    if any(report.state != Report.State.DONE for report in reports):
        failed = "; ".join(f"{row.section}: {row.error_message}" for row in reports if row.error_message)
        raise RuntimeError(f"{exposure.name}: {failed}")
    return {report.section: str(report.state) for report in reports}


def send_alerts(configuration: Mapping[str, Any] | None = None) -> int:
    """Send the alerts that wait, e.g. after a broker was down; how many went out."""
    found = config.load() if configuration is None else configuration
    step = Alerting(**found.get("alerting", {}))
    return send(Alert.objects.all(), step.parameters.streams)


def forced_photometry(request_id: str) -> str:
    """Measure what a request for forced photometry asks for; its state."""
    return str(answer(ForcedRequest.objects.get(pk=request_id)).state)


def enqueue_linking(night: int, tag: str, configuration: Mapping[str, Any] | None = None) -> str:
    """Put the linking of a night, an MJD, into the queue; the id of the task."""
    name = f"link {night} of {tag}"[:100]
    return async_task("processing.tasks.link_moving", night, tag, configuration, task_name=name)


def link_moving(night: int, tag: str, configuration: Mapping[str, Any] | None = None) -> int:
    """Link the detections of a night under a tag; how many tracklets there are."""
    return link_night(night, tag, config.load() if configuration is None else configuration).n_tracklets


def beat() -> None:
    """Nothing: that it is done shows that the cluster works."""
