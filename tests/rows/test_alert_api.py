"""Alerts in the REST API: brokers poll the list, packets are what is sent, every decision can be asked for."""

from __future__ import annotations

import base64
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from products import storage
from products.alerts import frozen
from products.alerts.avro import VERSION, decode, encode
from products.models import Alert, Badness
from products.services.badness import set_badness
from tests import factories
from tests.rows.test_api import bearer, error

pytestmark = pytest.mark.django_db
ALERTS = "/api/v1/alerts/"


@pytest.fixture
def ccd():
    made = factories.full_ccd()
    settle()
    return made


def settle() -> None:
    """Let every alert be older than what lists leave out."""
    Alert.objects.filter(created_at__gt=timezone.now() - timedelta(seconds=30)).update(
        created_at=timezone.now() - timedelta(seconds=30)
    )


@pytest.fixture
def ada(client: Client) -> User:
    person = User.objects.create_user("ada")
    client.force_login(person)
    return person


def test_strangers_get_no_alert(client, ccd):
    key = Alert.objects.get().pk
    measurement = ccd.measurements[0].pk
    for address in ("", f"{key}/", f"{key}/packet/", f"{key}/events/", "schema/"):
        assert client.get(ALERTS + address).status_code == 401
    for address in ("packet", "decisions"):
        assert client.get(f"/api/v1/measurements/{measurement}/{address}/").status_code == 401


def test_an_alert_of_the_list_says_what_was_sent_where_and_about_what(client, ada, ccd):
    Alert.objects.update(topic="t", partition=1, offset=5, sent_to="t[1]@5", payload_size=10)
    (found,) = client.get(ALERTS).json()["results"]
    alert = Alert.objects.get()
    assert found["id"] == str(alert.pk) and (found["topic"], found["partition"], found["offset"]) == ("t", 1, 5)
    assert (found["object"], found["exposure"], found["section"]) == (
        ccd.measurements[0].object.name, ccd.exposure.name, "N1"
    )  # fmt: skip
    assert found["measurement"] == str(ccd.measurements[0].pk) and found["withheld"] == ""
    assert client.get(f"{ALERTS}{alert.pk}/").json() == found
    Alert.objects.update(state="pending")
    set_badness(ccd.image, Badness.SHAKING)
    assert client.get(f"{ALERTS}{alert.pk}/").json()["withheld"] == "shaking"


