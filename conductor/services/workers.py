"""Workers say that they are there."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from conductor.errors import StillThere
from conductor.models import ClaimEvent, PipelineWorker
from conductor.services.turns import in_turn

ALIVE = 90.0  # s since the last heartbeat; a launcher sends one every 15 s

EXACT = 5.0  # s: how exactly the last sign of life is known; not every claim needs to write it


def seen(cluster: str, node: str = "") -> PipelineWorker:
    """The worker, made where it is new, heard of now."""
    row, made = PipelineWorker.objects.get_or_create(cluster=cluster, node=node)
    if not made and (row.ended_at or abs((timezone.now() - row.last_heartbeat).total_seconds()) > EXACT):
        PipelineWorker.objects.filter(pk=row.pk).update(last_heartbeat=Now(), ended_at=None)
        row.refresh_from_db()
    return row


def register(cluster: str, node: str = "", **about: Any) -> PipelineWorker:
    """A launcher that starts: its process id and version; one of the same name is replaced by it."""
    row, _ = PipelineWorker.objects.update_or_create(
        cluster=cluster, node=node, defaults={**about, "started_at": Now(), "last_heartbeat": Now(), "ended_at": None}
    )
    row.refresh_from_db()
    return row


def forget(worker: PipelineWorker) -> None:
    """A launcher that ends. What it holds stays its own until the lease runs out; what it did keeps its name."""
    PipelineWorker.objects.filter(pk=worker.pk).update(ended_at=Now())


def remove(worker: PipelineWorker, *, actor: str, reason: str = "") -> None:
    """A launcher that is gone without a word, taken from the list by a person; StillThere where it was heard of."""
    silent = (timezone.now() - worker.last_heartbeat).total_seconds()
    if silent < ALIVE:
        raise StillThere(worker=str(worker), seconds=round(silent))
    with in_turn():
        ClaimEvent.about(f"worker {worker}", "removed", actor=actor, reason=reason)
        forget(worker)
