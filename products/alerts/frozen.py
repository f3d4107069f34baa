"""The packets of a receipt as they were when it was made: in one file, each measurement once."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from products.alerts import avro
from products.alerts.packet import Packet, build_packets, build_records, of_alert
from products.models import Alert, AlertBatch

LARGEST = 900_000  # bytes of an encoded packet; brokers refuse more than about 1 MB
HISTORY = ("prvDiaSources", "prvDiaNonDetectionLimits")
DOES_NOT_FIT = (ValueError, TypeError, KeyError, AttributeError)  # what fastavro raises for a wrong record


def records(alerts: Sequence[Alert]) -> list[Packet]:
    """The packets of the measurements of one receipt; what does not fit the schema is left out."""
    first = {alert.score_id: alert for alert in reversed(alerts)}
    known_set = alerts[0].batch.known_set if alerts else None
    built = build_records([alert.score for alert in first.values()], known_set)
    made = (fitting(of_alert(built[key], alert)) for key, alert in reversed(first.items()))
    return [packet for packet in made if packet is not None]


def fitting(packet: Packet) -> Packet | None:
    """The packet, without its oldest history where it would be too large; None where it does not fit the schema."""
    while True:
        try:
            too_large = len(avro.encode(packet)) > LARGEST
        except DOES_NOT_FIT:
            return None
        if not too_large or not any(packet[name] for name in HISTORY):
            return packet
        kept = {name: packet[name][(len(packet[name]) + 1) // 2 :] for name in HISTORY}
        packet = {**packet, **kept, "historyTrimmed": True}


def write(path: Path, packets: Sequence[Packet]) -> None:
    """Write packets into one file."""
    with path.open("wb") as file:
        avro.write(file, packets)


def read(batch: AlertBatch) -> dict[str, Packet]:
    """Id of the measurement → its packet."""
    return {packet["diaSource"]["diaSourceId"]: packet for packet in avro.read(io.BytesIO(batch.path().read_bytes()))}


def packets(alerts: Sequence[Alert]) -> Iterator[tuple[Alert, Packet | None]]:
    """Alerts, in their order, with their packets; None where the measurement did not fit the schema.

    A receipt of a version that kept no packets gives what is known now.
    """
    for _, group in groupby(alerts, key=lambda alert: alert.batch_id):
        of_batch = list(group)
        if not of_batch[0].batch.filepath:
            yield from ((alert, fitting(packet)) for alert, packet in zip(of_batch, build_packets(of_batch)))
            continue
        kept = read(of_batch[0].batch)
        for alert in of_batch:
            found = kept.get(str(alert.score.measurement_id))
            yield alert, of_alert(found, alert) if found else None


def packet_of(alert: Alert) -> Packet | None:
    """The packet of one alert."""
    return next(packet for _, packet in packets([alert]))
