"""The conductor's REST API for programs and people: put in, look, move, watch, and who may."""

from __future__ import annotations

import datetime
import json
import uuid

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from conductor.models import ClaimEvent, KnownExposure, Watch
from conductor.services.claiming import expire_overdue
from conductor.services.moving import move
from tests.rows.conducting import API, ONE, Asker
from tests.rows.waiting import claimed, known, lost, wait_no_more

pytestmark = pytest.mark.django_db
State = KnownExposure.State


def test_a_program_puts_exposures_in_and_again_without_harm(operator):
    asker = Asker(operator, "ingest")
    sent = {
        "instrument": "demo", "hold": True, "priority": 4, "through_step": "photocal",
        "exposures": [{**ONE, "ra": 10.0, "dec": -3.0, "params": {"url": "https://example.org/a.fits"}}, {"identifier": "b.fits", "mjd": 61000.6}],
    }  # fmt: skip
    answer = asker.send(API, sent)
    assert answer.status_code == 201
    first, second = answer.json()["new"]
    assert (first["state"], first["priority"], first["ra"], first["params"]["url"][:5]) == ("held", 4, 10.0, "https")
    assert second["ra"] is None and second["through_step"] == "photocal"
    assert asker.send(API, sent).json() == {"new": [], "known": ["a.fits", "b.fits"], "refused": []}
    assert set(ClaimEvent.objects.values_list("what", "actor")) == {("added", "ada")}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mjd": 3}, "exposures.0.mjd"), ({"mjd": None}, "exposures.0.mjd"), ({"ra": 3.0}, "exposures.0.ra"), ({"dec": 91, "ra": 0}, "exposures.0.dec"),
        ({"kind": "moon"}, "exposures.0.kind"), ({"identifier": ""}, "exposures.0.identifier"), ({"params": []}, "exposures.0.params"),
        ({"exposure_time": -1}, "exposures.0.exposure_time"), ({"state": "done"}, "exposures.0.state"),
        ({"identifier": "x" * 201}, "exposures.0.identifier"), ({"mjd": "1e400"}, "exposures.0.mjd"),
    ],
)  # fmt: skip
def test_a_wrong_fact_is_named_and_nothing_is_put_in(change, field, operator):
    answer = Asker(operator, "ingest").send(API, {"instrument": "demo", "exposures": [{**ONE, **change}]})
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [field]
    assert not KnownExposure.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"instrument": "dem", "exposures": [ONE]}, "instrument"), ({"instrument": "demo", "exposures": []}, "exposures"), ({"exposures": [ONE]}, "instrument"),
        ({"instrument": "demo", "exposures": [ONE], "through_step": "no"}, "through_step"), ([], "non_field_errors"), ("x", "non_field_errors"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_named(body, field, operator):
    answer = Asker(operator, "ingest").send(API, body)
    assert answer.status_code == 400 and field in answer.json()["error"]["fields"]


def test_a_nul_is_refused_wherever_it_stands(operator):
    asker = Asker(operator, "ingest")
    for wrong in ({"params": {"a": "\0"}}, {"target": "a\0b"}, {"identifier": "\0"}):
        answer = asker.send(API, {"instrument": "demo", "exposures": [{**ONE, **wrong}]})
        assert answer.status_code == 400 and "NUL" in answer.json()["error"]["message"]
    assert not KnownExposure.objects.exists()


# Looking -------------------------------------------------------------------------------------------------


def test_known_exposures_can_be_searched(ada):
    rows = known(6)
    KnownExposure.objects.filter(pk=rows[0].pk).update(
        filter="", filters={"NE": "i", "SE": "g"}, target="M 31", exposure_time=10
    )
    KnownExposure.objects.filter(pk=rows[1].pk).update(ra=10.0, dec=3.0, hpx=rows[1].set_position(10.0, 3.0).hpx)
    move("hold", [rows[2].pk], actor="ada")
    claimed("perlmutter")  # the oldest, rows[0]

    def names(**query) -> list[int]:
        found = ada.get(API, sort="mjd", **query)
        assert found.status_code == 200, found.content
        return [int(row["identifier"][4:8]) for row in found.json()["results"]]

    assert names() == [0, 1, 2, 3, 4, 5]
    assert names(state=["held", "claimed"]) == [0, 2] and names(cluster="perlmutter") == [0]
    assert names(filter="i") == [0] and names(filter="E") == [] and names(filter="r") == [1, 2, 3, 4, 5]
    assert names(target="m 31") == [0] and names(min_exposure_time=30) == [1, 2, 3, 4, 5]
    assert names(position="10.1 3.0", radius=0.2) == [1] and names(position="10.1 3.0", radius=0.05) == []
    assert (
        names(start="61367.001") == [2, 3, 4, 5] and names(end="61367.0005") == [0] and names(identifier="0004") == [4]
    )


def test_what_was_done_to_a_known_exposure_can_be_read_since_a_cursor(ada):
    (row,) = known()
    page = ada.get("/api/v1/claim-events/", sort="id", known_exposure=str(row.pk)).json()
    assert [event["what"] for event in page["results"]] == ["added"]
    lost()
    expire_overdue()
    wait_no_more()
    claimed()
    page = ada.get("/api/v1/claim-events/", sort="id", cursor=page["cursor"]).json()
    assert [event["what"] for event in page["results"]] == ["claimed", "expired", "claimed"]
    assert page["results"][1]["from_state"] == "claimed" and "gone was lost" in page["results"][1]["reason"]


@pytest.mark.parametrize(
    "query",
    ["state=lost", "start=yesterday", "position=x", "radius=-1", "min_exposure_time=nan", "sort=state", "nane=x"],
)
def test_a_wrong_parameter_is_named(query, ada):
    answer = ada.get(f"{API}?{query}")
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [query.split("=")[0]]


def test_a_list_costs_as_many_queries_for_many_rows_as_for_few(ada, django_assert_num_queries):
    known(40)
    for _ in range(20):
        claimed()
    with django_assert_num_queries(5):  # session, person, permissions (of one's own, of groups), rows
        assert len(ada.get(API).json()["results"]) == 40


# Moving --------------------------------------------------------------------------------------------------


def test_many_are_moved_and_each_answer_says_what_became_of_it(ada):
    first, second = known(2)
    claimed()
    answer = ada.send(
        f"{API}move/", action="hold", ids=[str(first.pk), str(second.pk), str(uuid.UUID(int=5))], reason="clouds"
    )
    assert answer.status_code == 200
    one, two, three = answer.json()
    assert (
        (one["ok"], one["state"]) == (False, "claimed")
        and (two["ok"], two["state"]) == (True, "held")
        and not three["ok"]
    )
    assert ClaimEvent.objects.filter(actor="ada", reason="clouds").count() == 1
    soon = (timezone.now() + datetime.timedelta(hours=1)).isoformat()
    assert ada.send(f"{API}move/", action="change", ids=[str(second.pk)], priority=3, not_before=soon).json()[0]["ok"]
    assert ada.send(f"{API}move/", action="delete", ids=[str(second.pk)]).json() == [
        {"id": str(second.pk), "identifier": second.identifier, "ok": True, "state": "", "error": ""}
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"action": "throw"}, "action"), ({"ids": []}, "ids"), ({"ids": ["x"]}, "ids.0"), ({"action": "hold", "priority": 3}, "priority"),
        ({"action": "change"}, "action"), ({"action": "change", "not_before": "soon"}, "not_before"), ({"action": "change", "priority": 10**12}, "priority"),
    ],
)  # fmt: skip
def test_a_wrong_move_is_named(fields, field, ada):
    (row,) = known()
    answer = ada.send(f"{API}move/", {"ids": [str(row.pk)], "action": "hold", **fields})
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [field]
    assert KnownExposure.objects.get().state == State.READY


