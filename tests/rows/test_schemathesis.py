"""The REST API and the document that describes it: complete, and true of whatever anybody sends."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from rest_framework.schemas.generators import EndpointEnumerator

from seechange_site import roles
from seechange_site.endpoints import endpoints
from tests.rows.api_document import Operation, document, hostile, operations
from tests.rows.archive import Archive, archive
from tests.rows.people import bearer, drained, person
from tests.rows.routes import routes

pytestmark = pytest.mark.django_db
PARTS = 2  # so that processes share them
EXAMPLES = 6  # of each operation, for each role
ERRORS = {"400", "401", "403", "404", "429", "503"}


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def site(settings) -> Archive:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}  # nobody is throttled
    return archive()


def answered(client: Client, method: str, address: str, body: bytes = b"", **headers: Any) -> Any:
    """The answer to a request that changes nothing."""
    with transaction.atomic():
        answer = drained(client.generic(method.upper(), address, body, content_type="application/json", **headers))
        transaction.set_rollback(True)
    return answer


# The document -------------------------------------------------------------------------------------------


def test_the_document_is_complete_and_without_complaints() -> None:
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    assert "openapi: 3." in out.getvalue()


def test_the_document_names_every_endpoint_its_errors_scope_and_permission() -> None:
    found = document()
    described = {row.name: row for row in operations(found)}
    ours = [one for one in endpoints() if one.path != "/api/v1/schema/"]
    assert len(described) == len(ours) and ours
    for path, methods in found["paths"].items():
        for method, one in methods.items():
            assert set(one["responses"]) >= ERRORS, (method, path)
            assert "Needs the scope `" in one["description"], (method, path)
            assert one["security"] and {} not in one["security"], (method, path)
    text = str(found)
    assert all(f"permission `{one.permission}`" in text for one in ours if one.permission)


def test_the_document_is_for_people_with_an_account(client: Client) -> None:
    assert client.get("/api/v1/schema/").status_code == 401
    answer = client.get("/api/v1/schema/", **bearer(person("viewer"), "read"))
    assert answer.json()["info"]["title"] == "SeeChange"


def test_the_index_lists_every_endpoint_and_what_is_open(client: Client) -> None:
    page = client.get("/api/").content.decode()
    assert page.count('<td class="mono">') == 2 * len(endpoints()) and "for you" not in page
    client.force_login(person("viewer"))
    assert '<span class="ok">open</span>' in client.get("/api/").content.decode()


# Whatever is sent -----------------------------------------------------------------------------------------


def in_addresses(site: Archive) -> dict[str, tuple[str, ...]]:
    """Path without names → what stands in its places where another part of the request is the one that hurts."""
    readable = EndpointEnumerator().get_path_from_regex
    return {re.sub(r"\{\w+\}", "{}", readable(route.text)): route.values for route in routes(site) if route.is_api}


def has_our_shape(answer: Any) -> bool:
    """Whether an error is in the one shape of errors."""
    if answer.status_code < 400:
        return True
    is_json = answer["Content-Type"] == "application/json"
    return is_json and set(answer.json()["error"]) == {"code", "message", "fields"}


@pytest.mark.parametrize("part", range(PARTS))
def test_no_value_in_any_place_of_any_endpoint_is_a_500(part: int, site: Archive, client: Client) -> None:
    header = bearer(person("superuser"), "admin")
    wrong, asked, known = [], 0, in_addresses(site)
    for one in operations(document())[part::PARTS]:
        values = known[re.sub(r"\{\w+\}", "{}", one.path)]
        for request in hostile(one, dict(zip(one.in_path, values, strict=True))):
            answer = answered(client, one.method, request.address, request.body, **header)
            asked += 1
            if str(answer.status_code) not in one.statuses | {"413"} or not has_our_shape(answer):
                wrong.append((one.name, request.value, answer.status_code))
    assert not wrong, f"{len(wrong)} of {asked}: {wrong[:20]}"
    assert asked > 30


def strategy_of(one: Operation, schema: Any) -> Any:
    """Requests to an operation, right and wrong ones."""
    found = schema[one.path][one.method.upper()]
    modes = schemathesis.GenerationMode
    return found.as_strategy(generation_mode=modes.POSITIVE) | found.as_strategy(generation_mode=modes.NEGATIVE)


def check(one: Operation, send: Callable[[Any], Any], strategy: Any) -> None:
    """No answer of an operation is a 5xx or one that the document does not know."""

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=strategy)
    def ask(case: Any) -> None:
        answer = send(case)
        said = answer.content[:300] if not answer.streaming else b""
        assert answer.status_code < 500, (one.name, case, said)
        assert str(answer.status_code) in one.statuses | {"405", "413", "415"}, (
            one.name,
            case,
            answer.status_code,
            said,
        )

    ask()


@pytest.mark.parametrize("who", ["", *roles.NAMES])
def test_made_up_requests_are_answered_as_the_document_says(who: str, site: Archive, client: Client) -> None:
    found = document()
    schema = schemathesis.openapi.from_dict(found)
    headers = bearer(person(who), "admin") if who else {}

    def send(case: Any) -> Any:
        asked = requests.Request(**case.as_transport_kwargs(base_url="http://testserver") | {"cookies": {}}).prepare()
        body = asked.body.encode() if isinstance(asked.body, str) else asked.body or b""
        return answered(client, case.method, asked.path_url, body, **headers)

    for one in operations(found):
        check(one, send, strategy_of(one, schema))
