"""Exposures that wait, in one call."""

from __future__ import annotations

import time
import uuid
from typing import Any

from conductor.models import ClaimEvent, KnownExposure
from conductor.services.adding import add
from conductor.services.claiming import Claim, claim
from processing.instruments.offers import Offer

MJD = 61367.0


def offers(number: int, **fields: Any) -> list[Offer]:
    """Science exposures, a minute apart, the first the oldest."""
    values = {"params": {}, "kind": "science", "exposure_time": 60.0, "filter": "r", **fields}
    return [Offer(identifier=f"raw_{i:04d}.fits", mjd=MJD + i / 1440, **values) for i in range(number)]


def known(number: int = 1, *, instrument: str = "demo", **options: Any) -> list[KnownExposure]:
    """Known exposures, oldest first, as `add` makes them."""
    return add(instrument, offers(number), actor="test", **options).new


def claimed(cluster: str = "here", **options: Any) -> Claim:
    """A claim of the next one."""
    found = claim(uuid.uuid4(), cluster, **options)
    assert found is not None
    return found


def lost(cluster: str = "gone") -> Claim:
    """A claim whose lease has run out."""
    found = claimed(cluster, lease=0.001)
    time.sleep(0.02)
    return found


def wait_no_more() -> None:
    """As if what is tried again after a while had waited long enough."""
    KnownExposure.objects.update(not_before=None)


def events(row: KnownExposure) -> list[tuple[str, str, str]]:
    """(what, from, to) of everything that happened, in order."""
    rows = ClaimEvent.objects.filter(known_exposure_id=row.pk).order_by("id")
    return list(rows.values_list("what", "from_state", "to_state"))
