"""Claims: each exposure is held by one at a time, whatever dies, is late, or asks twice."""

from __future__ import annotations

import datetime
import time
import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from conductor.errors import BadValue, LeaseLost, TokenUsed
from conductor.models import ClaimEvent, KnownExposure, PipelineWorker
from conductor.models.known_exposures import MAX_ATTEMPTS
from conductor.services import claiming
from conductor.services.adding import add
from conductor.services.claiming import claim, expire_overdue, heartbeat, release, start
from conductor.services.finishing import finish
from conductor.services.policy import set_policy
from tests import factories
from tests.rows.sharing import run_beside
from tests.rows.waiting import MJD, claimed, events, known, lost, offers

pytestmark = pytest.mark.django_db
State = KnownExposure.State
DONE, FAILED = {"state": "done"}, {"state": "failed", "error": "4 stars found, 10 needed"}
KILLED = {"state": "failed", "error": "the process was killed by SIGKILL", "transient": True}


# Who gets what -----------------------------------------------------------------------------------------


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


# Asking twice, and too late ----------------------------------------------------------------------------


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


def test_a_lost_lease_is_taken_by_the_next_asker_without_any_delay():
    (row,) = known()
    gone = lost()
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
    (row,) = known()
    found = claimed(lease=0.3)
    for _ in range(3):
        time.sleep(0.15)
        assert heartbeat(found.token, lease=0.3)
        assert claim(uuid.uuid4(), "other") is None
    time.sleep(0.35)
    assert claimed("other").known_exposure == row


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


# The end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "state"),
    [
        ({"N1": DONE, "N2": DONE}, State.DONE),
        ({"N1": DONE, "N2": FAILED}, State.PARTIAL),
        ({"N1": DONE}, State.PARTIAL),
        ({"N1": FAILED, "N2": FAILED}, State.FAILED),
        ({"N1": FAILED, "N2": KILLED}, State.FAILED),
        ({"N1": DONE, "N2": KILLED}, State.READY),
        ({}, State.FAILED),
    ],
)
def test_done_means_that_every_ccd_finished(sections, state):
    (row,) = known()
    token = claimed().token
    assert start(token, sections=["N1", "N2"]).state == State.RUNNING
    row = finish(token, sections)
    assert row.state == state and row.lease_token is None
    assert set(row.sections) == {"N1", "N2"}
    assert bool(row.last_error) == (state != State.DONE)
    assert events(row)[-1][1:] == ("running", state)


def test_passing_troubles_are_met_again_after_a_longer_and_longer_while_and_not_for_ever():
    known()
    for minutes in (1, 5):
        token, before = claimed().token, timezone.now()
        row = finish(token, {"N1": KILLED})
        assert row.state == State.READY
        assert (row.not_before - before).total_seconds() == pytest.approx(60 * minutes, abs=10)
        assert claim(uuid.uuid4(), "here") is None
        KnownExposure.objects.update(not_before=None)
    row = finish(claimed().token, {"N1": KILLED})
    assert (row.state, row.attempt) == (State.FAILED, MAX_ATTEMPTS)
    assert "SIGKILL" in row.last_error


def test_a_raw_file_that_cannot_be_fetched_fails_or_is_tried_again():
    known()
    assert finish(claimed().token, {}, error="the archive is away", transient=True).state == State.READY
    KnownExposure.objects.update(not_before=None)
    row = finish(claimed().token, {}, error="it is no FITS file")
    assert (row.state, row.last_error) == (State.FAILED, "it is no FITS file")


def test_an_end_that_is_said_twice_counts_once():
    (row,) = known()
    token = claimed().token
    assert finish(token, {"N1": DONE}).state == State.DONE
    assert finish(token, {"N1": FAILED}).state == State.DONE
    assert [what for what, *_ in events(row)] == ["added", "claimed", "finished"]


def test_what_is_given_back_does_not_count_as_an_attempt():
    (row,) = known()
    for _ in range(MAX_ATTEMPTS + 2):
        token = claimed().token
        start(token)
        row = release(token, "SIGTERM")
        assert (row.state, row.attempt, row.lease_token) == (State.READY, 0, None)
    assert ClaimEvent.objects.filter(what="released", reason="SIGTERM").count() == MAX_ATTEMPTS + 2


def test_the_exposure_of_the_archive_is_known_from_the_start_on():
    known()
    exposure = factories.exposure()
    token = claimed().token
    assert start(token, exposure=exposure).exposure == exposure
    assert finish(token, {"N1": DONE}).exposure == exposure


