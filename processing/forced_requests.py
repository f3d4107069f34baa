"""Requests for forced photometry: noted, put into the queue, and answered by a worker."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django_q.tasks import async_task

from processing import config
from processing.errors import NotCovered, StepError
from processing.forced import Wanted, covering_images, measure, step_of
from products.errors import ArchiveError
from products.models import ForcedRequest, Object
from products.selectors.tags import of_name
from products.services import forced as service


def ask(place: Object | tuple[float, float], tag: str, person: Any = None, **dates: float | None) -> ForcedRequest:
    """Note that a position, or an object, is to be measured in all images of a tag, and put it into the queue.

    `dates` are `start` and `end`, MJD (UTC). A request that is pending is not made twice. UnknownTag, or NotCovered
    where no image could answer it.
    """
    wanted = Wanted.of(place, tag, step_of(config.load()), **dates)
    covering_images(wanted)
    thing = place if isinstance(place, Object) else None
    with transaction.atomic():
        row, is_new = service.request(
            object=thing, person=person, tag=tag, ra=wanted.ra, dec=wanted.dec, start=wanted.start, end=wanted.end
        )
        if is_new:
            name = f"forced photometry of {thing.name if thing else f'{row.ra:.5f} {row.dec:+.5f}'}"
            async_task("processing.tasks.forced_photometry", str(row.pk), task_name=name)
    return row


def answer(row: ForcedRequest) -> ForcedRequest:
    """Measure what a request asks for. What went wrong as a whole stands in the request; a bug goes on besides."""
    service.begin(row)
    try:
        wanted = Wanted(row.ra, row.dec, of_name(row.tag), row.start, row.end)
        found = measure(wanted, step_of(config.load()))
    except Exception as error:
        service.finish(row, error=" ".join(str(error).split()) or type(error).__name__)
        if not isinstance(error, (StepError, ArchiveError)):
            raise
        return row
    service.finish(row, **found.counts)
    return row


REFUSALS = (NotCovered, ArchiveError)  # what `ask` says of a request that cannot be answered
