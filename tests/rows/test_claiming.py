"""Claims: each exposure is held by one at a time, whatever dies, is late, or asks twice."""

from __future__ import annotations

import datetime
import time
import uuid

import pytest
from django.db import connection
from django.utils import timezone

from conductor.errors import BadValue, LeaseLost, TokenUsed
from conductor.models import KnownExposure, PipelineWorker
from conductor.models.known_exposures import MAX_ATTEMPTS
from conductor.services import claiming
from conductor.services.claiming import claim, expire_overdue, heartbeat, release, start
from conductor.services.finishing import finish
from conductor.services.policy import set_policy
from tests.rows.sharing import run_beside
from tests.rows.waiting import claimed, events, known, lost, wait_no_more

pytestmark = pytest.mark.django_db
State = KnownExposure.State
DONE = {"state": "done"}


def test_the_highest_priority_comes_first_and_then_the_oldest():
    old, new, urgent = known(3)
    KnownExposure.objects.filter(pk=urgent.pk).update(priority=1)
    assert [claimed().known_exposure for _ in range(3)] == [urgent, old, new]
    assert claim(uuid.uuid4(), "here") is None


def test_nothing_is_handed_out_that_is_held_or_too_early_or_of_another_kind_or_instrument():
    held, early, bias, other = known(4)
    KnownExposure.objects.filter(pk=held.pk).update(state=State.HELD)
    KnownExposure.objects.filter(pk=early.pk).update(not_before=timezone.now() + datetime.timedelta(minutes=5))
    KnownExposure.objects.filter(pk=bias.pk).update(kind="bias")
    KnownExposure.objects.filter(pk=other.pk).update(instrument="sdss")
    assert claim(uuid.uuid4(), "here", instrument="demo") is None
    assert claimed(kinds=["bias", "flat"]).known_exposure == bias
    KnownExposure.objects.filter(pk=early.pk).update(not_before=timezone.now() - datetime.timedelta(seconds=1))
    assert claimed(instrument="demo").known_exposure == early
    assert claimed().known_exposure == other


def test_a_claim_counts_the_attempt_and_says_who_holds_it_and_until_when():
    known()
    before = timezone.now()
    found = claimed("perlmutter", lease=60)
    row = found.known_exposure
    assert (row.state, row.attempt, row.lease_token, str(row.worker)) == (State.CLAIMED, 1, found.token, "perlmutter")
    assert 59 < (row.lease_expires - before).total_seconds() < 75
    assert PipelineWorker.objects.get().last_heartbeat >= before - datetime.timedelta(seconds=1)
    assert events(row) == [("added", "", "ready"), ("claimed", "ready", "claimed")]


def test_a_paused_conductor_hands_out_nothing_and_what_runs_goes_on():
    known(2)
    first = claimed()
    set_policy(is_paused=True)
    assert claim(uuid.uuid4(), "here") is None
    assert heartbeat(first.token) and start(first.token) and finish(first.token, {"N1": DONE}).state == State.DONE
    set_policy(is_paused=False)
    assert claim(uuid.uuid4(), "here") is not None


def test_nobody_goes_further_than_the_earliest_step_that_was_named():
    known(4, through_step="measuring")
    assert claimed().through_step == "measuring"
    assert claimed(through_step="detection").through_step == "detection"
    set_policy(through_step="photocal")
    assert claimed(through_step="detection").through_step == "photocal"
    set_policy(through_step="")
    KnownExposure.objects.update(through_step="")
    assert claimed().through_step == ""


@pytest.mark.parametrize(
    ("options", "field"),
    [({"through_step": "exposure"}, "through_step"), ({"lease": 0}, "lease"), ({"lease": 1e9}, "lease")],
)
def test_what_cannot_be_is_refused_before_anything_is_taken(options, field):
    (row,) = known()
    with pytest.raises(BadValue) as refused:
        claim(uuid.uuid4(), "here", **options)
    assert refused.value.details["field"] == field
    row.refresh_from_db()
    assert row.state == State.READY and row.attempt == 0


# Asking twice, and too late ------------------------------------------------------------------------------


def test_the_same_token_gives_the_same_exposure_and_renews_the_lease():
    known(2)
    token = uuid.uuid4()
    first = claim(token, "here", lease=1)
    again = claim(token, "here", lease=100)
    assert again.known_exposure == first.known_exposure
    assert again.lease_expires > first.lease_expires + datetime.timedelta(seconds=50)
    assert again.known_exposure.attempt == 1
    assert KnownExposure.objects.filter(state=State.READY).count() == 1


def test_a_token_is_good_for_one_claim():
    known(2)
    token = claimed().token
    finish(token, {"N1": DONE})
    with pytest.raises(TokenUsed, match=r"raw_0000\.fits"):
        claim(token, "here")


