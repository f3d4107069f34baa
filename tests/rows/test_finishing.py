"""What a holder says at the end, and what becomes of its exposure."""

from __future__ import annotations

import uuid

import pytest
from django.utils import timezone

from conductor.errors import BadValue
from conductor.models import ClaimEvent, KnownExposure
from conductor.models.known_exposures import MAX_ATTEMPTS
from conductor.services.claiming import claim, heartbeat, release, start
from conductor.services.finishing import finish
from tests import factories
from tests.rows.waiting import claimed, events, known

pytestmark = pytest.mark.django_db
State = KnownExposure.State
DONE, FAILED = {"state": "done"}, {"state": "failed", "error": "4 stars found, 10 needed"}
KILLED = {"state": "failed", "error": "the process was killed by SIGKILL", "transient": True}


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
