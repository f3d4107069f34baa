"""Known exposures: what makes them known, and what the database refuses."""

from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from conductor.errors import BadValue
from conductor.models import ClaimEvent, KnownExposure
from conductor.selectors import overview
from conductor.services.adding import add
from conductor.services.claiming import claim
from conductor.services.moving import move
from tests.rows.waiting import MJD, claimed, known, offers

pytestmark = pytest.mark.django_db
State = KnownExposure.State


def test_what_is_known_is_left_alone_when_it_is_added_again():
    first = known(2, priority=4)
    added = add("demo", offers(3, target="another"), actor="test", hold=True)
    assert [row.identifier for row in added.new] == ["raw_0002.fits"]
    assert added.known == ["raw_0000.fits", "raw_0001.fits"] and added.new[0].state == State.HELD
    first[0].refresh_from_db()
    assert (first[0].priority, first[0].target, first[0].state) == (4, "", State.READY)
    assert ClaimEvent.objects.filter(what="added").count() == 3


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_frames_that_no_launcher_takes_are_held_and_say_so(kind):
    added = add("demo", offers(2, kind=kind), actor="test")
    assert {row.state for row in added.new} == {State.HELD}
    event = ClaimEvent.objects.filter(known_exposure=added.new[0]).get()
    assert (event.what, event.to_state) == ("added", "held") and f"a {kind} exposure" in event.reason
    known(1, instrument="sdss")
    found = overview()
    assert (found.waiting, found.later, found.held) == (1, 0, 0) and found.counts["held"] == 2
    move("ready", [row.pk for row in added.new], actor="ada")
    assert overview().waiting == 1 and overview().counts["ready"] == 3, "nothing waits that nobody will take"
    assert claim(uuid.uuid4(), "here", kinds=[kind]).known_exposure.kind == kind, "unless it is asked for"


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
    with pytest.raises(BadValue, match=r"there are: .*demo"):
        add("dem", offers(1), actor="test")
    with pytest.raises(BadValue, match="there is no step"):
        add("demo", offers(1), actor="test", through_step="exposure")


def test_a_position_can_be_searched_and_need_not_be_there():
    add("demo", offers(1, ra=192.8595, dec=27.1283), actor="test")  # the galactic pole
    (row,) = KnownExposure.objects.near(192.86, 27.128, 5)
    assert row.galactic_latitude == pytest.approx(90, abs=0.01)
    assert KnownExposure.objects.create(instrument="demo", identifier="nowhere", mjd=MJD).galactic_latitude is None


# What the database holds ---------------------------------------------------------------------------------


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