def test_what_was_lost_is_tried_again_after_a_while_by_another_and_its_old_holder_is_fenced():
    (row,) = known()
    gone = lost()
    assert claim(uuid.uuid4(), "other") is None
    row.refresh_from_db()
    assert row.state == State.READY and 50 < (row.not_before - timezone.now()).total_seconds() <= 60
    wait_no_more()
    mine = claimed("other")
    assert mine.known_exposure == row and mine.known_exposure.attempt == 2
    assert not heartbeat(gone.token)
    for say in (
        lambda: start(gone.token), lambda: release(gone.token), lambda: finish(gone.token, {"N1": DONE}),
        lambda: finish(gone.token, {}, error="too late"),
    ):  # fmt: skip
        with pytest.raises(LeaseLost, match="expired by conductor"):
            say()
    row.refresh_from_db()
    assert row.lease_token == mine.token and row.state == State.CLAIMED
    assert "gone was lost while it was claimed" in row.last_error
    assert [what for what, *_ in events(row)] == ["added", "claimed", "expired", "claimed"]


def test_a_heartbeat_keeps_what_would_be_lost():
    known()
    found = claimed(lease=0.3)
    for _ in range(3):
        time.sleep(0.15)
        assert heartbeat(found.token, lease=0.3)
        assert expire_overdue() == 0
    time.sleep(0.35)
    assert expire_overdue() == 1


def test_whoever_never_claimed_is_told_so():
    known()
    assert not heartbeat(uuid.uuid4())
    with pytest.raises(LeaseLost, match="nobody claimed anything"):
        finish(uuid.uuid4(), {"N1": DONE})


def test_attempts_are_bounded_and_the_last_loss_says_who_was_lost():
    (row,) = known()
    for number in range(MAX_ATTEMPTS):
        found = lost(f"cluster-{number}")
        assert found.known_exposure.attempt == number + 1
        assert expire_overdue() == 1
        row.refresh_from_db()
        waits = row.not_before and (row.not_before - timezone.now()).total_seconds()
        assert waits == pytest.approx((60, 300)[number], abs=10) if number < 2 else waits is None
        wait_no_more()
    assert claim(uuid.uuid4(), "here") is None
    row.refresh_from_db()
    assert (row.state, row.attempt, row.lease_token) == (State.FAILED, MAX_ATTEMPTS, None)
    assert "cluster-2 was lost" in row.last_error and "attempt 3" in row.last_error
    assert events(row)[-1] == ("expired", "claimed", "failed")


def test_leases_that_ran_out_are_taken_back_without_anybody_asking():
    known(3)
    lost(), lost()
    kept = claimed()
    assert expire_overdue() == 0  # the claims have done it
    KnownExposure.objects.filter(lease_token=kept.token).update(lease_expires=timezone.now() - datetime.timedelta(1))
    assert expire_overdue() == 1
    assert not KnownExposure.objects.filter(state__in=KnownExposure.LEASED).exists()


# Beside other processes ----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_thirty_two_claimers_take_five_hundred_exposures_once_each(tmp_path):
    known(500)
    found = run_beside("tests.rows.claimers", {"job": "claim_all", "processes": 32}, tmp_path)
    assert [one["failed"] for one in found["done"] if "failed" in one] == []
    names = sorted(name for one in found["done"] for name in one["claimed"])
    assert names == [f"raw_{i:04d}.fits" for i in range(500)]
    assert (found["claims"], found["different"], found["states"]) == (500, 500, [["done", 1]])
    assert found["late"] < 32
    assert found["events"] == 4 * 500


@pytest.mark.django_db(transaction=True)
def test_one_token_that_asks_eight_times_at_once_holds_one_exposure(tmp_path):
    known(8)
    found = run_beside("tests.rows.claimers", {"job": "claim_with_one_token", "processes": 8}, tmp_path)
    assert [one["failed"] for one in found["done"] if "failed" in one] == []
    assert len({name for one in found["done"] for name in one["claimed"]}) == 1
    assert found["claims"] == 1


@pytest.mark.django_db(transaction=True)
def test_what_eight_processes_add_at_once_is_added_once(tmp_path):
    found = run_beside("tests.rows.claimers", {"job": "add_the_same", "processes": 8}, tmp_path)
    assert [one["failed"] for one in found["done"] if "failed" in one] == []
    assert sum(one["new"] for one in found["done"]) == found["known"] == found["events"] == 200
    assert all(one["new"] + one["known"] == 200 for one in found["done"])


def test_the_claim_reads_the_order_from_the_index():
    """However many are done, a claim finds the next one without sorting."""
    known(20)
    statement = claiming.claim_statement(" AND kind IN (%s)")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
        explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
        cursor.execute(explain + statement, [uuid.uuid4().hex, 60.0, 1, "science"])
        plan = " ".join(str(row) for row in cursor.fetchall())
    assert "known_exposure_ready" in plan and "Sort" not in plan and "TEMP B-TREE" not in plan, plan
