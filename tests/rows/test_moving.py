"""Moves: what people do with known exposures is checked against their states, and written down."""

from __future__ import annotations

import datetime
import uuid

import pytest
from django.utils import timezone

from conductor import selectors
from conductor.errors import BadValue, LeaseLost, WrongState
from conductor.models import ClaimEvent, KnownExposure
from conductor.models.known_exposures import MAX_ATTEMPTS
from conductor.services.claiming import heartbeat, start
from conductor.services.finishing import finish
from conductor.services.moving import ACTIONS, move, move_one
from conductor.services.workers import forget, register
from tests.rows.waiting import claimed, events, known, lost

pytestmark = pytest.mark.django_db
State = KnownExposure.State


def in_state(state: str) -> KnownExposure:
    """A known exposure that came to a state on a way that it really takes."""
    (row,) = known(hold=state == State.HELD)
    if state in (State.HELD, State.READY):
        return row
    token = claimed().token
    if state == State.RUNNING:
        start(token)
    ends = {State.DONE: {"A": "done"}, State.PARTIAL: {"A": "done", "B": "failed"}, State.FAILED: {"A": "failed"}}
    if state in ends:
        finish(token, {name: {"state": end} for name, end in ends[state].items()})
    row.refresh_from_db()
    assert row.state == state
    return row


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", State.values)
def test_every_move_is_done_and_written_down_or_refused_with_the_state(action, state):
    row = in_state(state)
    before = events(row)
    values = {"priority": 7} if action == "change" else {}
    (moved,) = move(action, [row.pk], actor="ada", reason="because", **values)
    if state not in ACTIONS[action].allowed:
        assert not moved.ok and moved.state == state and f"it is {state}" in moved.error
        assert events(row) == before
        with pytest.raises(WrongState, match=f"is {state}: it cannot be {ACTIONS[action].done}"):
            move_one(action, row, actor="ada", **values)
        return
    assert moved.ok and events(row)[: len(before)] == before
    what, was, now = events(row)[-1]
    assert (was, now) == (state, moved.state) and len(events(row)) == len(before) + 1
    assert what in (ACTIONS[action].done, "expired")
    event = ClaimEvent.objects.latest("id")
    assert event.actor == "ada" and "because" in event.reason
    after = KnownExposure.objects.filter(pk=row.pk).first()
    assert (after is None) == (action == "delete")
    if after:
        expected = state if ACTIONS[action].to_state is None else ACTIONS[action].to_state
        assert after.state == moved.state == expected
        assert (after.lease_token is None) == (after.state not in KnownExposure.LEASED)


def test_a_holder_whose_exposure_a_person_took_is_fenced_and_told_by_whom():
    (row,) = known()
    token = claimed().token
    start(token)
    move_one("release", row, actor="ada", reason="wrong reference")
    assert not heartbeat(token)
    with pytest.raises(LeaseLost, match="released by ada"):
        finish(token, {"N1": {"state": "done"}})
    row.refresh_from_db()
    assert (row.state, row.attempt) == (State.READY, 0)


def test_taken_from_a_lost_holder_the_attempt_counts_and_the_last_one_fails():
    (row,) = known()
    for number in range(1, MAX_ATTEMPTS + 1):
        claimed("gone")
        moved = move_one("expire", row, actor="ada")
        assert moved.attempt == number and "gone was lost" in moved.last_error
    assert moved.state == State.FAILED


def test_made_ready_again_it_begins_as_at_first():
    (row,) = known()
    finish(claimed().token, {"A": {"state": "failed", "error": "x", "transient": True}})
    row = move_one("ready", row, actor="ada")
    assert (row.state, row.attempt, row.not_before, row.last_error, row.worker) == (State.READY, 0, None, "", None)


def test_many_are_moved_at_once_and_each_answer_is_for_its_row(django_assert_max_num_queries):
    rows = known(1200)
    taken, nobody = claimed().known_exposure, uuid.uuid4()
    with django_assert_max_num_queries(40):
        moved = move("hold", [nobody, *(row.pk for row in rows)], actor="ada")
    assert [one.id for one in moved[1:]] == [row.pk for row in rows]
    assert not moved[0].ok and "no such" in moved[0].error
    assert [one.id for one in moved[1:] if not one.ok] == [taken.pk]
    assert KnownExposure.objects.filter(state=State.HELD).count() == 1199
    assert ClaimEvent.objects.filter(what="held").count() == 1199


def test_how_it_is_handed_out_can_be_changed_and_the_event_says_how():
    (row,) = known()
    later = timezone.now() + datetime.timedelta(hours=1)
    row = move_one("change", row, actor="ada", priority=-3, not_before=later, through_step="photocal")
    assert (row.priority, row.not_before, row.through_step) == (-3, later, "photocal")
    assert "priority 0 → -3" in ClaimEvent.objects.latest("id").reason
    assert move_one("change", row, actor="ada", not_before=None).not_before is None


@pytest.mark.parametrize(
    ("action", "values", "field"),
    [
        ("throw", {}, "action"), ("change", {}, "action"), ("change", {"state": "done"}, "state"), ("hold", {"priority": 1}, "priority"),
        ("change", {"priority": "high"}, "priority"), ("change", {"priority": True}, "priority"), ("change", {"priority": 10**9}, "priority"),
        ("change", {"through_step": "exposure"}, "through_step"), ("change", {"not_before": "soon"}, "not_before"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused_by_name(action, values, field):
    (row,) = known()
    with pytest.raises(BadValue) as refused:
        move(action, [row.pk], actor="ada", **values)
    assert refused.value.details["field"] == field
    assert len(events(row)) == 1


def test_the_overview_counts_what_waits_what_is_lost_and_who_is_alive():
    assert selectors.overview().oldest is None
    known(6)
    early, held, *_ = KnownExposure.objects.order_by("mjd")
    move("change", [early.pk], actor="ada", not_before=timezone.now() + datetime.timedelta(hours=1))
    move("hold", [held.pk], actor="ada")
    register("alive", "n1", process_id=7, version="0.1.0")
    finish(claimed("alive", lease=60).token, {"A": {"state": "failed"}})
    lost("gone")
    found = selectors.overview()
    assert (found.waiting, found.later, found.in_work, found.lost, found.held) == (2, 1, 1, 1, 1)
    assert found.counts["done"] == 0 and sum(found.counts.values()) == 6
    assert datetime.timedelta(0) <= found.oldest < datetime.timedelta(minutes=10)
    assert (found.workers, found.alive) == (3, 3)


def test_workers_show_what_they_hold_and_whether_they_live():
    known(2)
    mine = claimed("busy").known_exposure
    worker = mine.worker
    register("busy", process_id=8)
    type(worker).objects.filter(pk=worker.pk).update(last_heartbeat=timezone.now() - datetime.timedelta(minutes=10))
    register("idle", "n1")
    busy, idle = selectors.workers()
    assert (busy.is_alive, busy.at_work, busy.process_id) == (False, [mine], 8)
    assert (idle.is_alive, idle.at_work) == (True, [])
    forget(worker)
    mine.refresh_from_db()
    assert mine.worker == worker and mine.state == State.CLAIMED
    assert [row.node for row in selectors.workers()] == ["n1"]
    register("busy")  # it is there again
    assert [row.node for row in selectors.workers()] == ["", "n1"]
