"""What is done on the conductor's page: moves of one, of many and of all, and taking them back."""

from __future__ import annotations

import datetime
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from conductor.models import ClaimEvent, KnownExposure, Policy
from conductor.services import claiming
from conductor.services.undoing import undo
from tests import factories
from tests.rows.conducting import MOVE, PAGE, UNDO, Text, do, partial, person, state
from tests.rows.waiting import claimed, events, known

pytestmark = pytest.mark.django_db


def test_a_button_asks_first_and_changes_nothing(operator: User, client: Client) -> None:
    rows = known(2)
    ids = [str(row.pk) for row in rows]
    for answer in (
        client.post(MOVE, {"action": "hold", "id": ids}),
        client.get(MOVE, {"action": "hold", "id": ids}),
        client.post(MOVE, {"action": "hold", "id": ids, "part": "form"}),
        client.post(MOVE, {"action": "hold", "id": ids, "step": "do", "reason": " "}),
    ):
        page = answer.content.decode()
        assert answer.status_code == 200 and 'name="reason"' in page and all(key in page for key in ids)
    assert [state(row) for row in rows] == ["ready", "ready"] and not ClaimEvent.objects.filter(what="held").exists()


@pytest.mark.parametrize(
    ("action", "values", "before", "after"),
    [
        ("hold", {}, {}, {"state": "held"}),
        ("priority", {"priority": "90"}, {}, {"priority": 90, "state": "ready"}),
        ("through_step", {"through_step": "photocal"}, {}, {"through_step": "photocal"}),
        ("ready", {}, {"state": "failed", "attempt": 3, "last_error": "x"}, {"state": "ready", "attempt": 0}),
        ("accept", {}, {"state": "partial"}, {"state": "done"}),
    ],
)
def test_a_move_of_many_moves_them_and_is_kept_with_name_and_reason(
    operator: User, client: Client, action: str, values: dict, before: dict, after: dict
) -> None:
    rows = known(3)
    KnownExposure.objects.update(**before)
    page = do(client, action, rows[:2], **values)
    for row in rows[:2]:
        row.refresh_from_db()
        assert {name: getattr(row, name) for name in after} == after
        event = ClaimEvent.objects.filter(known_exposure=row).first()
        assert event.actor == operator.username and "because" in event.reason
        assert row.identifier in page.split('role="status"')[1].split("</p>")[0]
    assert state(rows[2]) == before.get("state", "ready")
    assert len(set(ClaimEvent.objects.filter(actor=operator.username).values_list("move"))) == 1


def test_not_before_is_set_and_taken_away(operator: User, client: Client) -> None:
    rows = known(1)
    do(client, "not_before", rows, not_before="2026-11-24T06:00")
    rows[0].refresh_from_db()
    assert rows[0].not_before == datetime.datetime(2026, 11, 24, 6, tzinfo=datetime.UTC)
    do(client, "not_before", rows, not_before="")
    rows[0].refresh_from_db()
    assert rows[0].not_before is None


@pytest.mark.parametrize(("counts", "attempt"), [("", 0), ("yes", 1)])
def test_a_claim_is_given_back_and_its_holder_is_fenced(
    operator: User, client: Client, counts: str, attempt: int
) -> None:
    (row,) = known()
    claim = claimed()
    do(client, "release", [row], counts=counts)
    assert state(row) == "ready" and row.attempt == attempt and row.not_before is None
    assert claiming.heartbeat(claim.token) is False


def test_what_cannot_be_moved_stays_and_says_why(operator: User, client: Client) -> None:
    rows = known(3)
    claimed()
    asked = client.post(MOVE, {"action": "hold", "id": [str(row.pk) for row in rows]}).content.decode()
    assert "1 of them will stay as they are: claimed" in asked
    page = do(client, "hold", rows)
    assert [state(row) for row in rows] == ["claimed", "held", "held"]
    assert "Left as it is: raw_0000.fits: it is claimed: it cannot be held" in page
    assert "Held: raw_0001.fits, raw_0002.fits." in page or "Held: raw_0002.fits, raw_0001.fits." in page


def test_a_move_that_suits_none_offers_no_button(operator: User, client: Client) -> None:
    (row,) = known()
    page = client.get(MOVE, {"action": "release", "id": str(row.pk)}).content.decode()
    assert "It is ready; this is for what is claimed or running." in page and 'name="reason"' not in page


