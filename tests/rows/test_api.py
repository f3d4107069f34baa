"""The REST API as a whole: who may ask, one shape of errors, strict parameters, pages by cursor."""

from __future__ import annotations

import datetime
import math
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from products.models import Exposure
from seechange_site.models import ApiToken
from tests import factories

pytestmark = pytest.mark.django_db
EXPOSURES = "/api/v1/exposures/"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def bearer(person: User, *scopes: str, days: float = 1) -> dict[str, str]:
    """The header of a fresh token."""
    _, key = ApiToken.issue(person, "test", list(scopes), days)
    return {"HTTP_AUTHORIZATION": f"Token {key}"}


def error(answer) -> dict:
    """The error of an answer, after a look at its shape."""
    found = answer.json()
    assert set(found) == {"error"} and set(found["error"]) == {"code", "message", "fields"}, found
    return found["error"]


# Who ---------------------------------------------------------------------------------------------------


def test_a_stranger_gets_nothing_and_is_told_how_to_log_in(client: Client) -> None:
    factories.exposure()
    for address in ("/api/v1/", EXPOSURES, f"{EXPOSURES}demo_20261122_050000/"):
        answer = client.get(address)
        assert answer.status_code == 401 and answer["WWW-Authenticate"] == "Token"
        assert error(answer)["code"] == "not_authenticated"


def test_a_token_reads_what_its_scope_allows(client: Client, ada: User) -> None:
    factories.exposure()
    assert client.get(EXPOSURES, **bearer(ada, "read")).status_code == 200
    assert client.get(EXPOSURES, **bearer(ada, "admin")).status_code == 200
    refused = client.get(EXPOSURES, **bearer(ada, "claim"))
    assert refused.status_code == 403 and "claim" in error(refused)["message"]


def test_expired_revoked_unknown_and_damaged_tokens_open_nothing(client: Client, ada: User) -> None:
    row, key = ApiToken.issue(ada, "old", ["read"])
    header = {"HTTP_AUTHORIZATION": f"Token {key}"}
    assert client.get(EXPOSURES, **header).status_code == 200
    ApiToken.objects.filter(pk=row.pk).update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    assert client.get(EXPOSURES, **header).status_code == 401
    row, key = ApiToken.issue(ada, "revoked", ["read"])
    row.revoke()
    for text in (f"Token {key}", "Token", "Token a b", f"Token {key}x", "Token \xff\xfe", f"Bearer {key}"):
        assert client.get(EXPOSURES, HTTP_AUTHORIZATION=text).status_code == 401, text
    User.objects.update(is_active=False)
    _, key = ApiToken.issue(ada, "of somebody who left", ["read"])
    assert client.get(EXPOSURES, HTTP_AUTHORIZATION=f"Token {key}").status_code == 401


def test_only_the_digest_of_a_key_is_stored(ada: User) -> None:
    row, key = ApiToken.issue(ada, "broker", ["read"])
    stored = ApiToken.objects.values().get(pk=row.pk)
    assert key not in str(stored) and key.startswith(stored["prefix"]) and len(stored["prefix"]) < 10
    with pytest.raises(ValueError, match="no scope write"):
        ApiToken.issue(ada, "wrong", ["write"])
    with pytest.raises(ValueError, match="366 days"):
        ApiToken.issue(ada, "for ever", ["read"], days=1000)


def test_the_last_use_of_a_token_is_known(client: Client, ada: User) -> None:
    header = bearer(ada, "read")
    client.get(EXPOSURES, **header)
    first = ApiToken.objects.get().last_used_at
    client.get(EXPOSURES, **header)
    assert first is not None and ApiToken.objects.get().last_used_at == first


# Errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start=yesterday", "start"), ("position=nowhere", "position"), ("kind=moon", "kind"), ("nane=x", "nane"),
        ("page_size=0", "page_size"), ("page_size=501", "page_size"), ("page_size=x", "page_size"),
        ("cursor=zzz", "cursor"), ("sort=header", "sort"), ("tag=nobody", "tag"), ("name=%00", "name"),
        (f"name={'x' * 200}", "name"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(query: str, field: str, client: Client, ada: User) -> None:
    factories.exposure()
    client.force_login(ada)
    answer = client.get(f"{EXPOSURES}?{query}")
    assert answer.status_code == 400
    assert list(error(answer)["fields"]) == [field]


def test_what_does_not_exist_is_404_in_the_same_shape(client: Client, ada: User) -> None:
    client.force_login(ada)
    for address in (f"{EXPOSURES}nothing/", "/api/v1/nothing/", "/api/v1/nothing"):
        answer = client.get(address)
        assert answer.status_code == 404 and error(answer)["code"] == "not_found"


def test_what_cannot_be_done_is_405_and_other_languages_are_refused(client: Client, ada: User) -> None:
    ada.is_superuser = True
    ada.save()
    client.force_login(ada)
    assert error(client.delete(EXPOSURES))["code"] == "method_not_allowed"


def test_a_request_for_another_site_is_400_in_the_same_shape(client: Client) -> None:
    answer = client.get(EXPOSURES, HTTP_HOST="evil.example")
    assert answer.status_code == 400 and error(answer)["code"] == "invalid"
    assert b"cannot be read" in client.get("/", HTTP_HOST="evil.example").content


def test_a_database_that_is_away_is_503_and_says_when_to_ask_again(client: Client, ada: User) -> None:
    client.force_login(ada)
    with mock.patch("products.api.exposures.ExposureView.get_queryset", side_effect=OperationalError("gone")):
        answer = client.get(EXPOSURES)
    assert answer.status_code == 503 and answer["Retry-After"] and error(answer)["code"] == "unavailable"


def test_too_many_requests_are_429_for_that_token_only(client: Client, ada: User, settings) -> None:
    settings.API_RATE = "3/min"
    one, other = bearer(ada, "read"), bearer(ada, "read")
    assert [client.get(EXPOSURES, **one).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert client.get(EXPOSURES, **other).status_code == 200


# Answers -----------------------------------------------------------------------------------------------


def test_what_is_not_a_number_is_null() -> None:
    from seechange_site.json import Numbers

    assert (
        Numbers().render({"a": [math.nan, 1.5, (math.inf,)], "b": {"c": -math.inf}})
        == b'{"a":[null,1.5,[null]],"b":{"c":null}}'
    )


def test_pages_follow_each_other_while_rows_are_added(client: Client, ada: User) -> None:
    client.force_login(ada)
    for number in range(5):
        factories.exposure(f"demo_2026112{number}_050000", mjd=61367.2)
    found, address = [], f"{EXPOSURES}?page_size=2&sort=mjd"
    while address:
        page = client.get(address).json()
        found += [row["name"] for row in page["results"]]
        address = page["next"]
        factories.exposure(f"late_{len(found)}", mjd=61367.0)
    assert found == [f"demo_2026112{number}_050000" for number in range(5)]
    assert Exposure.objects.count() == 8
