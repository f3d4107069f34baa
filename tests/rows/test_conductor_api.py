"""The conductor's REST API: what launchers, programs and people may ask, and what they are told."""

from __future__ import annotations

import datetime
import json
import time
import uuid

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Policy, Watch
from conductor.services.moving import move
from seechange_site import roles
from seechange_site.models import ApiToken
from tests import factories
from tests.rows.waiting import claimed, known, lost

pytestmark = pytest.mark.django_db
State = KnownExposure.State
API = "/api/v1/known-exposures/"
ONE = {"identifier": "a.fits", "mjd": 61000.5}


class Asker:
    """A program with a token, or a person; answers are checked for the one shape of errors."""

    def __init__(self, person: User, *scopes: str) -> None:
        self.client = Client()
        self.header = {}
        if scopes:
            _, key = ApiToken.issue(person, "test", list(scopes), 1)
            self.header = {"HTTP_AUTHORIZATION": f"Token {key}"}
        else:
            self.client.force_login(person)

    def get(self, address: str, **query):
        return self.checked(self.client.get(address, query, **self.header))

    def send(self, address: str, data=None, method: str = "post", **fields):
        body = json.dumps(fields if data is None else data)
        return self.checked(getattr(self.client, method)(address, body, content_type="application/json", **self.header))

    def checked(self, answer):
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error"} and set(answer.json()["error"]) == {"code", "message", "fields"}
        return answer


@pytest.fixture
def operator() -> User:
    person = User.objects.create_user("olga")
    person.user_permissions.set(Permission.objects.filter(content_type__app_label="conductor"))
    return person


@pytest.fixture
def launcher(operator) -> Asker:
    return Asker(operator, "claim")


@pytest.fixture
def olga(operator) -> Asker:
    return Asker(operator)


def ask(launcher: Asker, **fields):
    """A claim with a fresh token: (token, answer)."""
    token = str(uuid.uuid4())
    answer = launcher.send(f"{API}claim/", token=token, cluster="perlmutter", **fields)
    assert answer.status_code == 200, answer.content
    return token, answer.json()


# A launcher's day --------------------------------------------------------------------------------------


def test_a_launcher_claims_starts_lives_and_finishes(launcher):
    (row,) = known(through_step="scoring")
    exposure = factories.exposure()
    token, found = ask(launcher, node="n7", through_step="measuring")
    assert (
        found["known_exposure"]["id"] == str(row.pk) and found["through_step"] == "measuring" and found["reason"] == ""
    )
    assert (found["known_exposure"]["cluster"], found["known_exposure"]["node"]) == ("perlmutter", "n7")
    here = f"{API}{row.pk}/"
    assert (
        launcher.send(f"{here}start/", token=token, exposure=str(exposure.pk), sections=["N1", "N2"]).json()["state"]
        == "running"
    )
    beat = launcher.send(f"{here}heartbeat/", token=token, lease=300).json()
    assert beat["lease_expires"] > found["lease_expires"]
    said = {"N1": {"state": "done"}, "N2": {"state": "failed", "error": "too few stars"}}
    done = launcher.send(f"{here}finish/", token=token, sections=said).json()
    assert (done["state"], done["exposure"], done["last_error"]) == ("partial", exposure.name, "N2: too few stars")
    assert launcher.send(f"{here}finish/", token=token, sections=said).status_code == 200
    assert ask(launcher)[1] == {
        "known_exposure": None,
        "lease_expires": None,
        "through_step": "",
        "reason": "nothing waits",
    }


def test_an_answer_that_was_lost_does_no_harm(launcher):
    known(2)
    token, first = ask(launcher)
    again = launcher.send(f"{API}claim/", token=token, cluster="perlmutter").json()
    assert again["known_exposure"]["id"] == first["known_exposure"]["id"]
    assert KnownExposure.objects.filter(state=State.CLAIMED).count() == 1


def test_a_holder_that_was_too_late_is_told_409(launcher):
    (row,) = known()
    token, _ = ask(launcher, lease=1)
    KnownExposure.objects.update(lease_expires=timezone.now() - datetime.timedelta(seconds=1))
    ask(launcher)
    for what, more in (("heartbeat", {}), ("start", {}), ("finish", {"sections": {}}), ("release", {})):
        answer = launcher.send(f"{API}{row.pk}/{what}/", token=token, **more)
        assert answer.status_code == 409 and answer.json()["error"]["code"] == "lease_lost", what


def test_a_token_opens_nothing_but_what_it_claimed(launcher):
    known(2)
    (token, mine), (_, other) = ask(launcher), ask(launcher)
    answer = launcher.send(
        f"{API}{other['known_exposure']['id']}/finish/", token=token, sections={"A": {"state": "done"}}
    )
    assert answer.status_code == 409
    assert KnownExposure.objects.filter(state=State.CLAIMED).count() == 2
    assert (
        launcher.send(f"{API}{mine['known_exposure']['id']}/release/", token=token, reason="SIGTERM").json()["attempt"]
        == 0
    )


