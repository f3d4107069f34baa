"""Who sends which alerts: claims with a lease, and notes of what became of them. The rows decide every race."""

from __future__ import annotations

import random
from collections.abc import Collection
from copy import copy
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import DateTimeField, ExpressionWrapper, Q, Value
from django.db.models.functions import Now

from processing.senders.base import Delivery, Packet
from products.models import Alert, AlertEvent
from products.models.alerts import AlertRows

LEASE = timedelta(minutes=5)  # longer than any sender may take for what is claimed at once
FIRST_WAIT, LONGEST_WAIT = 15.0, 3600.0  # seconds
MAX_ATTEMPTS = 30  # about a day
_OF_SENT = (
    "state", "sent_at", "sent_to", "error", "attempts", "claimed_until", "topic", "partition", "offset",
    "payload_size", "payload_sha256", "schema_version",
)  # fmt: skip
NEEDED = ("batch", "score__measurement__object", "score__score_set")

Told = tuple[Alert, Delivery, Packet | None]


def claim(rows: AlertRows, token: UUID, *, at_most: int, early: bool = False) -> list[Alert]:
    """Take waiting alerts that nobody sends and that this token has not had, oldest receipts first.

    Nobody else gets them before the lease ends. `early` takes also those whose next try is later.
    """
    free = Q(claimed_until=None) | Q(claimed_until__lt=Now())
    ready = rows.may_go().filter(free).exclude(claim=token).order_by("batch_id", "pk")
    if not early:
        ready = ready.filter(Q(next_try_at=None) | Q(next_try_at__lte=Now()))
    if connection.features.has_select_for_update_skip_locked:
        ready = ready.select_for_update(skip_locked=True, of=("self",))
    with transaction.atomic():
        keys = [row.pk for row in ready.only("pk")[:at_most]]
        Alert.objects.filter(free, pk__in=keys, state=Alert.State.PENDING).update(
            claim=token, claimed_until=_from_now(LEASE)
        )
    mine = Alert.objects.filter(pk__in=keys, claim=token, state=Alert.State.PENDING)
    return list(mine.select_related(*NEEDED).order_by("batch_id", "pk"))


def renew(token: UUID, keys: Collection[UUID]) -> set[UUID]:
    """Begin the lease anew; the alerts that are still this token's."""
    mine = Alert.objects.filter(pk__in=keys, claim=token, state=Alert.State.PENDING)
    mine.update(claimed_until=_from_now(LEASE))
    return set(mine.values_list("pk", flat=True))


def note(told: Collection[Told]) -> tuple[int, list[AlertEvent]]:
    """Write down what became of alerts: how many went out that nobody had noted before, and a line about each.

    Part of a transaction. Of two that send at once the first notes; a failure never undoes what went out.
    """
    gone = [one for one in told if one[1].ok]
    waiting = Alert.objects.select_for_update().filter(state=Alert.State.PENDING).order_by("pk")
    first = set(waiting.filter(pk__in=[alert.pk for alert, _, _ in gone]).values_list("pk", flat=True))
    rows = [_sent(alert, delivery, packet) for alert, delivery, packet in gone if alert.pk in first]
    # One statement for all of them; the rows are there, so that nothing is inserted.
    Alert.objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=_OF_SENT)
    return len(first), [
        _sent_line(alert, delivery, alert.pk in first) if delivery.ok else _note_failure(alert, delivery, packet)
        for alert, delivery, packet in told
    ]


def _sent(alert: Alert, delivery: Delivery, packet: Packet | None) -> Alert:
    """A copy of the row as it is once it went out."""
    row = copy(alert)
    facts = {name: getattr(delivery, name) for name in ("topic", "partition", "offset")} | _packet_facts(packet)
    facts |= {"state": Alert.State.SENT, "sent_at": Now(), "sent_to": delivery.where[:300], "error": ""}
    facts |= {"attempts": alert.attempts + 1, "claimed_until": None}
    for name, value in facts.items():
        setattr(row, name, value)
    return row


def _sent_line(alert: Alert, delivery: Delivery, is_first: bool) -> AlertEvent:
    remark = "" if is_first else "a second time: another process had sent it meanwhile"
    return AlertEvent(alert=alert, what=AlertEvent.What.SENT, where=delivery.where[:300], remark=remark)


def _note_failure(alert: Alert, delivery: Delivery, packet: Packet | None) -> AlertEvent:
    attempts = alert.attempts + 1
    is_over = delivery.fatal or attempts >= MAX_ATTEMPTS
    Alert.objects.filter(pk=alert.pk, state=Alert.State.PENDING, claim=alert.claim).update(
        state=Alert.State.DEAD if is_over else Alert.State.PENDING,
        error=delivery.error,
        attempts=attempts,
        claimed_until=None,
        next_try_at=None if is_over else _from_now(_wait(attempts)),
        **_packet_facts(packet),
    )
    what = AlertEvent.What.DEAD if is_over else AlertEvent.What.FAILED
    return AlertEvent(alert=alert, what=what, where=delivery.where[:300], remark=delivery.error)


def _packet_facts(packet: Packet | None) -> dict[str, Any]:
    if packet is None:
        return {}
    return {
        "payload_size": len(packet.payload),
        "payload_sha256": packet.sha256,
        "schema_version": packet.schema_version,
    }


def _wait(attempts: int) -> timedelta:
    """How long to wait after so many attempts: twice as long each time, scattered so that not all come back at once."""
    seconds = min(FIRST_WAIT * 2.0 ** (attempts - 1), LONGEST_WAIT)
    return timedelta(seconds=seconds * random.uniform(0.75, 1.25))


def _from_now(span: timedelta) -> ExpressionWrapper:
    """By the clock of the database: those of the machines may differ."""
    return ExpressionWrapper(Now() + Value(span), output_field=DateTimeField())