def test_delete_forgets_the_row_and_keeps_the_events(operator: User, client: Client) -> None:
    (row,) = known()
    assert "Deleted: raw_0000.fits." in do(client, "delete", [row])
    assert not KnownExposure.objects.exists()
    assert events(row)[-1] == ("deleted", "ready", "")


@pytest.mark.parametrize(
    "values",
    [
        {"action": "priority", "priority": "9" * 30}, {"action": "priority", "priority": "high"},
        {"action": "not_before", "not_before": "soon"}, {"action": "not_before", "not_before": "9999-99-99"},
        {"action": "through_step", "through_step": "dinner"}, {"action": "release", "counts": "maybe"},
        {"action": "hold", "reason": "x" * 2000},
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_and_named(operator: User, client: Client, values: dict) -> None:
    (row,) = known()
    claimed() if values["action"] == "release" else None
    before = events(row)
    sent = {"id": str(row.pk), "step": "do", "reason": "because", **values}
    page = client.post(MOVE, sent).content.decode()
    assert '<span class="bad">' in page and events(row) == before


def test_nothing_chosen_is_said(operator: User, client: Client) -> None:
    for ids in ([], ["no-uuid"], ["00000000-0000-7000-8000-000000000000"]):
        page = client.post(MOVE, {"action": "hold", "id": ids}, follow=True).content.decode()
        assert "Nothing was chosen to hold." in page
    assert client.post(MOVE, {"action": "explode", "id": []}).status_code == 404


def test_a_form_leads_back_to_where_one_was_and_nowhere_else(operator: User, client: Client) -> None:
    (row,) = known()
    for address, leads in (
        ("/conductor/?state=held", "/conductor/?state=held"), ("https://elsewhere.org/", "/conductor/"),
        ("//elsewhere.org", "/conductor/"), ("javascript:alert(1)", "/conductor/"),
    ):  # fmt: skip
        answer = client.post(
            MOVE, {"action": "priority", "priority": 1, "id": str(row.pk), "step": "do", "reason": "x", "next": address}
        )
        assert answer.status_code == 302 and answer.url == leads
        assert "javascript:" not in client.get(MOVE, {"action": "hold", "id": row.pk, "next": address}).content.decode()


# Taking back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["hold", "ready", "accept"])
def test_a_move_is_taken_back_with_all_that_it_changed(operator: User, client: Client, action: str) -> None:
    known()
    row = partial()
    KnownExposure.objects.filter(pk=row.pk).update(not_before=timezone.now().replace(microsecond=123_456), attempt=3)
    before = KnownExposure.objects.filter(pk=row.pk).values().get()
    do(client, action, [row])
    assert state(row) != "partial"
    event = ClaimEvent.objects.latest("id")
    page = client.post(UNDO, {"event": event.pk, "step": "do", "reason": "a mistake"}, follow=True).content.decode()
    assert f"Taken back: {row.identifier}." in page
    assert KnownExposure.objects.filter(pk=row.pk).values().get() == before
    last = ClaimEvent.objects.latest("id")
    assert (last.what, last.actor, last.reason) == ("undone", operator.username, "a mistake")


def test_a_change_of_many_is_taken_back_at_once_and_again(operator: User, client: Client, text: Text) -> None:
    rows = known(3)
    do(client, "priority", rows, priority="90")
    page = text(PAGE)
    assert "3 exposures: priority 0 → 90; because" in page
    link = re.search(r'href="(/conductor/events/undo/\?[^"]+)"', page).group(1)
    keys = re.findall(r"event=(\d+)", link)
    assert len(keys) == 3
    client.post(UNDO, {"event": keys, "step": "do", "reason": "too much"})
    assert {row.priority for row in KnownExposure.objects.all()} == {0}
    undo([event.pk for event in ClaimEvent.objects.filter(what="undone")], actor="ada")
    assert {row.priority for row in KnownExposure.objects.all()} == {90}


def test_what_moved_on_is_not_taken_back(operator: User, client: Client, text: Text) -> None:
    rows = known(2)
    do(client, "priority", rows, priority="5")
    first, second = ClaimEvent.objects.filter(what="changed").order_by("id")
    claimed()
    moved = undo([first.pk, second.pk], actor="ada")
    refused = next(one for one in moved if not one.ok)
    assert refused.error == "it was claimed by here since" and sum(one.ok for one in moved) == 1
    assert state(rows[0]) == "claimed" and rows[0].priority == 5
    assert f"event={first.pk}" not in text("/conductor/events/")


def test_what_is_in_another_state_without_an_event_is_not_taken_back(operator: User, client: Client) -> None:
    (row,) = known()
    do(client, "hold", [row])
    KnownExposure.objects.update(state="failed")  # as by somebody in the database
    (moved,) = undo([ClaimEvent.objects.latest("id").pk], actor="ada")
    assert moved.error == "it is failed now" and state(row) == "failed"
    assert not ClaimEvent.objects.filter(what="undone").exists()


def test_claims_and_deletions_are_not_taken_back(operator: User, client: Client) -> None:
    rows = known(2)
    claimed()
    claim_event = ClaimEvent.objects.get(what="claimed")
    do(client, "delete", [rows[1]])
    gone = ClaimEvent.objects.get(what="deleted")
    assert [one.ok for one in undo([claim_event.pk, gone.pk], actor="ada")] == [False, False]
    page = client.get(UNDO, {"event": claim_event.pk}).content.decode()
    assert "cannot be taken back any more" in page and 'name="reason"' not in page
    assert client.get(UNDO, {"event": "0"}).status_code == 404


def test_events_are_listed_and_found(operator: User, client: Client, text: Text) -> None:
    rows = known(2)
    do(client, "hold", rows[:1])
    client.post("/conductor/policy/", {"do": "pause", "step": "do", "reason": "wind"})
    for query, number in (
        ("", 4), ("what=held", 1), ("actor=ada", 2), ("identifier=raw_0001", 1), ("instrument=demo", 3),
        (f"known_exposure={rows[0].pk}", 2), ("since=2100-01-01T00:00Z", 0), ("until=2100-01-01T00:00Z", 4),
        ("since=whenever", 4),
    ):  # fmt: skip
        page = text(f"/conductor/events/?{query}")
        assert f"{number} event" in page, query


# All of them ---------------------------------------------------------------------------------------------


def test_handing_out_is_paused_and_goes_on_with_a_reason(operator: User, client: Client, text: Text) -> None:
    known()
    sent = {"step": "do", "reason": "the dome is wet"}
    assert 'name="reason"' in text("/conductor/policy/?do=pause")
    client.post("/conductor/policy/", {"do": "pause", **sent})
    page = text(PAGE)
    assert Policy.objects.get().is_paused and "paused" in page and f"by {operator.username}" in page
    assert "the dome is wet" in page and "do=resume" in page
    client.post("/conductor/policy/", {"do": "resume", **sent})
    assert not Policy.objects.get().is_paused and "do=pause" in text(PAGE)
    client.post("/conductor/policy/", {"do": "pause", "step": "do", "reason": "wind"})
    client.post("/conductor/policy/", {"do": "through_step", "through_step": "photocal", **sent})
    assert "UT: wind; through photocal" in text(PAGE), "the reason of the pause, not of what was changed since"
    client.post("/conductor/policy/", {"do": "resume", **sent})
    assert Policy.objects.get().through_step == "photocal" and "through photocal" in text(PAGE)
    told = list(ClaimEvent.objects.filter(known_exposure=None).order_by("id").values_list("what", "actor"))
    assert told == [(what, operator.username) for what in ("paused", "resumed", "paused", "changed", "resumed")]
    assert client.post("/conductor/policy/", {"do": "dance"}).status_code == 404


@pytest.mark.parametrize("number", [0, 1])
def test_the_numbers_on_the_first_page_are_for_those_who_may_see_them(client: Client, text: Text, number: int) -> None:
    for _ in range(number):  # nights without and with an exposure look different
        factories.full_ccd()
    known(3)
    claimed()
    assert "waiting</dt>" not in text("/") and 'href="/conductor/"' not in text("/")
    person(client, "view_knownexposure")
    page = text("/")
    assert "1 alive" in page and 'href="/conductor/"' in page
    assert re.search(r"<dt>waiting</dt><dd><a [^>]+>2</a>", page) and re.search(
        r"<dt>running</dt><dd><a [^>]+>1</a>", page
    )