def test_a_used_token_is_refused_with_409(launcher):
    known(2)
    token, found = ask(launcher)
    launcher.send(f"{API}{found['known_exposure']['id']}/release/", token=token)
    assert launcher.send(f"{API}claim/", token=token, cluster="x").status_code == 409


def test_a_paused_conductor_says_so(launcher, olga):
    known()
    assert olga.send("/api/v1/policy/", method="patch", is_paused=True).json() == {
        "is_paused": True,
        "through_step": "",
    }
    assert ask(launcher)[1]["reason"] == "the conductor is paused"
    assert olga.send("/api/v1/policy/", method="patch", is_paused=False, through_step="photocal").status_code == 200
    assert ask(launcher)[1]["through_step"] == "photocal"
    assert olga.get("/api/v1/policy/").json()["through_step"] == "photocal" and Policy.objects.count() == 1


def test_the_secret_of_a_holder_is_shown_to_nobody(olga):
    known()
    token = str(claimed().token)
    for address in (API, f"{API}{KnownExposure.objects.get().pk}/", "/api/v1/claim-events/", "/api/v1/workers/"):
        text = olga.get(address).content.decode()
        assert token not in text and token.replace("-", "") not in text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"token": "x"}, "token"), ({"cluster": ""}, "cluster"), ({"kinds": ["moon"]}, "kinds.0"), ({"kinds": []}, "kinds"),
        ({"through_step": "exposure"}, "through_step"), ({"lease": 0}, "lease"), ({"lease": 1e9}, "lease"), ({"claster": "x"}, "claster"),
        ({"cluster": "x" * 101}, "cluster"), ({"node": None}, "node"),
    ],
)  # fmt: skip
def test_a_wrong_value_of_a_claim_is_named_and_nothing_is_taken(fields, field, launcher):
    known()
    answer = launcher.send(f"{API}claim/", {"token": str(uuid.uuid4()), "cluster": "x", **fields})
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [field]
    assert KnownExposure.objects.get().state == State.READY


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"sections": {"A": {"state": "good"}}}, "sections.A.state"), ({"sections": []}, "sections"), ({"exposure": str(uuid.UUID(int=1))}, "exposure"),
        ({"sections": {"A": {"state": "done", "transient": "perhaps"}}}, "sections.A.transient"),
    ],
)  # fmt: skip
def test_a_wrong_value_of_an_end_is_named_and_the_claim_goes_on(fields, field, launcher):
    (row,) = known()
    token, _ = ask(launcher)
    answer = launcher.send(f"{API}{row.pk}/finish/", {"token": token, **fields})
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [field]
    assert launcher.send(f"{API}{row.pk}/heartbeat/", token=token).status_code == 200


# Putting in --------------------------------------------------------------------------------------------


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
    assert set(ClaimEvent.objects.values_list("what", "actor")) == {("added", "olga")}


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


# Looking -----------------------------------------------------------------------------------------------


def test_known_exposures_can_be_searched(olga):
    rows = known(6)
    KnownExposure.objects.filter(pk=rows[0].pk).update(
        filter="", filters={"NE": "i", "SE": "g"}, target="M 31", exposure_time=10
    )
    KnownExposure.objects.filter(pk=rows[1].pk).update(ra=10.0, dec=3.0, hpx=rows[1].set_position(10.0, 3.0).hpx)
    move("hold", [rows[2].pk], actor="ada")
    claimed("perlmutter")  # the oldest, rows[0]

    def names(**query) -> list[int]:
        found = olga.get(API, sort="mjd", **query)
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


def test_what_was_done_to_a_known_exposure_can_be_read_since_a_cursor(olga):
    (row,) = known()
    page = olga.get("/api/v1/claim-events/", sort="id", known_exposure=str(row.pk)).json()
    assert [event["what"] for event in page["results"]] == ["added"]
    lost()
    claimed()
    page = olga.get("/api/v1/claim-events/", sort="id", cursor=page["cursor"]).json()
    assert [event["what"] for event in page["results"]] == ["claimed", "expired", "claimed"]
    assert page["results"][1]["from_state"] == "claimed" and "gone was lost" in page["results"][1]["reason"]


@pytest.mark.parametrize(
    "query",
    ["state=lost", "start=yesterday", "position=x", "radius=-1", "min_exposure_time=nan", "sort=state", "nane=x"],
)
def test_a_wrong_parameter_is_named(query, olga):
    answer = olga.get(f"{API}?{query}")
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [query.split("=")[0]]


def test_a_list_costs_as_many_queries_for_many_rows_as_for_few(olga, django_assert_num_queries):
    known(40)
    for _ in range(20):
        claimed()
    with django_assert_num_queries(5):  # token, its use, what its person may and their groups, rows
        assert len(olga.get(API).json()["results"]) == 40


# Moving ------------------------------------------------------------------------------------------------