def test_a_start_that_is_said_twice_begins_once():
    (row,) = known()
    token = claimed().token
    start(token)
    start(token)
    assert [what for what, *_ in events(row)] == ["added", "claimed", "started"]


@pytest.mark.parametrize(
    "said", [{"state": "good"}, {}, "done", {"state": "failed", "error": 3}, {"state": "done", "transient": "no"}]
)
def test_what_cannot_be_said_of_a_ccd_is_refused_and_the_claim_goes_on(said):
    known()
    token = claimed().token
    with pytest.raises(BadValue, match="N1"):
        finish(token, {"N1": said})
    assert heartbeat(token)


# What the database holds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "lost"}, {"lease_token": uuid.UUID(int=1)}, {"state": "running"}, {"lease_expires": timezone.now()},
        {"ra": 10.0}, {"ra": 400.0, "dec": 0.0, "hpx": 1}, {"dec": 3.0}, {"attempt": -1},
        {"state": "claimed", "lease_token": uuid.UUID(int=1)},
    ],
)  # fmt: skip
def test_the_database_refuses_states_that_cannot_be(wrong):
    (row,) = known()
    with pytest.raises(IntegrityError), transaction.atomic():
        KnownExposure.objects.filter(pk=row.pk).update(**wrong)


def test_one_token_holds_one_exposure():
    known(2)
    token, other = claimed().token, claimed()
    with pytest.raises(IntegrityError), transaction.atomic():
        KnownExposure.objects.filter(pk=other.known_exposure.pk).update(lease_token=token)


def test_events_are_written_once_and_outlive_what_they_are_about():
    (row,) = known()
    event = ClaimEvent.objects.get()
    for change in (
        event.save,
        event.delete,
        ClaimEvent.objects.all().delete,
        lambda: ClaimEvent.objects.update(actor="x"),
    ):
        with pytest.raises(TypeError, match="never"):
            change()
    row.delete()
    assert ClaimEvent.objects.get().identifier == "raw_0000.fits"


# Making known ------------------------------------------------------------------------------------------


def test_what_is_known_is_left_alone_when_it_is_added_again():
    first = known(2, priority=4)
    added = add("demo", offers(3, target="another"), actor="test", hold=True)
    assert [row.identifier for row in added.new] == ["raw_0002.fits"]
    assert added.known == ["raw_0000.fits", "raw_0001.fits"] and added.new[0].state == State.HELD
    first[0].refresh_from_db()
    assert (first[0].priority, first[0].target, first[0].state) == (4, "", State.READY)
    assert ClaimEvent.objects.filter(what="added").count() == 3


def test_the_same_name_of_another_instrument_is_another_exposure():
    known(1)
    assert len(known(1, instrument="sdss")) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"filter": "x" * 30}, {"kind": "moon"}, {"exposure_time": -1.0}, {"exposure_time": float("nan")}, {"ra": 10.0, "dec": 95.0},
        {"ra": float("inf"), "dec": 0.0}, {"params": {"path": "a\0b"}}, {"target": "a\0b"}, {"params": {"x": float("nan")}},
    ],
)  # fmt: skip
def test_what_cannot_be_a_row_is_named_and_the_others_are_added(wrong):
    good, bad = offers(1)[0], offers(2, **wrong)[1]
    added = add("demo", [bad, good], actor="test")
    assert [row.identifier for row in added.new] == ["raw_0000.fits"]
    assert [one.identifier for one in added.refused] == ["raw_0001.fits"] and added.refused[0].reason


def test_an_unknown_instrument_or_step_is_refused():
    with pytest.raises(BadValue, match="there are: demo"):
        add("dem", offers(1), actor="test")
    with pytest.raises(BadValue, match="there is no step"):
        add("demo", offers(1), actor="test", through_step="exposure")


def test_a_position_can_be_searched_and_need_not_be_there():
    add("demo", offers(1, ra=192.8595, dec=27.1283), actor="test")  # the galactic pole
    (row,) = KnownExposure.objects.near(192.86, 27.128, 5)
    assert row.galactic_latitude == pytest.approx(90, abs=0.01)
    assert KnownExposure.objects.create(instrument="demo", identifier="nowhere", mjd=MJD).galactic_latitude is None


# Beside other processes --------------------------------------------------------------------------------


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
