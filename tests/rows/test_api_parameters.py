"""What may stand in addresses of the REST API: nothing that is not known, nothing twice, and cursors as they were given."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from products.models import Alert, RefSet
from tests import factories
from tests.rows.archive import Archive
from tests.rows.people import client_of, drained, person
from tests.rows.routes import routes

pytestmark = pytest.mark.django_db
TAKE_ANYTHING = ("/api/v1/", "/api/v1/schema/")  # lists of what there is


@pytest.fixture
def client(settings) -> Client:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}  # nobody is throttled
    return client_of(person("superuser"))


def fields(answer) -> dict[str, list[str]]:
    """What is wrong with a request, by parameter."""
    assert answer.status_code == 400, answer.content[:200]
    return answer.json()["error"]["fields"]


def read(site: Archive) -> list[str]:
    """Every address that is read, of something that exists."""
    found = [route.address for route in routes(site) if route.is_api and "GET" in route.methods]
    return [address for address in found if address not in TAKE_ANYTHING]


def test_no_endpoint_takes_a_parameter_that_it_does_not_know_or_one_twice(site: Archive, client: Client) -> None:
    addresses = read(site)
    for address in addresses:
        assert list(fields(drained(client.get(f"{address}?nonsense=1")))) == ["nonsense"], address
        twice = fields(drained(client.get(f"{address}?tag=current&tag=trial")))
        assert "tag" in twice and "than once" in twice["tag"][0], address
    assert len(addresses) > 50


def test_what_takes_several_values_may_be_given_more_than_once(site: Archive, client: Client) -> None:
    assert client.get("/api/v1/known-exposures/?state=ready&state=held").status_code == 200
    assert list(fields(client.get("/api/v1/known-exposures/?filter=r&filter=g"))) == ["filter"]


def test_json_is_the_only_language_but_files_are_what_they_are(site: Archive, client: Client) -> None:
    measurement, image = site.ccd.measurements[0].pk, site.ccd.image.pk
    assert list(fields(client.get("/api/v1/objects/?format=xml"))) == ["format"]
    refused = client.get("/api/v1/objects/", HTTP_ACCEPT="text/csv")
    assert refused.status_code == 406 and refused.json()["error"]["code"] == "not_acceptable"
    for address, accept in (
        (f"measurements/{measurement}/stamps/new.png", "image/png"), (f"images/{image}/file/", "application/fits"),
        (f"measurements/{measurement}/packet/?as=avro", "application/avro"),
        (f"alerts/{site.alert}/packet/?as=avro", "application/avro"),
    ):  # fmt: skip
        assert drained(client.get(f"/api/v1/{address}", HTTP_ACCEPT=accept)).status_code == 200, address


def test_only_json_is_taken(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"):
        answer = client.generic("POST", "/api/v1/labels/", b"verdict=real", content_type=kind)
        assert answer.status_code == 415 and answer.json()["error"]["code"] == "unsupported_media_type", kind


@pytest.mark.parametrize(
    "position",
    [["mjd", 10**400, "x"], ["mjd", "NaN", "x"], ["mjd", True], ["mjd", None, "x"], ["snr", 1.0, "x"], [], {}, "mjd"],
)  # fmt: skip
def test_a_cursor_that_no_answer_gave_is_refused_by_name(position: object, site: Archive, client: Client) -> None:
    if isinstance(position, list):
        position = [str(site.ccd.measurements[0].pk) if one == "x" else one for one in position]
    cursor = urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")
    assert list(fields(client.get(f"/api/v1/measurements/?sort=mjd&cursor={cursor}"))) == ["cursor"]


def test_a_page_of_exposures_or_measurements_is_smaller_than_others(site: Archive, client: Client) -> None:
    assert client.get("/api/v1/objects/?page_size=500").status_code == 200
    for name in ("exposures", "measurements", f"objects/{site.object}/measurements"):
        assert client.get(f"/api/v1/{name}/?page_size=250").status_code == 200
        assert list(fields(client.get(f"/api/v1/{name}/?page_size=251"))) == ["page_size"]


def test_an_alert_is_listed_with_what_it_is_about(site: Archive, client: Client) -> None:
    first = site.ccd.measurements[0]
    Alert.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    rows = client.get("/api/v1/alerts/").json()["results"]
    row = next(one for one in rows if one["measurement"] == str(first.pk))
    assert (row["object"], row["exposure"], row["section"]) == (first.object.name, site.name, "N1")
    assert (row["mjd"], row["filter"], row["score"]) == (first.mjd, first.filter, first.scores.get().score)


def test_ids_of_provenances_are_found_by_their_beginning_in_any_case(site: Archive, client: Client) -> None:
    reference = site.ccd.difference.reference
    refset = RefSet.objects.filter(provenance=reference.provenance_id).first() or factories.refset(reference, "own")
    beginning = reference.provenance_id[:8].lower()
    for address, name, wanted in (
        ("provenances/?id=", "id", reference.provenance_id), ("refsets/?provenance=", "name", refset.name)
    ):  # fmt: skip
        found = client.get(f"/api/v1/{address}{beginning}").json()["results"]
        assert wanted in [row[name] for row in found], address