def test_many_are_moved_and_each_answer_says_what_became_of_it(olga):
    first, second = known(2)
    claimed()
    answer = olga.send(
        f"{API}move/", action="hold", ids=[str(first.pk), str(second.pk), str(uuid.UUID(int=5))], reason="clouds"
    )
    assert answer.status_code == 200
    one, two, three = answer.json()
    assert (
        (one["ok"], one["state"]) == (False, "claimed")
        and (two["ok"], two["state"]) == (True, "held")
        and not three["ok"]
    )
    assert ClaimEvent.objects.filter(actor="olga", reason="clouds").count() == 1
    soon = (timezone.now() + datetime.timedelta(hours=1)).isoformat()
    assert olga.send(f"{API}move/", action="change", ids=[str(second.pk)], priority=3, not_before=soon).json()[0]["ok"]
    assert olga.send(f"{API}move/", action="delete", ids=[str(second.pk)]).json() == [
        {"id": str(second.pk), "identifier": second.identifier, "ok": True, "state": "", "error": ""}
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"action": "throw"}, "action"), ({"ids": []}, "ids"), ({"ids": ["x"]}, "ids.0"), ({"action": "hold", "priority": 3}, "priority"),
        ({"action": "change"}, "action"), ({"action": "change", "not_before": "soon"}, "not_before"), ({"action": "change", "priority": 10**12}, "priority"),
    ],
)  # fmt: skip
def test_a_wrong_move_is_named(fields, field, olga):
    (row,) = known()
    answer = olga.send(f"{API}move/", {"ids": [str(row.pk)], "action": "hold", **fields})
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [field]
    assert KnownExposure.objects.get().state == State.READY


# Who may -----------------------------------------------------------------------------------------------


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
    places = (
        API,
        f"{API}{row.pk}/",
        "/api/v1/workers/",
        "/api/v1/watches/",
        "/api/v1/claim-events/",
        "/api/v1/policy/",
    )
    assert {Asker(reader).get(place).status_code for place in places} == {403}, "it is closed to them on its page too"
    roles.set_role(reader, "viewer")
    assert {Asker(reader).get(place).status_code for place in places} == {200}


def test_a_person_who_may_not_delete_does_not(operator):
    (row,) = known()
    operator.user_permissions.remove(Permission.objects.get(codename="delete_knownexposure"))
    assert Asker(operator).send(f"{API}move/", ids=[str(row.pk)], action="delete").status_code == 403
    assert KnownExposure.objects.exists()


# Workers and watches -----------------------------------------------------------------------------------


def test_a_launcher_registers_lives_and_leaves(launcher, olga):
    about = {"cluster": "perlmutter", "node": "n1", "process_id": 12, "version": "0.1.0"}
    first = launcher.send("/api/v1/workers/", about)
    assert first.status_code == 201
    again = launcher.send("/api/v1/workers/", {**about, "process_id": 99}).json()
    assert again["id"] == first.json()["id"] and again["process_id"] == 99
    PipelineWorker.objects.update(last_heartbeat=timezone.now() - datetime.timedelta(hours=1))
    beat = launcher.send(f"/api/v1/workers/{again['id']}/heartbeat/").json()
    assert beat["last_heartbeat"] > again["started_at"][:10]
    assert PipelineWorker.objects.get().last_heartbeat > timezone.now() - datetime.timedelta(minutes=1)
    assert launcher.send("/api/v1/workers/999/heartbeat/").status_code == 404
    assert launcher.send(f"/api/v1/workers/{again['id']}/", method="delete").status_code == 204
    assert olga.get("/api/v1/workers/").json()["results"] == []
    assert PipelineWorker.objects.get().ended_at


def test_a_watch_is_made_changed_wanted_and_deleted(olga, tmp_path):
    made = olga.send(
        "/api/v1/watches/", name="tonight", instrument="demo", arguments={"folder": str(tmp_path)}, interval=60
    )
    assert made.status_code == 201 and made.json()["last_run"] is None
    here = f"/api/v1/watches/{made.json()['id']}/"
    assert olga.send(here, method="patch", is_paused=True, through_step="photocal").json()["is_paused"]
    wanted = olga.send(f"{here}look/")
    assert wanted.status_code == 202 and wanted.json()["look_at_once"]
    for wrong, field in (
        ({"arguments": {"fold": 1}}, "arguments"), ({"instrument": "dem"}, "instrument"), ({"interval": 1}, "interval"), ({"through_step": "no"}, "through_step"),
        ({"last_run": None, "nane": 1}, "nane"), ({"arguments": 3}, "arguments"),
    ):  # fmt: skip
        answer = olga.send(here, wrong, method="patch")
        assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [field], wrong
    assert (
        olga.send("/api/v1/watches/", name="tonight", instrument="demo", arguments={"folder": "/x"}).status_code == 400
    )
    assert olga.send(here, method="delete").status_code == 204 and not Watch.objects.exists()


def test_a_claim_is_quick_beside_a_long_history(launcher):
    """A thousand that are done do not slow down the next claim."""
    rows = known(1000)
    KnownExposure.objects.filter(pk__in=[row.pk for row in rows[:-1]]).update(state=State.DONE)
    begun = time.monotonic()
    assert ask(launcher)[1]["known_exposure"]["identifier"] == rows[-1].identifier
    assert time.monotonic() - begun < 2