def test_asked_again_with_its_cursor_the_list_gives_what_came_since_and_nothing_twice(client, ada, ccd):
    first = client.get(ALERTS).json()
    assert len(first["results"]) == 1 and first["next"] is None
    assert client.get(ALERTS, {"cursor": first["cursor"]}).json()["results"] == []
    factories.full_ccd(of=factories.exposure("next"))
    assert client.get(ALERTS, {"cursor": first["cursor"]}).json()["results"] == []  # it may not be alone yet
    settle()
    Alert.objects.filter(pk=first["results"][0]["id"]).update(created_at=timezone.now() - timedelta(minutes=1))
    since = client.get(ALERTS, {"cursor": first["cursor"]}).json()
    assert [row["exposure"] for row in since["results"]] == ["next"]
    assert client.get(ALERTS, {"cursor": since["cursor"]}).json()["results"] == []


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("?state=moon", "state"), ("?night=x", "night"), ("?steam=x", "steam"), ("?sort=error", "sort"),
        ("?stream=%00", "stream"), ("{key}/packet/?as=xml", "as"), ("{key}/packet/?stamps=2", "stamps"),
        ("schema/?version=7", "version"), ("?as=avro", "as"), ("?start=nan", "start"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(address, field, client, ada, ccd):
    answer = client.get(ALERTS + address.format(key=Alert.objects.get().pk))
    assert answer.status_code == 400 and list(error(answer)["fields"]) == [field]


def test_filters_are_those_of_the_page(client, ada, ccd):
    factories.full_ccd(of=factories.exposure("next", mjd=ccd.exposure.mjd + 1))
    settle()
    counts = {"exposure=next": 1, "state=sent": 2, "state=dead": 0, "night=2026-11-23": 1, "object=nobody": 0}
    for query, number in counts.items():
        assert len(client.get(f"{ALERTS}?{query}").json()["results"]) == number, query


def test_a_packet_is_the_one_that_is_sent_as_json_or_as_avro(client, ada, ccd):
    alert = Alert.objects.get()
    packet = frozen.packet_of(alert)
    plain = client.get(f"{ALERTS}{alert.pk}/packet/").json()
    assert plain["alertId"] == str(alert.pk) and plain["diaSource"]["score"] == pytest.approx(alert.score.score)
    assert base64.b64decode(plain["cutoutScience"]) == packet["cutoutScience"]
    bare = client.get(f"{ALERTS}{alert.pk}/packet/?stamps=no").json()
    assert "cutoutScience" not in bare and bare["diaObject"] == plain["diaObject"]
    binary = client.get(f"{ALERTS}{alert.pk}/packet/?as=avro")
    assert binary.content == encode(packet) and binary["Content-Type"] == "application/avro"


def test_a_packet_whose_file_is_gone_is_404_with_the_reason(client, ada, ccd):
    alert = Alert.objects.get()
    storage.remove(alert.batch.filepath)
    answer = client.get(f"{ALERTS}{alert.pk}/packet/")
    assert answer.status_code == 404 and alert.batch.filepath in error(answer)["message"]


def test_the_packet_of_a_measurement_is_there_whether_or_not_it_was_sent(client, ada, ccd):
    cut = ccd.measurements[4]
    address = f"/api/v1/measurements/{cut.pk}/packet/"
    plain = client.get(address).json()
    assert plain["diaSource"]["failedCuts"] == ["negative_flux"] and plain["stream"] == ""
    assert plain["alertId"] == client.get(address).json()["alertId"]
    assert decode(client.get(f"{address}?as=avro").content)["diaSource"]["diaSourceId"] == str(cut.pk)
    assert client.get(f"/api/v1/measurements/{uuid.uuid4()}/packet/").status_code == 404


def test_what_is_not_a_number_is_null_in_a_packet(client, ada, ccd):
    row = ccd.measurements[4]
    row.flux_apertures, row.flux_apertures_errors = [float("nan")], [float("inf")]
    type(row).objects.filter(pk=row.pk).update(aperture_radii=[1.0])
    from unittest import mock

    with mock.patch(
        "products.api.alerts.frozen.fitting", lambda packet: {**packet, "diaSource": {"apFlux": float("nan")}}
    ):
        found = client.get(f"/api/v1/measurements/{row.pk}/packet/")
    assert found.json()["diaSource"] == {"apFlux": None}


def test_every_decision_about_a_measurement_can_be_asked_for(client, ada, ccd):
    (taken,) = client.get(f"/api/v1/measurements/{ccd.measurements[0].pk}/decisions/").json()
    assert taken["alert"] == str(Alert.objects.get().pk) and taken["state"] == "sent" and taken["cut"] is None
    (refused,) = client.get(f"/api/v1/measurements/{ccd.measurements[4].pk}/decisions/").json()
    assert (refused["alert"], refused["cut"], refused["detail"]) == (None, "failed_cuts", "negative_flux")
    assert client.get(f"/api/v1/measurements/{uuid.uuid4()}/decisions/").status_code == 404


def test_the_schema_is_served_with_its_versions(client, ada):
    found = client.get(f"{ALERTS}schema/").json()
    assert found["version"] == VERSION and found["versions"] == ["1.0", "1.1", VERSION]
    assert {field["name"] for field in found["schema"]["fields"]} >= {"alertId", "historyTrimmed"}
    old = client.get(f"{ALERTS}schema/?version=1.0").json()
    assert "historyTrimmed" not in {field["name"] for field in old["schema"]["fields"]}


def test_only_who_may_change_alerts_sends_one_again_and_says_why(client, ada, ccd):
    address = f"{ALERTS}{Alert.objects.get().pk}/again/"
    say = {"data": {"why": "lost"}, "content_type": "application/json"}
    assert client.post(address, **say).status_code == 403
    ada.user_permissions.add(Permission.objects.get(codename="change_alert"))
    client.logout()
    assert client.post(address, **say, **bearer(ada, "read")).status_code == 403
    assert Alert.objects.get().state == "sent"
    header = bearer(ada, "admin")
    assert list(error(client.post(address, data={}, content_type="application/json", **header))["fields"]) == ["why"]
    assert client.post(address, **say, **header).json()["state"] == "pending"
    (event,) = client.get(f"{ALERTS}{Alert.objects.get().pk}/events/", **header).json()
    assert (event["what"], event["who"], event["remark"]) == ("again", "ada", "lost")


def test_the_list_needs_no_more_queries_for_more_alerts(client, ada, ccd, django_assert_max_num_queries):
    for number in range(3):
        factories.full_ccd(of=factories.exposure(f"next{number}"))
    settle()
    client.get(ALERTS)
    with django_assert_max_num_queries(6):
        assert len(client.get(ALERTS).json()["results"]) == 4
