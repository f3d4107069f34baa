"""Alerts to a Kafka broker."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from django.conf import settings
from django.utils import timezone
from pydantic import field_validator

from processing.parameters import param
from processing.senders.base import Delivery, Packet, Sender

MOST_WAITING = 1000  # messages on the way; more would fill memory
LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
SECRETS = ("username", "password", "secret", "oauthbearer.config", "key.pem")  # parts of names of options


class KafkaSender(Sender):
    """One message an alert; the key is the object, so that its alerts stay in order.

    A message counts as sent when every in-sync replica has it. Credentials come from the settings
    (`KAFKA_USERNAME`, `KAFKA_PASSWORD`), never from the configuration.
    """

    name = "kafka"

    HOPELESS: ClassVar[frozenset[int]] = frozenset(
        {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD}
    )  # errors of the packet itself: it would be refused again

    servers: str = param("localhost:9092", critical=False, help="host:port, several separated by commas.")
    topic: str = param(
        "seechange-{year:04d}{month:02d}{day:02d}",
        critical=False,
        help="Topic; {year}, {month}, {day} of the moment of sending (UTC) are filled in.",
    )
    timeout: float = param(30.0, gt=0, le=120, unit="s", critical=False, help="What takes longer counts as not sent.")
    options: dict[str, str] = param({}, critical=False, help="Further options of librdkafka.")

    @field_validator("topic")
    @classmethod
    def _can_be_filled_in(cls, value: str) -> str:
        try:
            name = value.format(year=2026, month=11, day=23)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(f"only {{year}}, {{month}} and {{day}} can be filled in: {error!r}") from None
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name):
            raise ValueError("a topic has letters, digits, dots and dashes")
        return value

    @field_validator("options")
    @classmethod
    def _are_no_secrets(cls, options: dict[str, str]) -> dict[str, str]:
        if secret := [name for name in options if any(part in name for part in SECRETS)]:
            raise ValueError(
                f"{', '.join(secret)}: configurations are kept and shown; set KAFKA_USERNAME and KAFKA_PASSWORD instead"
            )
        return options

    def send(self, packets: Sequence[Packet]) -> Iterable[Delivery]:
        found = {packet.id: Delivery(packet.id, ok=False, error="no answer from the broker") for packet in packets}

        def note(key: str, error: KafkaError | None, message: Message | None) -> None:
            if error is not None:
                found[key] = Delivery(key, ok=False, error=_text(error), fatal=error.code() in self.HOPELESS)
                return
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            place = f"{topic}[{partition}]@{offset}"
            found[key] = Delivery(key, ok=True, where=place, topic=topic, partition=partition, offset=offset)

        if not packets:
            return []
        chosen = self._settings()
        if chosen.get("security.protocol") == "SASL_PLAINTEXT" and self._is_far():
            reason = "the password would travel in clear: set KAFKA_SECURITY_PROTOCOL to SASL_SSL"
            return [Delivery(packet.id, ok=False, error=reason) for packet in packets]
        try:
            producer = Producer(chosen)
        except KafkaException as error:
            return [Delivery(packet.id, ok=False, error=_text(error.args[0])) for packet in packets]
        for packet in packets:
            try:
                self._produce(producer, packet, partial(note, packet.id))
            except KafkaException as error:  # e.g. larger than the broker takes; the others go on
                note(packet.id, error.args[0], None)
            except BufferError as error:
                found[packet.id] = Delivery(packet.id, ok=False, error=str(error))
        producer.flush(self.timeout + 1)
        return list(found.values())

    def _produce(self, producer: Producer, packet: Packet, note: Callable[[Any, Message], None]) -> None:
        day = timezone.now()  # UTC
        topic = self.topic.format(year=day.year, month=day.month, day=day.day)
        headers = {"alertId": packet.id}
        if len(producer) >= MOST_WAITING:
            producer.flush(self.timeout)
        producer.produce(topic, value=packet.payload, key=packet.topic_key, headers=headers, on_delivery=note)
        producer.poll(0)

    def _is_far(self) -> bool:
        """Whether a broker is not on this machine."""
        hosts = {server.strip().rpartition("://")[2].rpartition(":")[0] for server in self.servers.split(",")}
        return bool(hosts - LOOPBACK)

    def _settings(self) -> dict[str, object]:
        return {
            "bootstrap.servers": self.servers,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 50,
            "compression.type": "zstd",
            "log_level": 2,  # what goes wrong is noted with each alert
            "delivery.timeout.ms": int(1000 * self.timeout),
            **settings.SEECHANGE_KAFKA,
            **self.options,
        }


def _text(error: KafkaError) -> str:
    """What went wrong, for people, and its name in Kafka."""
    return f"{error.str()} ({error.name()})"
