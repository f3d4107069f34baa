"""The Kafka sender against a mock cluster in another process: what it acknowledges is sent, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import fastavro
import pytest
from confluent_kafka import Consumer, KafkaError
from django.utils import timezone

from processing.parameters import ConfigurationError
from processing.senders.base import Packet
from processing.senders.kafka import KafkaSender
from processing.sending import send
from processing.steps.alerting import Stream
from products.alerts.avro import decode, schema
from products.models import Alert
from tests import factories
from tests.mock_kafka import MockKafka
from tests.rows.test_association import shared_database

QUIET = {"log_level": "0"}


@pytest.fixture
def kafka():
    with MockKafka() as running:
        yield running


def packets(count: int) -> list[Packet]:
    return [Packet(f"id{k}", f"SC26aaa{k % 3}", f"payload {k}".encode(), timezone.now()) for k in range(count)]


def sender(kafka: MockKafka, **options) -> KafkaSender:
    return KafkaSender(servers=kafka.servers, **{"topic": "alerts", "timeout": 20, "options": QUIET, **options})


def messages(kafka: MockKafka, topic: str, number: int, patience: float = 10) -> list:
    """The first `number` messages of a topic, and a moment's wait for one more."""
    found = []
    settings = {"bootstrap.servers": kafka.servers, "group.id": "test", "auto.offset.reset": "earliest", **QUIET}
    with contextlib.closing(Consumer(settings)) as consumer:
        consumer.subscribe([topic])
        until = timezone.now().timestamp() + patience
        while timezone.now().timestamp() < until and len(found) <= number:
            message = consumer.poll(0.1 if len(found) < number else 1.0)
            if message is not None and not message.error():
                found.append(message)
            elif len(found) == number:
                break
    return found


def test_a_broker_gets_every_alert_with_its_object_as_key_and_its_id_as_header(kafka):
    sent = packets(5)
    told = sender(kafka, topic="alerts-{year:04d}").send(sent)
    topic = f"alerts-{timezone.now().year}"
    got = messages(kafka, topic, 5)
    assert {dict(m.headers())["alertId"].decode(): (m.key().decode(), m.value()) for m in got} == {
        packet.id: (packet.topic_key, packet.payload) for packet in sent
    }
    places = {(row.topic, row.partition, row.offset) for row in told if row.ok}
    assert places == {(m.topic(), m.partition(), m.offset()) for m in got} and len(places) == 5
    assert all(row.where == f"{row.topic}[{row.partition}]@{row.offset}" for row in told)


def test_alerts_of_one_object_stay_in_order_in_one_partition(kafka):
    kafka.tell("topic", "alerts", 4)
    told = {row.id: row for row in sender(kafka).send(packets(60))}
    for number in range(3):
        mine = [told[f"id{k}"] for k in range(number, 60, 3)]
        assert len({row.partition for row in mine}) == 1
        assert [row.offset for row in mine] == sorted(row.offset for row in mine)
    assert len({row.partition for row in told.values()}) > 1


def test_the_topic_is_that_of_the_day_on_which_it_is_sent_in_utc(kafka, monkeypatch):
    sent = packets(1)
    pattern = sender(kafka, topic="d{year:04d}{month:02d}{day:02d}")
    monkeypatch.setattr("processing.senders.kafka.timezone.now", lambda: datetime.fromisoformat("2027-01-01T00:00:01Z"))
    assert pattern.send(sent)[0].topic == "d20270101"


@pytest.mark.parametrize("topic", ["a-{night}", "a b", "{year", "{}", "", "ä", "x" * 250, "{year.__class__}"])
def test_a_topic_that_cannot_be_made_is_refused_with_the_configuration(topic):
    with pytest.raises(ConfigurationError, match="topic"):
        KafkaSender.build({"topic": topic})


