"""Who may see the conductor's pages, and who may do what there."""

from __future__ import annotations

import datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Watch
from conductor.services import moving, workers
from tests.rows.conducting import MOVE, PAGE, UNDO, Text, person, state
from tests.rows.waiting import known

pytestmark = pytest.mark.django_db


ADDRESSES = ("", "events/", "move/", "policy/?do=pause", "add/", "watches/add/", "events/undo/", "some/")


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_stranger_is_asked_to_log_in(client: Client, address: str) -> None:
    for answer in (client.get(PAGE + address), client.post(PAGE + address)):
        assert answer.status_code in (302, 405) and (answer.status_code == 405 or "/login/" in answer.url)


@pytest.mark.parametrize("address", ADDRESSES)
def test_somebody_without_permission_gets_nothing(client: Client, address: str) -> None:
    person(client)
    assert client.get(PAGE + address).status_code == 403


def test_who_may_only_look_sees_everything_and_no_buttons(client: Client, text: Text) -> None:
    person(client, "view_knownexposure")
    rows = known(2)
    moving.move("hold", [rows[0].pk], actor="grace", reason="x")
    watch = Watch.objects.create(name="w", instrument="demo")
    worker = workers.register("lasilla", "p1")
    PipelineWorker.objects.update(last_heartbeat=timezone.now() - datetime.timedelta(hours=1))
    for address in (PAGE, f"/conductor/{rows[0].pk}/", "/conductor/events/"):
        page = text(address)
        assert "raw_0000.fits" in page and "data-ask" not in page and 'type="checkbox" name="id"' not in page
    last = ClaimEvent.objects.latest("id").pk
    for address, sent in (
        (MOVE, {"action": "ready", "id": str(rows[0].pk)}), (UNDO, {"event": last}),
        ("/conductor/policy/", {"do": "pause"}), ("/conductor/add/", {}), ("/conductor/watches/add/", {}),
        (f"/conductor/watches/{watch.pk}/", {}), (f"/conductor/watches/{watch.pk}/move/", {"do": "delete"}),
        (f"/conductor/workers/{worker.pk}/remove/", {}),
    ):  # fmt: skip
        assert client.post(address, {**sent, "step": "do", "reason": "x"}).status_code == 403, address
        assert client.get(address, sent).status_code == 403, address
    assert state(rows[0]) == "held" and ClaimEvent.objects.latest("id").pk == last


def test_who_may_move_may_not_delete(client: Client) -> None:
    person(client, "view_knownexposure", "change_knownexposure", "change_watch")
    (row,) = known()
    watch = Watch.objects.create(name="w", instrument="demo")
    sent = {"step": "do", "reason": "x"}
    assert client.post(MOVE, {"action": "delete", "id": str(row.pk), **sent}).status_code == 403
    assert client.post(f"/conductor/watches/{watch.pk}/move/", {"do": "delete", **sent}).status_code == 403
    assert KnownExposure.objects.exists() and Watch.objects.exists()
    assert 'value="delete"' not in client.get(PAGE).content.decode()


def test_a_post_without_the_csrf_token_is_refused(operator: User) -> None:
    (row,) = known()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    sent = {"action": "hold", "id": str(row.pk), "step": "do", "reason": "x"}
    assert strict.post(MOVE, sent).status_code == 403 and state(row) == "ready"
