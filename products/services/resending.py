"""Alerts that a person wants to be sent again; who and why is kept with each."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from products.models import Alert, AlertEvent

AT_ONCE = 500  # rows named in one query
DONE = (Alert.State.SENT, Alert.State.DEAD)
FRESH = {
    "state": Alert.State.PENDING, "attempts": 0, "next_try_at": None, "claim": None, "claimed_until": None,
    "sent_at": None, "sent_to": "", "topic": "", "partition": None, "offset": None, "error": "",
}  # fmt: skip


def send_again(keys: Iterable[UUID], *, who: str, why: str) -> int:
    """Put alerts that were sent or given up back on the list; how many. Those that wait already are left alone."""
    keys, number = list(keys), 0
    for start in range(0, len(keys), AT_ONCE):
        with transaction.atomic():
            rows = list(Alert.objects.select_for_update().filter(pk__in=keys[start : start + AT_ONCE], state__in=DONE))
            Alert.objects.filter(pk__in=[row.pk for row in rows]).update(**FRESH)
            AlertEvent.objects.bulk_create(
                AlertEvent(alert=row, what=AlertEvent.What.AGAIN, who=who[:150], where=row.sent_to, remark=why)
                for row in rows
            )
            number += len(rows)
    return number