@pytest.mark.parametrize("name", ["sasl.password", "sasl.username", "ssl.key.password", "ssl.key.pem"])
def test_a_log_in_among_the_options_is_refused_because_configurations_are_kept(name):
    with pytest.raises(ConfigurationError, match=r"KAFKA_PASSWORD") as caught:
        KafkaSender.build({"options": {name: "hunter2"}})
    assert name in str(caught.value)
    assert KafkaSender.build({"options": {"ssl.key.location": "/etc/kafka/key"}})


def test_while_the_broker_is_down_nothing_counts_as_sent_and_afterwards_everything_goes_out(kafka):
    assert all(row.ok for row in sender(kafka).send(packets(1)))
    kafka.tell("down")
    told = sender(kafka, timeout=1.0).send(packets(2))
    assert [(row.ok, row.fatal) for row in told] == [(False, False)] * 2 and all(row.error for row in told)
    kafka.tell("up")
    assert [row.ok for row in sender(kafka).send(packets(2))] == [True, True]
    assert len(messages(kafka, "alerts", 3)) == 3


def test_a_broker_that_was_never_there_is_told_for_each_alert_and_raises_nothing():
    told = KafkaSender(servers="127.0.0.1:1", timeout=1.0, options=QUIET).send(packets(2))
    assert [(row.ok, row.fatal) for row in told] == [(False, False)] * 2 and all(row.error for row in told)


def test_an_error_that_passes_is_overcome_and_nothing_comes_twice(kafka):
    kafka.tell("topic", "alerts", 1)
    kafka.tell("refuse", KafkaError.NOT_ENOUGH_REPLICAS, 2)
    assert all(row.ok for row in sender(kafka).send(packets(3)))
    assert len(messages(kafka, "alerts", 3)) == 3


def test_an_alert_that_is_too_large_is_hopeless_and_does_not_keep_the_others_back(kafka):
    sent = [*packets(2), Packet("huge", "SC26aaaa", os.urandom(3_000_000), timezone.now())]
    told = {row.id: row for row in sender(kafka).send(sent)}
    assert {key: (row.ok, row.fatal) for key, row in told.items()} == {
        "id0": (True, False), "id1": (True, False), "huge": (False, True)
    }  # fmt: skip
    assert "large" in told["huge"].error.lower()


def test_what_the_broker_itself_calls_too_large_is_hopeless_too(kafka):
    kafka.tell("topic", "alerts", 1)
    kafka.tell("refuse", KafkaError.MSG_SIZE_TOO_LARGE, 1)
    (row,) = sender(kafka).send(packets(1))
    assert (row.ok, row.fatal) == (False, True)


def stream(kafka: MockKafka, **options) -> list[Stream]:
    values = {"name": "kafka", "servers": kafka.servers, "topic": "alerts", "timeout": 20, "options": QUIET, **options}
    return [Stream(sender=values)]


def waiting_ccds(number: int) -> list:
    made = [factories.full_ccd(of=factories.exposure(f"e{n}", mjd=61367.2 + n / 100)) for n in range(number)]
    Alert.objects.update(state=Alert.State.PENDING)
    return made


@pytest.mark.django_db
def test_the_ledger_says_where_each_packet_is_and_every_packet_can_be_read(kafka):
    waiting_ccds(3)
    assert send(Alert.objects.all(), stream(kafka)) == 3
    got = {(m.topic(), m.partition(), m.offset()): m for m in messages(kafka, "alerts", 3)}
    for alert in Alert.objects.select_related("score__measurement__object"):
        message = got.pop((alert.topic, alert.partition, alert.offset))
        packet = decode(message.value())
        assert packet["alertId"] == str(alert.pk) == dict(message.headers())["alertId"].decode()
        assert message.key().decode() == packet["diaObject"]["name"] == alert.score.measurement.object.name
        assert (len(message.value()), hashlib.sha256(message.value()).hexdigest()) == (
            alert.payload_size, alert.payload_sha256
        )  # fmt: skip
        assert fastavro.validate(packet, schema(alert.schema_version))
    assert not got


