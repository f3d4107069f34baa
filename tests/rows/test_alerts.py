"""Alerts: what a packet says, that it is the same whenever it is made, and that senders tell what arrived."""

from __future__ import annotations

import gzip
import io
import threading

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from confluent_kafka import Consumer, Producer
from django.utils import timezone

from processing.senders.base import Packet
from processing.senders.folder import FolderSender
from processing.senders.kafka import KafkaSender
from processing.sending import MAX_ATTEMPTS, send
from processing.steps.alerting import Alerting, Stream
from products.alerts.packet import build_packets, decode, encode
from products.models import Alert
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def ccd():
    return factories.full_ccd()


def packet_of(alert: Alert) -> dict:
    return next(build_packets([alert]))


def test_a_packet_says_what_was_measured_in_nanojansky_and_icrs_degrees(ccd):
    alert, row = Alert.objects.get(), ccd.measurements[0]
    found = decode(encode(packet_of(alert)))
    assert found["alertId"] == str(alert.pk)
    told = found["diaSource"]
    assert (told["ra"], told["dec"]) == (row.ra, row.dec)
    assert told["magnitude"] == pytest.approx(31.4 - 2.5 * np.log10(told["psfFlux"]), abs=1e-4)
    assert told["psfFlux"] / told["psfFluxErr"] == pytest.approx(row.flux / row.flux_error, rel=1e-5)
    assert told["score"] == pytest.approx(alert.score.score) and told["scorer"] == "trees"
    assert found["diaObject"]["name"] == row.object.name
    assert found["prvDiaSources"] == [] and found["prvDiaNonDetectionLimits"] == []


def test_a_packet_has_the_same_bytes_whenever_it_is_made(ccd):
    alert = Alert.objects.get()
    assert encode(packet_of(alert)) == encode(packet_of(Alert.objects.get()))


