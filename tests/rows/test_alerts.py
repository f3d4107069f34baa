"""Packets of alerts: what they say, that they stay what they were, and that readers of other versions take them."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import fastavro
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from products import storage
from products.alerts import frozen
from products.alerts.avro import VERSION, decode, encode, schema, versions
from products.alerts.packet import alert_id, build_packets
from products.models import Alert, Badness, Measurement, Object
from products.services.badness import set_badness
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
    assert told["scoreThreshold"] == 0.5 and told["seeing"] == pytest.approx(ccd.difference.fwhm)
    assert found["prvDiaSources"] == [] and found["prvDiaNonDetectionLimits"] == []
    assert found["provenance"]["alerting"] == alert.batch.provenance_id


def test_a_packet_has_the_same_bytes_whenever_it_is_made(ccd):
    alert = Alert.objects.get()
    assert encode(packet_of(alert)) == encode(packet_of(Alert.objects.get()))


def test_another_process_encodes_the_same_packet_to_the_same_bytes(ccd, tmp_path):
    payload = encode(packet_of(Alert.objects.get()))
    (tmp_path / "one.avro").write_bytes(payload)
    again = "import sys; from products.alerts.avro import decode, encode; data = open(sys.argv[1], 'rb').read()"
    again += "; sys.stdout.buffer.write(encode(decode(data)))"
    for seed in "123":
        done = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup(); {again}", str(tmp_path / "one.avro")],
            env={**os.environ, "PYTHONHASHSEED": seed, "SEECHANGE_DATA": str(tmp_path)},
            cwd=Path(__file__).parents[2], capture_output=True, timeout=120,
        )  # fmt: skip
        assert done.stdout == payload, done.stderr


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


def test_what_is_older_than_a_year_is_not_in_the_packet(ccd):
    objects = [row.object for row in ccd.measurements]
    for name, days in (("within", 364), ("older", 366)):
        factories.full_ccd(seed=days, of=factories.exposure(name, mjd=ccd.exposure.mjd - days), objects=objects)
    found = packet_of(Alert.objects.get(score__measurement__measurement_set=ccd.measurement_set))
    assert [row["exposure"] for row in found["prvDiaSources"]] == ["within"]
    Measurement.objects.exclude(measurement_set=ccd.measurement_set).update(is_bad=True)
    found = packet_of(Alert.objects.get(score__measurement__measurement_set=ccd.measurement_set))
    assert len(found["prvDiaNonDetectionLimits"]) == 1


def test_packets_of_many_alerts_take_no_more_queries_than_those_of_one(ccd, django_assert_max_num_queries):
    batch = Alert.objects.get().batch
    for score in batch.score_set.scores.all():
        Alert.objects.get_or_create(score=score, defaults={"id": score.pk, "batch": batch, "stream": "all"})
    alerts = list(Alert.objects.select_related("batch", "score__score_set", "score__measurement__object"))
    assert len(alerts) == 6
    with django_assert_max_num_queries(8):
        assert len(list(build_packets(alerts))) == 6


# Frozen in the receipt ---------------------------------------------------------------------------------------


def test_what_is_learnt_later_does_not_change_the_packet_of_an_alert(ccd):
    """Earlier images that are processed later, another name, a mark: a packet that goes out twice is the same."""
    alert = Alert.objects.get()
    before = encode(frozen.packet_of(alert))
    objects = [row.object for row in ccd.measurements]
    factories.full_ccd(seed=1, of=factories.exposure("earlier", mjd=ccd.exposure.mjd - 2), objects=objects)
    Object.objects.filter(pk=objects[0].pk).update(name="renamed")
    alert = Alert.objects.get(pk=alert.pk)
    assert encode(frozen.packet_of(alert)) == before
    now = packet_of(alert)
    assert now["prvDiaSources"] and now["diaObject"]["name"] == "renamed"


def test_the_receipt_keeps_each_measurement_once_and_gives_each_stream_its_packet(ccd):
    batch = Alert.objects.get().batch
    score = batch.score_set.scores.get(measurement=ccd.measurements[0])
    batch.rows = [Alert(id=alert_id(score.pk, "x", name), batch=batch, score=score, stream=name) for name in "ab"]
    batch.write_file()
    assert len(frozen.read(batch)) == 1
    made = [packet for _, packet in frozen.packets(batch.rows)]
    assert [(one["alertId"], one["stream"]) for one in made] == [(str(row.pk), row.stream) for row in batch.rows]
    assert made[0]["cutoutScience"] == made[1]["cutoutScience"]


def test_a_receipt_without_alerts_has_no_file_and_an_older_one_gives_what_is_known_now(ccd):
    alert = Alert.objects.get()
    batch = alert.batch
    storage.remove(batch.filepath)
    batch.filepath, batch.rows = "", []
    batch.write_file()
    assert batch.filepath == ""
    assert frozen.packet_of(alert) == packet_of(alert)


def test_the_oldest_history_is_left_out_of_a_packet_that_would_be_too_large(ccd, monkeypatch):
    packet = packet_of(Alert.objects.get())
    limits = [{"midpointMjd": float(day), "band": "r", "limitingMagnitude": 21.0} for day in range(5000)]
    full = {**packet, "prvDiaNonDetectionLimits": limits}
    assert not frozen.fitting(full)["historyTrimmed"]
    monkeypatch.setattr(frozen, "LARGEST", len(encode(full)) - 10)
    trimmed = frozen.fitting(full)
    assert trimmed["historyTrimmed"] and len(encode(trimmed)) <= frozen.LARGEST
    kept = [entry["midpointMjd"] for entry in trimmed["prvDiaNonDetectionLimits"]]
    assert kept == [float(day) for day in range(5000 - len(kept), 5000)] and kept


def test_what_does_not_fit_the_schema_does_not_keep_the_other_alerts_of_a_receipt_back(ccd, monkeypatch):
    batch = Alert.objects.get().batch
    scores = list(batch.score_set.scores.order_by("-score")[:3])
    batch.rows = [Alert(id=score.pk, batch=batch, score=score, stream="all") for score in scores]
    build = frozen.build_records

    def with_one_broken(*found):
        made = build(*found)
        made[scores[1].pk]["diaSource"]["ra"] = None
        return made

    monkeypatch.setattr(frozen, "build_records", with_one_broken)
    batch.write_file()
    assert [packet is not None for _, packet in frozen.packets(batch.rows)] == [True, False, True]


# Schemas ------------------------------------------------------------------------------------------------------


def test_every_version_of_the_schema_is_valid_and_the_newest_is_in_use():
    assert versions() == ["1.0", "1.1", VERSION]
    for version in versions():
        assert fastavro.parse_schema(schema(version))["fields"]


def test_readers_of_every_other_minor_version_take_a_packet(ccd):
    payload = encode(packet_of(Alert.objects.get()))
    old = next(iter(fastavro.reader(io.BytesIO(payload), reader_schema=schema("1.0"))))
    assert old["diaSource"]["ra"] == ccd.measurements[0].ra and "historyTrimmed" not in old
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema("1.0"), [old])
    buffer.seek(0)
    new = next(iter(fastavro.reader(buffer, reader_schema=schema(VERSION))))
    assert new["historyTrimmed"] is False and new["diaSource"]["seeing"] is None
    assert new["alertId"] == old["alertId"]


def test_a_hostile_name_is_plain_text_in_a_packet(ccd):
    alert = Alert.objects.get()
    name = '<script>x</script>"\x01‮😀'
    Object.objects.filter(pk=alert.score.measurement.object_id).update(name=name)
    assert decode(encode(packet_of(Alert.objects.get())))["diaObject"]["name"] == name


def test_a_mark_on_the_image_withholds_the_alert_until_it_is_cleared(ccd):
    Alert.objects.update(state=Alert.State.PENDING)
    assert Alert.objects.may_go().count() == 1 and not Alert.objects.withheld().exists()
    set_badness(ccd.image, Badness.SHAKING)
    assert Alert.objects.withheld().count() == 1 and not Alert.objects.may_go().exists()
    set_badness(ccd.image, Badness(0))
    assert Alert.objects.may_go().count() == 1
    set_badness(ccd.difference.reference, Badness.SUPERSEDED_REFERENCE)
    assert Alert.objects.may_go().count() == 1
    set_badness(ccd.measurements[0], Badness.SATELLITE)
    assert Alert.objects.withheld().count() == 1