@pytest.mark.django_db
def test_after_an_outage_the_backlog_goes_out_once(kafka):
    waiting_ccds(3)
    send(Alert.objects.all(), stream(kafka, timeout=10))
    Alert.objects.update(state=Alert.State.PENDING, claim=None)
    kafka.tell("down")
    assert send(Alert.objects.all(), stream(kafka, timeout=1.0)) == 0
    assert {(row.state, row.attempts) for row in Alert.objects.all()} == {("pending", 2)}
    kafka.tell("up")
    assert send(Alert.objects.all(), stream(kafka)) == 0  # their next try is later
    assert send(Alert.objects.all(), stream(kafka), early=True) == 3
    assert len(messages(kafka, "alerts", 6)) == 6


@pytest.mark.django_db
def test_a_packet_that_the_broker_never_takes_is_dead_at_once_and_says_so(kafka):
    waiting_ccds(1)
    send(Alert.objects.all(), stream(kafka, options={**QUIET, "message.max.bytes": "1000"}))
    dead = Alert.objects.get()
    assert dead.state == Alert.State.DEAD and "large" in dead.error.lower() and dead.payload_size > 1000
    assert dead.events.get().what == "dead"


# Beside other processes ------------------------------------------------------------------------------------


def processes(database: str, folder: Path, kafka: MockKafka, number: int, *more: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "tests.rows.sending_at_once", kafka.servers, "alerts", str(number), *more],
        env={**os.environ, "DATABASE_URL": database, "SEECHANGE_DATA": str(folder)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.django_db(transaction=True)
def test_four_processes_that_send_the_same_alerts_at_once_send_each_once(kafka, tmp_path):
    made = waiting_ccds(2)
    for ccd in made:
        batch = Alert.objects.get(batch__score_set__measurement_set=ccd.measurement_set).batch
        for score in batch.score_set.scores.exclude(alerts__isnull=False):
            batch.rows.append(Alert(id=score.pk, batch=batch, score=score, stream="all"))
        batch.filepath = ""
        batch.save()
        Alert.objects.bulk_create(batch.rows)
    found = processes(shared_database(tmp_path), tmp_path, kafka, 4)
    assert found["exits"] == [0] * 4 and sum(found["sent"]) == 12
    assert found["states"] == {"sent": 12} and found["events"] == {"sent": 12}
    got = [dict(message.headers())["alertId"] for message in messages(kafka, "alerts", 12)]
    assert len(got) == len(set(got)) == 12


@pytest.mark.django_db(transaction=True)
def test_killed_after_the_broker_has_it_a_process_leaves_it_to_the_next_with_the_same_bytes(kafka, tmp_path):
    waiting_ccds(2)
    database = shared_database(tmp_path)
    assert processes(database, tmp_path, kafka, 1, "dies")["states"] == {"pending": 2}
    found = processes(database, tmp_path, kafka, 2)
    assert found["sent"] == [0, 0] and found["states"] == {"pending": 2}  # the lease of the dead one lasts
    found = processes(database, tmp_path, kafka, 2, "later")
    assert sum(found["sent"]) == 2 and found["states"] == {"sent": 2}
    got = messages(kafka, "alerts", 4)
    payloads = {dict(message.headers())["alertId"]: set() for message in got}
    for message in got:
        payloads[dict(message.headers())["alertId"]].add(message.value())
    assert len(got) == 4 and [len(found) for found in payloads.values()] == [1, 1]


@pytest.mark.parametrize(("servers", "is_refused"), [
    ("broker.example.org:9092", True), ("localhost:1,broker.example.org:9092", True),
    ("localhost:1, SASL_PLAINTEXT://127.0.0.1:1", False),
])  # fmt: skip
def test_a_password_does_not_travel_in_clear(servers, is_refused, settings):
    settings.SEECHANGE_KAFKA = {
        "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p",
    }  # fmt: skip
    (told,) = KafkaSender(servers=servers, timeout=0.5, options=QUIET).send(packets(1))
    assert not told.ok and ("in clear" in told.error) is is_refused