# Who may -------------------------------------------------------------------------------------------------


def test_scopes_and_permissions_must_both_allow_what_is_asked(operator):
    (row,) = known()
    reader = User.objects.create_user("rita")
    asked = {
        "claim": (f"{API}claim/", {"token": str(uuid.uuid4()), "cluster": "x"}),
        "ingest": (API, {"instrument": "demo", "exposures": [ONE]}),
        "admin": (f"{API}move/", {"ids": [str(row.pk)], "action": "hold"}),
    }
    for scope, (address, body) in asked.items():
        for other in ("read", "claim", "ingest"):
            if other != scope:
                assert Asker(operator, other).send(address, body).status_code == 403, (scope, other)
        assert Asker(reader, scope).send(address, body).status_code == 403, scope
        assert Client().post(address, json.dumps(body), content_type="application/json").status_code == 401, scope
        assert Asker(operator, scope).send(address, body).status_code < 300, scope


@pytest.mark.parametrize(
    "address", [API, "/api/v1/claim-events/", "/api/v1/workers/", "/api/v1/watches/", "/api/v1/policy/"]
)
def test_who_may_not_see_the_pages_reads_nothing(address):
    reader = User.objects.create_user("rita")
    assert Asker(reader).get(address).status_code == 403 and Asker(reader, "read").get(address).status_code == 403
    reader.user_permissions.add(Permission.objects.get(codename="view_knownexposure"))
    reader = User.objects.get(pk=reader.pk)
    assert Asker(reader).get(address).status_code == 200 and Asker(reader, "read").get(address).status_code == 200


def test_a_person_who_may_not_delete_does_not(operator):
    (row,) = known()
    operator.user_permissions.remove(Permission.objects.get(codename="delete_knownexposure"))
    assert Asker(operator).send(f"{API}move/", ids=[str(row.pk)], action="delete").status_code == 403
    assert KnownExposure.objects.exists()


# Watches -------------------------------------------------------------------------------------------------


def test_a_watch_is_made_changed_wanted_and_deleted_and_each_is_kept(ada, tmp_path, settings):
    settings.SEECHANGE_INCOMING = [str(tmp_path)]
    made = ada.send(
        "/api/v1/watches/", name="tonight", instrument="demo", arguments={"folder": str(tmp_path)}, interval=60
    )
    assert made.status_code == 201 and made.json()["last_run"] is None
    here = f"/api/v1/watches/{made.json()['id']}/"
    assert ada.send(here, method="patch", is_paused=True, through_step="photocal").json()["is_paused"]
    wanted = ada.send(f"{here}look/")
    assert wanted.status_code == 202 and wanted.json()["look_at_once"]
    for wrong, field in (
        ({"arguments": {"fold": 1}}, "arguments"), ({"instrument": "dem"}, "instrument"), ({"interval": 1}, "interval"), ({"through_step": "no"}, "through_step"),
        ({"last_run": None, "nane": 1}, "nane"), ({"arguments": 3}, "arguments"),
    ):  # fmt: skip
        answer = ada.send(here, wrong, method="patch")
        assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [field], wrong
    assert (
        ada.send("/api/v1/watches/", name="tonight", instrument="demo", arguments={"folder": "/x"}).status_code == 400
    )
    assert ada.send(here, method="delete").status_code == 204 and not Watch.objects.exists()
    told = ClaimEvent.objects.filter(identifier="watch tonight", actor="ada").order_by("id")
    assert list(told.values_list("what", flat=True)) == ["added", "changed", "paused", "asked to look", "deleted"]
