"""Keep forced fluxes, and what becomes of requests for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from products.models import ForcedFlux, ForcedRequest, Image, Provenance
from products.services import badness

PATIENCE = timedelta(hours=1)  # after which a request that is not finished does not stand for another one


def keep(rows: Sequence[ForcedFlux], provenance: Provenance) -> int:
    """Save what was measured; how many rows are new. Where another process was first, its rows stay and count."""
    if not rows:
        return 0
    with transaction.atomic():
        badness.wait_for_marking()
        marks = Image.objects.filter(pk__in={row.image_id for row in rows})
        inherited = {key: own | above for key, own, above in marks.values_list("pk", "badness_own", "badness_upstream")}
        for row in rows:
            row.provenance, row.badness_upstream = provenance, inherited[row.image_id]
        ForcedFlux.objects.bulk_create(rows, ignore_conflicts=True)
        return ForcedFlux.objects.filter(pk__in=[row.pk for row in rows]).count()


def request(**asked: Any) -> tuple[ForcedRequest, bool]:
    """The request with these fields, `ra` and `dec` among them, and whether it is new: a pending one is shared.

    Of those who ask for the same at once one makes it, and the others get it.
    """
    row = ForcedRequest(**asked)
    row.set_position(row.ra, row.dec)
    same = " ".join(str(getattr(row, name)) for name in ("hpx", "object_id", "start", "end", "tag"))
    late = ForcedRequest.objects.filter(pending_as=same, created_at__lte=timezone.now() - PATIENCE)
    late.update(pending_as=None)
    return ForcedRequest.objects.get_or_create(pending_as=same, defaults={**asked, **row.position()})


def begin(row: ForcedRequest) -> None:
    """A worker took it up, for the first time or again."""
    row.state, row.started_at, row.finished_at, row.error = ForcedRequest.State.RUNNING, timezone.now(), None, ""
    row.save(update_fields=["state", "started_at", "finished_at", "error"])


def finish(row: ForcedRequest, *, error: str = "", **found: Any) -> None:
    """It is done, with counts and failures; or it failed with an error."""
    row.state = ForcedRequest.State.FAILED if error else ForcedRequest.State.DONE
    row.finished_at, row.error, row.pending_as = timezone.now(), error, None
    for name, value in found.items():
        setattr(row, name, value)
    row.save(update_fields=["state", "finished_at", "error", "pending_as", *found])
