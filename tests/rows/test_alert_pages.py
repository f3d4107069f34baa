"""Pages of alerts: the ledger, one alert, what streams decided; who may send again; hostile text is harmless."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from products import storage
from products.alerts import frozen
from products.alerts.avro import encode, versions
from products.models import Alert, AlertEvent, Badness, Object, Provenance
from products.services.badness import set_badness
from tests import factories

pytestmark = pytest.mark.django_db
HOSTILE = '"><script>alert(1)</script>'
NAME = '"><img src=x onerror=alert(1)>'  # of an object: a slash could not stand in its address


@pytest.fixture
def ccd():
    made = factories.full_ccd()
    factories.full_ccd(2, of=factories.exposure("other", mjd=made.exposure.mjd + 1), section="N2", centre=(35.6, -4.75))
    return made


def mine(ccd: factories.CCD) -> Alert:
    return Alert.objects.get(batch__score_set__measurement_set=ccd.measurement_set)


def rows(page: str) -> list[str]:
    """The ids of the alerts in the ledger, in their order."""
    return [part.split("/")[0] for part in page.split('<tr data-href="/alerts/')[1:]]


def test_the_ledger_shows_every_alert_with_state_object_and_place(ccd, text):
    alert = mine(ccd)
    Alert.objects.filter(pk=alert.pk).update(topic="t", partition=3, offset=17, sent_to="t[3]@17", payload_size=35_000)
    page = text("/alerts/")
    assert len(rows(page)) == 2 and str(alert.pk) in rows(page)
    assert ccd.measurements[0].object.name in page and "t[3]@17" in page and "35.0 kB" in page
    assert "unaccounted" not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("exposure=other", 1), ("exposure=nothing", 0), ("night=2026-11-22", 1), ("night=61367", 1), ("night=2026-12-01", 0),
        ("stream=all", 2), ("stream=x", 0), ("state=sent", 2), ("state=dead", 0), ("state=withheld", 0), ("section=N2", 1),
        ("topic=t", 0), ("wanted_by=human", 0), ("start=2026-11-23&end=2026-11-23", 1), ("tag=nobody", 2),
        ("night=yesterday", 2), ("state=moon", 2),
    ],
)  # fmt: skip
def test_the_filters_of_the_ledger_choose(query, found, ccd, text):
    assert len(rows(text(f"/alerts/?{query}"))) == found


def test_the_ledger_sorts_on_the_server_and_pages(ccd, text):
    first, second = Alert.objects.order_by("pk")
    Alert.objects.filter(pk=first.pk).update(payload_size=10)
    Alert.objects.filter(pk=second.pk).update(payload_size=20)
    assert rows(text("/alerts/?sort=size")) == [str(first.pk), str(second.pk)]
    assert rows(text("/alerts/?sort=-size")) == [str(second.pk), str(first.pk)]
    for sort in ("made", "sent", "attempts", "stream", "score", "object", "measured", "-sent", "nonsense"):
        assert len(rows(text(f"/alerts/?sort={sort}"))) == 2
    assert rows(text("/alerts/?sort=size&size=1&page=2")) == [str(second.pk)]


def test_what_wants_a_human_is_counted_and_said(ccd, text):
    Alert.objects.filter(pk=mine(ccd).pk).update(state="dead", error="Broker: Message size too large")
    other = Alert.objects.exclude(pk=mine(ccd).pk).get()
    Alert.objects.filter(pk=other.pk).update(state="pending")
    set_badness(other.score.measurement, Badness.SATELLITE)
    page = text("/alerts/?wanted_by=human")
    assert rows(page) == [str(mine(ccd).pk)] and "Message size too large" in page
    assert rows(text("/alerts/?state=withheld")) == [str(other.pk)]
    assert "satellite" in text("/alerts/?state=withheld")
    assert "It cannot be sent" in text(f"/alerts/{mine(ccd).pk}/")
    assert "It is withheld" in text(f"/alerts/{other.pk}/")


def test_what_a_bad_provenance_keeps_back_is_shown_as_withheld_everywhere(ccd, text, client):
    alert = mine(ccd)
    Alert.objects.update(state="pending")
    Provenance.objects.filter(pk=ccd.zero_point.provenance_id).update(is_bad=True, bad_comment="a wrong catalogue")
    page = text(f"/alerts/{alert.pk}/")
    assert "It is withheld" in page and f"/provenance/{ccd.zero_point.provenance_id}/" in page
    assert "a wrong catalogue" in page and "What it rests on" not in page
    assert len(rows(text("/alerts/?state=withheld"))) == 2 and "made with a bad provenance" in text("/alerts/")
    assert "1 withheld" in text("/?night=2026-11-22")
    assert "withheld, made with a bad provenance" in text(f"/objects/{ccd.measurements[0].object.name}/")
    Provenance.objects.update(is_bad=False)
    assert rows(text("/alerts/?state=withheld")) == [] and "It is withheld" not in text(f"/alerts/{alert.pk}/")


def test_one_alert_shows_its_packet_its_stamps_and_its_history(ccd, text, client):
    alert = mine(ccd)
    AlertEvent.objects.create(alert=alert, what="sent", where="t[0]@1")
    page = text(f"/alerts/{alert.pk}/")
    packet = frozen.packet_of(alert)
    for value in (packet["diaObject"]["name"], "midpointMjd", "nJy, photometric.", "t[0]@1", "min score", "0.95"):
        assert value in page
    assert f"/stamps/{alert.score.measurement_id}/difference.png" in page
    assert "−4.7" in page and ">-4.7" not in page, "a true minus"
    answer = client.get(f"/alerts/{alert.pk}/packet.avro")
    assert answer.content == encode(packet) and f"{alert.pk}.avro" in answer["Content-Disposition"]


def test_a_packet_that_cannot_be_read_is_told_on_the_page(ccd, text, client):
    alert = mine(ccd)
    storage.remove(alert.batch.filepath)
    assert "There is no packet" in text(f"/alerts/{alert.pk}/")
    assert client.get(f"/alerts/{alert.pk}/packet.avro").status_code == 404


def test_every_schema_is_served_as_it_lies_in_the_repository(client):
    for version in versions():
        answer = client.get(f"/alerts/schema/{version}.avsc")
        assert answer["Content-Type"] == "application/json" and json.loads(answer.content)["name"] == "alert"
    assert client.get("/alerts/schema/9.9.avsc").status_code == 404
    assert client.get("/alerts/schema/..%2F1.0.avsc").status_code == 404


def test_why_a_measurement_gave_no_alert_is_on_a_page(ccd, text):
    page = text(f"/measurements/{ccd.measurements[4].pk}/alerts/")
    assert "failed a cut of the measuring: negative flux" in page
    assert f"/alerts/{mine(ccd).pk}/" in text(f"/measurements/{ccd.measurements[0].pk}/alerts/")


def test_hostile_text_is_shown_harmlessly(ccd, text):
    alert = mine(ccd)
    Object.objects.filter(pk=ccd.measurements[0].object_id).update(name=NAME)
    Alert.objects.filter(pk=alert.pk).update(
        error=HOSTILE, sent_to=HOSTILE, topic=HOSTILE, state="dead", stream=HOSTILE
    )
    AlertEvent.objects.create(alert=alert, what="failed", where=HOSTILE, remark=HOSTILE, who=HOSTILE)
    for address in (
        "/alerts/",
        f"/alerts/?object={HOSTILE}",
        f"/alerts/{alert.pk}/",
        f"/measurements/{ccd.measurements[0].pk}/alerts/",
    ):
        page = text(address)
        assert "<script>alert(1)" not in page and "<img src=x" not in page


# Sending again ------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(client: Client) -> User:
    person = User.objects.create_user("olga")
    person.user_permissions.add(Permission.objects.get(codename="change_alert"))
    client.force_login(person)
    return person


def test_an_operator_puts_an_alert_back_on_the_list_with_a_reason(ccd, client, operator):
    alert = mine(ccd)
    assert "Send again" in client.get(f"/alerts/{alert.pk}/").content.decode()
    client.post(f"/alerts/{alert.pk}/again/", {"why": " "})
    assert mine(ccd).state == "sent"
    assert client.post(f"/alerts/{alert.pk}/again/", {"why": "asked for"}).url == f"/alerts/{alert.pk}/"
    assert mine(ccd).state == "pending"
    event = alert.events.get()
    assert (event.what, event.who, event.remark) == ("again", "olga", "asked for")


def test_an_operator_revives_the_dead_ones_that_the_filters_choose(ccd, client, operator):
    Alert.objects.update(state="dead")
    answer = client.post("/alerts/again/?exposure=other", {"why": "the limit was raised"}, follow=True)
    assert "1 to be sent again" in answer.content.decode()
    assert mine(ccd).state == "dead" and Alert.objects.get(state="pending").pk != mine(ccd).pk


@pytest.mark.parametrize("wrong", ["night=yesterday", "state=lost"])
def test_a_choice_that_is_not_understood_revives_nothing(wrong, ccd, client, operator):
    Alert.objects.update(state="dead")
    answer = client.post(f"/alerts/again/?{wrong}", {"why": "the limit was raised"}, follow=True)
    assert f"correct {wrong.partition('=')[0]} first" in answer.content.decode()
    assert not Alert.objects.filter(state="pending").exists()


def test_what_went_out_is_not_revived_with_those_that_could_not(ccd, client, operator):
    Alert.objects.filter(pk=mine(ccd).pk).update(state="dead")
    answer = client.post("/alerts/again/", {"why": "the limit was raised"}, follow=True)
    assert "1 to be sent again" in answer.content.decode()
    assert mine(ccd).state == "pending" and Alert.objects.filter(state="sent").count() == 1


def test_others_may_look_and_not_send_again(ccd, client):
    alert = mine(ccd)
    for address in (f"/alerts/{alert.pk}/again/", "/alerts/again/"):
        assert client.post(address, {"why": "x"}).status_code == 302
        assert client.get(address).status_code == 405
    client.force_login(User.objects.create_user("ada"))
    assert client.post(f"/alerts/{alert.pk}/again/", {"why": "x"}).status_code == 403
    assert client.post("/alerts/again/", {"why": "x"}).status_code == 403
    assert "Send again" not in client.get(f"/alerts/{alert.pk}/").content.decode()
    assert {row.state for row in Alert.objects.all()} == {"sent"} and not AlertEvent.objects.exists()