def test_stamps_have_a_wcs_with_the_source_in_the_middle_and_flagged_pixels_are_not_numbers(ccd):
    row = ccd.measurements[0]
    found = packet_of(Alert.objects.get())
    cutouts = ccd.measurement_set.cutouts
    for name, plane in (("cutoutScience", "new"), ("cutoutTemplate", "reference"), ("cutoutDifference", "difference")):
        with fits.open(io.BytesIO(gzip.decompress(found[name]))) as hdus:
            pixels, wcs = hdus[0].data, WCS(hdus[0].header)
        flagged = cutouts.flags[0] != 0
        assert np.array_equal(np.isnan(pixels), flagged)
        assert np.array_equal(pixels[~flagged], getattr(cutouts, plane)[0][~flagged])
        x, y = (float(value) for value in wcs.all_world2pix(row.ra, row.dec, 0))
        assert max(abs(x - cutouts.size // 2), abs(y - cutouts.size // 2)) <= 0.51


def test_earlier_detections_and_limits_are_in_the_packet_and_later_ones_are_not(ccd):
    objects = [row.object for row in ccd.measurements]
    last = factories.full_ccd(
        seed=1, of=factories.exposure("later", mjd=ccd.exposure.mjd + 2), objects=objects
    )  # the same sky two days later
    packets = {packet["diaSource"]["exposure"]: packet for packet in build_packets(list(Alert.objects.all()))}
    first, second = packets[ccd.exposure.name], packets[last.exposure.name]
    assert first["prvDiaSources"] == [] and first["prvDiaNonDetectionLimits"] == []
    assert [row["diaSourceId"] for row in second["prvDiaSources"]] == [str(ccd.measurements[0].pk)]
    assert second["prvDiaNonDetectionLimits"] == []
    ccd.measurements[0].is_bad = True
    ccd.measurements[0].save()
    again = packet_of(Alert.objects.get(score__measurement__measurement_set=last.measurement_set))
    assert again["prvDiaSources"] == []
    limit = again["prvDiaNonDetectionLimits"]
    assert [entry["midpointMjd"] for entry in limit] == [ccd.difference.mjd_middle]
    assert limit[0]["limitingMagnitude"] == pytest.approx(ccd.zero_point.limiting_magnitude, abs=1e-4)


def test_packets_of_many_alerts_take_no_more_queries_than_those_of_one(ccd, django_assert_max_num_queries):
    batch = Alert.objects.get().batch
    for score in batch.score_set.scores.all():
        Alert.objects.get_or_create(score=score, defaults={"id": score.pk, "batch": batch, "stream": "all"})
    alerts = list(Alert.objects.select_related("score__score_set", "score__measurement__object"))
    assert len(alerts) == 6
    with django_assert_max_num_queries(8):
        assert len(list(build_packets(alerts))) == 6


def packets(count: int) -> list[Packet]:
    return [Packet(f"id{k}", f"SC26aaa{k % 3}", f"payload {k}".encode(), timezone.now()) for k in range(count)]


def test_a_folder_gets_one_whole_file_an_alert(tmp_path):
    told = list(FolderSender(folder=str(tmp_path / "out")).send(packets(3)))
    assert [row.ok for row in told] == [True] * 3
    assert sorted(path.read_bytes() for path in (tmp_path / "out").rglob("*.avro")) == [
        b"payload 0", b"payload 1", b"payload 2"
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written_in_is_told_for_each_alert_and_raises_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    told = list(FolderSender(folder=str(tmp_path / "file" / "out")).send(packets(2)))
    assert [row.ok for row in told] == [False, False] and all(row.error for row in told)


@pytest.fixture
def broker():
    """The address of librdkafka's own mock of a cluster."""
    owner = Producer({"test.mock.num.brokers": 1})
    found = next(iter(owner.list_topics(timeout=10).brokers.values()))
    stop = threading.Event()
    keeper = threading.Thread(target=lambda: [owner.poll(0.1) for _ in iter(stop.is_set, True)])
    keeper.start()
    yield f"{found.host}:{found.port}"
    stop.set()
    keeper.join()


def test_a_broker_gets_every_alert_with_its_object_as_key_and_its_id_as_header(broker):
    sent = packets(5)
    told = KafkaSender(servers=broker, topic="alerts-{year:04d}", timeout=20).send(sent)
    assert sorted(row.id for row in told if row.ok) == [packet.id for packet in sent]
    topic = f"alerts-{sent[0].created.year}"
    assert all(row.where.startswith(f"{topic}[") for row in told)
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    got = {}
    for _ in range(200):
        message = consumer.poll(0.1)
        if message is not None and not message.error():
            got[dict(message.headers())["alertId"].decode()] = (message.key().decode(), message.value())
        if len(got) == 5:
            break
    consumer.close()
    assert got == {packet.id: (packet.topic_key, packet.payload) for packet in sent}


def test_an_alert_that_is_too_large_does_not_keep_the_others_back(broker):
    sent = [*packets(2), Packet("huge", "SC26aaaa", bytes(3_000_000), timezone.now())]
    told = {row.id: row for row in KafkaSender(servers=broker, timeout=20).send(sent)}
    assert {key: row.ok for key, row in told.items()} == {"id0": True, "id1": True, "huge": False}
    assert told["huge"].error


def test_a_broker_that_is_down_is_told_for_each_alert_and_raises_nothing():
    told = KafkaSender(servers="127.0.0.1:1", timeout=1.0, options={"log_level": "0"}).send(packets(2))
    assert [row.ok for row in told] == [False, False] and all(row.error for row in told)


def test_what_could_not_be_sent_waits_and_goes_out_once_when_it_can(ccd, tmp_path):
    Alert.objects.update(state=Alert.State.PENDING)
    (tmp_path / "file").write_text("in the way")
    broken = [Stream(sender={"name": "folder", "folder": str(tmp_path / "file" / "x")})]
    good = [Stream(sender={"name": "folder", "folder": str(tmp_path / "out")})]
    assert send(Alert.objects.all(), broken) == 0
    waiting = Alert.objects.get()
    assert (waiting.state, waiting.attempts) == (Alert.State.PENDING, 1) and waiting.error
    assert send(Alert.objects.all(), good) == 1
    assert send(Alert.objects.all(), good) == 0
    gone = Alert.objects.get()
    assert (gone.state, gone.attempts, gone.error) == (Alert.State.SENT, 2, "")
    assert gone.sent_at and decode(next((tmp_path / "out").rglob("*.avro")).read_bytes())["alertId"] == str(gone.pk)


def test_an_alert_that_fails_again_and_again_is_given_up_with_the_reason(ccd, tmp_path):
    Alert.objects.update(state=Alert.State.PENDING, attempts=MAX_ATTEMPTS - 1)
    (tmp_path / "file").write_text("in the way")
    send(Alert.objects.all(), [Stream(sender={"name": "folder", "folder": str(tmp_path / "file" / "x")})])
    dead = Alert.objects.get()
    assert dead.state == Alert.State.DEAD and dead.error


def test_a_stream_takes_what_passes_its_own_cuts(ccd):
    score_set = Alert.objects.get().batch.score_set
    streams = [
        {"name": "all", "min_score": 0.0, "also_bad": True}, {"name": "good", "min_score": 0.9}, {"name": "bright", "min_snr": 1e9}
    ]  # fmt: skip
    batch = Alerting(streams=streams).run(score_set=score_set, measurement_set=score_set.measurement_set)
    counts = {name: sum(alert.stream == name for alert in batch.rows) for name in ("all", "good", "bright")}
    kept = [row for row in score_set.all_rows() if not row.measurement.is_bad]
    assert counts == {"all": 6, "good": sum(row.score >= 0.9 for row in kept), "bright": 0}
    assert len({alert.pk for alert in batch.rows}) == len(batch.rows)
