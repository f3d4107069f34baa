"""Send the alerts of a receipt: each is sent once, and what did not go out stays on the list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from django.db import transaction

from processing import outbox
from processing.senders.base import Delivery, Packet, Sender
from processing.steps.alerting import AlertingParameters, Stream
from products.alerts import avro, frozen
from products.errors import ArchiveError
from products.ids import uuid7
from products.models import Alert, AlertBatch, AlertEvent
from products.models.alerts import AlertRows

AT_ONCE = 200  # alerts on the way at a time: some 10 MB


def send_batch(batch: AlertBatch, parameters: AlertingParameters) -> int:
    """Send what of `batch` has not gone out; the number that went out now."""
    if not parameters.send:
        return 0
    return send(Alert.objects.filter(batch=batch), parameters.streams)


def send(alerts: AlertRows, streams: Iterable[Stream], *, early: bool = False) -> int:
    """Send the waiting ones of `alerts` through the senders of their streams; the number that went out.

    What another process sends now is left to it, and what failed waits for its next try unless `early`.
    """
    token = uuid7()
    gone = 0
    for stream in streams:
        mine = alerts.filter(stream=stream.name)
        while claimed := outbox.claim(mine, token, at_most=AT_ONCE, early=early):
            number, may_go_on = _send_claimed(stream.sender, claimed)
            gone += number
            if not may_go_on:
                break
    return gone


def _send_claimed(sender: Sender, alerts: Sequence[Alert]) -> tuple[int, bool]:
    """How many of claimed alerts went out, and whether the sender is up."""
    packets, deliveries = _encoded(alerts)
    held = outbox.renew(alerts[0].claim, [alert.pk for alert in alerts])
    going = [packets[str(alert.pk)] for alert in alerts if alert.pk in held and str(alert.pk) in packets]
    told = list(sender.send(going))
    with transaction.atomic():
        gone = _note(alerts, packets, [*deliveries, *told])
    return gone, not told or any(delivery.ok or delivery.fatal for delivery in told)


def _encoded(alerts: Sequence[Alert]) -> tuple[dict[str, Packet], list[Delivery]]:
    """Id → packet; of what cannot be encoded, what became of it."""
    packets, failed = {}, []
    for _, group in groupby(alerts, key=lambda alert: alert.batch_id):
        of_batch = list(group)
        try:
            made = list(frozen.packets(of_batch))
        except (ArchiveError, OSError) as error:
            failed += [Delivery(str(alert.pk), ok=False, error=f"no packet: {error}") for alert in of_batch]
            continue
        for alert, made_of in made:
            key = str(alert.pk)
            if made_of is None:
                failed.append(Delivery(key, ok=False, fatal=True, error="the measurement does not fit the schema"))
            else:
                name, version = alert.score.measurement.object.name, made_of["schemaVersion"]
                packets[key] = Packet(key, name, avro.encode(made_of), alert.created_at, version)
    return packets, failed


def _note(alerts: Sequence[Alert], packets: dict[str, Packet], deliveries: Iterable[Delivery]) -> int:
    """Write down what became of each; the number that went out."""
    known = {str(alert.pk): alert for alert in alerts}
    gone, events = outbox.note([(known[told.id], told, packets.get(told.id)) for told in deliveries])
    AlertEvent.objects.bulk_create(events)
    return gone
