"""What pages and the REST API show of the conductor."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min, Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Policy
from conductor.services import policy
from conductor.services.claiming import SCIENCE, later
from conductor.services.workers import ALIVE

State = KnownExposure.State


@dataclass(frozen=True)
class Overview:
    """The conductor at a glance."""

    counts: dict[str, int]  # state → known exposures, every state
    policy: Policy
    lost: int  # leases that ran out and that nobody took back yet
    waiting: int  # ready, and of the sky: the next launcher may have it
    later: int  # the same, but not before some time to come
    held: int  # of the sky; bias and flat frames are always held, and nobody need do anything about them
    oldest: datetime.timedelta | None  # how long the oldest waits that could be claimed now; None: none waits
    workers: int
    alive: int

    @property
    def in_work(self) -> int:
        """Claimed or running."""
        return sum(self.counts[state] for state in KnownExposure.LEASED)

    @property
    def silent(self) -> int:
        """Workers that were not heard of for a while."""
        return self.workers - self.alive

    @property
    def is_used(self) -> bool:
        """Whether there is anything to say: an exposure that is known, or a worker."""
        return bool(self.workers or any(self.counts.values()))


def counts(rows: QuerySet | None = None) -> dict[str, int]:
    """State → number of known exposures (of `rows`), with nought for states without any."""
    found = (KnownExposure.objects.all() if rows is None else rows).order_by().values_list("state")
    return {**dict.fromkeys(State.values, 0), **dict(found.annotate(n=Count("pk")))}


def overview() -> Overview:
    """The numbers for the head of the conductor's page and for home."""
    of_the_sky = KnownExposure.objects.filter(kind__in=SCIENCE)
    now = Q(not_before__isnull=True) | Q(not_before__lte=Now())
    ready = of_the_sky.filter(state=State.READY).aggregate(
        waiting=Count("pk", filter=now), every=Count("pk"), oldest=Min("created_at", filter=now)
    )
    beats = PipelineWorker.objects.filter(ended_at=None).aggregate(
        workers=Count("pk"), alive=Count("pk", filter=Q(last_heartbeat__gte=later(-ALIVE)))
    )
    return Overview(
        counts=counts(),
        policy=policy.current(),
        lost=KnownExposure.objects.filter(lease_expires__lt=Now()).count(),
        waiting=ready["waiting"],
        later=ready["every"] - ready["waiting"],
        held=of_the_sky.filter(state=State.HELD).count(),
        oldest=timezone.now() - ready["oldest"] if ready["oldest"] else None,
        **beats,
    )


def rows() -> QuerySet[KnownExposure]:
    """Known exposures with what a row of a list shows."""
    return KnownExposure.objects.select_related("worker", "exposure", "watch")


def why_nothing(instrument: str, kinds: Sequence[str]) -> str:
    """Why there was nothing to claim, for launchers and the people who read what they say."""
    if policy.current().is_paused:
        return "the conductor is paused"
    rows = KnownExposure.objects.filter(state=State.READY, kind__in=kinds, not_before__gt=Now())
    first = (rows.filter(instrument=instrument) if instrument else rows).aggregate(first=Min("not_before"))["first"]
    return f"nothing waits before {first:%Y-%m-%d %H:%M:%S} UTC" if first else "nothing waits"


def neighbours(row: KnownExposure) -> tuple[KnownExposure | None, KnownExposure | None]:
    """The known exposures of the same instrument that were taken before and after it."""
    others = KnownExposure.objects.filter(instrument=row.instrument).only("identifier")
    before = others.filter(Q(mjd__lt=row.mjd) | Q(mjd=row.mjd, id__lt=row.pk)).order_by("-mjd", "-id")
    after = others.filter(Q(mjd__gt=row.mjd) | Q(mjd=row.mjd, id__gt=row.pk)).order_by("mjd", "id")
    return before.first(), after.first()


def workers() -> list[PipelineWorker]:
    """Every worker that did not end, with `.is_alive` and `.at_work`: the known exposures that it holds."""
    at_work = KnownExposure.objects.filter(state__in=KnownExposure.LEASED)
    found = PipelineWorker.objects.filter(ended_at=None)
    found = found.prefetch_related(Prefetch("known_exposures", at_work, to_attr="at_work"))
    since = timezone.now() - datetime.timedelta(seconds=ALIVE)
    for worker in (rows := list(found)):
        worker.is_alive = worker.last_heartbeat >= since
        for row in worker.at_work:
            stem = row.identifier.split(".")[0]
            row.short_name = f"…{stem[-6:]}" if len(stem) > 9 else stem
    return rows


def why(row: KnownExposure) -> str:
    """Why the last attempt did not come to its end, in short: `photocal: 4 stars found, 10 needed, on all 32 CCDs`."""
    told = row.sections if isinstance(row.sections, dict) else {}
    failed = {name: said for name, said in sorted(told.items()) if isinstance(said, dict) and said.get("error")}
    if row.last_error != "; ".join(f"{name}: {said['error']}" for name, said in failed.items()):
        return row.last_error
    by_error: dict[str, list[str]] = {}
    for name, said in failed.items():
        by_error.setdefault(said["error"], []).append(name)
    return "; ".join(f"{error}, on {_listed(names, len(told))}" for error, names in by_error.items())


def _listed(names: list[str], every: int) -> str:
    """CCDs by name where they are few."""
    if len(names) == every > 1:
        return f"all {every} CCDs"
    return ", ".join(names) if len(names) < 5 else f"{len(names)} CCDs"


def history(row: KnownExposure | Any) -> QuerySet[ClaimEvent]:
    """What happened to a known exposure, latest first."""
    return ClaimEvent.objects.filter(known_exposure_id=row.pk)
