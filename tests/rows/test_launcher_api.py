"""The conductor's REST API for launchers: they register, claim, live and finish, and are told what is wrong."""

from __future__ import annotations

import datetime
import time
import uuid

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from conductor.models import KnownExposure, PipelineWorker, Policy
from tests import factories
from tests.rows.conducting import API, ask
from tests.rows.waiting import claimed, known

pytestmark = pytest.mark.django_db
State = KnownExposure.State


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


def test_what_waits_for_its_time_is_told_to_who_finds_nothing(launcher):
    row, other = known(2)
    KnownExposure.objects.filter(pk=row.pk).update(not_before="2126-11-27T22:00:00Z")
    KnownExposure.objects.filter(pk=other.pk).update(not_before="2126-11-26T22:00:00Z", instrument="other")
    assert ask(launcher)[1]["reason"] == "nothing waits before 2126-11-26 22:00:00 UTC"
    assert ask(launcher, instrument=row.instrument)[1]["reason"] == "nothing waits before 2126-11-27 22:00:00 UTC"
    KnownExposure.objects.update(kind="bias")
    assert ask(launcher)[1]["reason"] == "nothing waits"


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


def test_a_paused_conductor_says_so(launcher, ada):
    known()
    assert ada.send("/api/v1/policy/", method="patch", is_paused=True).json() == {
        "is_paused": True,
        "through_step": "",
    }
    assert ask(launcher)[1]["reason"] == "the conductor is paused"
    assert ada.send("/api/v1/policy/", method="patch", is_paused=False, through_step="photocal").status_code == 200
    assert ask(launcher)[1]["through_step"] == "photocal"
    assert ada.get("/api/v1/policy/").json()["through_step"] == "photocal" and Policy.objects.count() == 1


def test_the_secret_of_a_holder_is_shown_to_nobody(ada):
    known()
    token = str(claimed().token)
    for address in (API, f"{API}{KnownExposure.objects.get().pk}/", "/api/v1/claim-events/", "/api/v1/workers/"):
        text = ada.get(address).content.decode()
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


def test_a_launcher_registers_lives_and_leaves(launcher, ada):
    about = {"cluster": "perlmutter", "node": "n1", "process_id": 12, "version": "0.1.0"}
    first = launcher.send("/api/v1/workers/", about)
    assert first.status_code == 201
    again = launcher.send("/api/v1/workers/", {**about, "process_id": 99}).json()
    assert again["id"] == first.json()["id"] and again["process_id"] == 99
    PipelineWorker.objects.update(last_heartbeat=timezone.now() - datetime.timedelta(hours=1))
    beat = launcher.send(f"/api/v1/workers/{again['id']}/heartbeat/").json()
    worker = PipelineWorker.objects.get()
    assert parse_datetime(beat["last_heartbeat"]) == worker.last_heartbeat
    assert worker.last_heartbeat > timezone.now() - datetime.timedelta(minutes=1)
    assert launcher.send(f"/api/v1/workers/{again['id'] + 1}/heartbeat/").status_code == 404
    assert launcher.send(f"/api/v1/workers/{again['id']}/", method="delete").status_code == 204
    assert ada.get("/api/v1/workers/").json()["results"] == []
    assert PipelineWorker.objects.get().ended_at


def test_a_claim_is_quick_beside_a_long_history(launcher):
    """A thousand that are done do not slow down the next claim."""
    rows = known(1000)
    KnownExposure.objects.filter(pk__in=[row.pk for row in rows[:-1]]).update(state=State.DONE)
    begun = time.monotonic()
    assert ask(launcher)[1]["known_exposure"]["identifier"] == rows[-1].identifier
    assert time.monotonic() - begun < 2
