"""Send the alerts of a receipt: each is sent once, and what did not go out stays on the list."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from processing.senders.base import Delivery, Packet
from processing.steps.alerting import AlertingParameters, Stream
from products.alerts.packet import build_packets, encode
from products.models import Alert, AlertBatch

MAX_ATTEMPTS = 10


def send_batch(batch: AlertBatch, parameters: AlertingParameters) -> int:
    """Send what of `batch` has not gone out; the number that went out now."""
    if not parameters.send:
        return 0
    return send(Alert.objects.filter(batch=batch), parameters.streams)


def send(alerts: Iterable[Alert], streams: Iterable[Stream]) -> int:
    """Send the pending ones of `alerts` through the senders of their streams; the number that went out."""
    senders = {stream.name: stream.sender for stream in streams}
    pending = alerts.filter(state=Alert.State.PENDING).select_related("score__measurement__object", "score__score_set")
    gone = 0
    for name, sender in senders.items():
        rows = list(pending.filter(stream=name).order_by("batch", "pk"))
        packets = [
            Packet(
                id=str(row.pk),
                topic_key=row.score.measurement.object.name,
                payload=encode(packet),
                created=row.created_at,
            )
            for row, packet in zip(rows, build_packets(rows))
        ]
        known = {str(row.pk): row for row in rows}
        deliveries = list(sender.send(packets))
        with transaction.atomic():
            gone += sum(_note(known[delivery.id], delivery) for delivery in deliveries)
    return gone


def _note(alert: Alert, delivery: Delivery) -> bool:
    """Write down what became of an alert; True where it went out and nobody had noted so before."""
    attempts = alert.attempts + 1
    if delivery.ok:
        found = {"state": Alert.State.SENT, "sent_at": timezone.now(), "sent_to": delivery.where[:300], "error": ""}
    else:
        state = Alert.State.DEAD if attempts >= MAX_ATTEMPTS else Alert.State.PENDING
        found = {"state": state, "error": delivery.error}
    # Of two that send at once the first notes; a failure never undoes what went out.
    rows = Alert.objects.filter(pk=alert.pk, state=Alert.State.PENDING).update(attempts=attempts, **found)
    return delivery.ok and bool(rows)
