"""Watches: what appears in a folder becomes known once, and what is wrong is said and stops nobody else."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from conductor import tasks, watching
from conductor.errors import BadValue
from conductor.models import ClaimEvent, KnownExposure, Watch
from conductor.watching import check_arguments, due, look, look_all
from processing.errors import BadInput
from processing.instruments.base import Instrument
from products import storage
from tests.instruments.test_instruments import demo_file, image_file
from tests.rows.sharing import run_beside
from tests.rows.waiting import lost

pytestmark = pytest.mark.django_db
State = KnownExposure.State


def raw(folder: Path, name: str = "one.fits", age: float = 60) -> Path:
    """A raw file of the demo's camera that nobody has touched for `age` seconds."""
    folder.mkdir(exist_ok=True)
    path = demo_file(folder / name)
    path = path if isinstance(path, Path) else folder / name
    os.utime(path, (time.time() - age,) * 2)
    return path


def watch(folder: Path, name: str = "tonight", **fields) -> Watch:
    """A watch over a folder."""
    arguments = {"folder": str(folder), **fields.pop("arguments", {})}
    return Watch.objects.create(name=name, instrument=fields.pop("instrument", "demo"), arguments=arguments, **fields)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def test_what_is_new_becomes_known_once_with_the_facts_of_its_header(folder):
    path = raw(folder)
    found = look(mine := watch(folder, priority=3, through_step="photocal"))
    assert (found.new, found.unreadable, found.error) == (["one.fits"], [], "")
    row = KnownExposure.objects.get()
    assert (row.state, row.kind, row.filter, row.mjd, row.exposure_time) == (
        State.READY,
        "science",
        "g",
        61000.25,
        45.0,
    )
    assert (row.ra, row.dec, row.priority, row.through_step, row.watch) == (150.0, 2.0, 3, "photocal", mine)
    assert row.params == {"path": str(path), "size": path.stat().st_size}
    assert look(mine).new == []
    raw(folder, "two.fits")
    assert look(mine).new == ["two.fits"]
    assert ClaimEvent.objects.filter(what="added", actor="watch tonight").count() == 2
    mine.refresh_from_db()
    assert mine.last_counts == {"new": 1, "unreadable": 0} and mine.last_run and mine.claimed_until is None


def test_new_exposures_are_held_where_the_watch_says_so(folder):
    raw(folder)
    look(watch(folder, hold=True))
    assert KnownExposure.objects.get().state == State.HELD


def test_what_is_done_is_left_alone_by_another_look(folder):
    raw(folder)
    mine = watch(folder)
    look(mine)
    KnownExposure.objects.update(state=State.DONE, priority=9)
    look(mine)
    assert KnownExposure.objects.get().state == State.DONE


def test_a_file_that_is_being_written_waits_for_the_next_look(folder):
    path = raw(folder, age=0)
    mine = watch(folder)
    assert look(mine).new == []
    os.utime(path, (time.time() - 11,) * 2)
    assert look(mine).new == ["one.fits"]


def test_an_unreadable_file_is_said_by_name_and_the_others_become_known(folder):
    (folder / "a_broken.fits").write_bytes(b"no FITS at all")
    os.utime(folder / "a_broken.fits", (0, 0))
    raw(folder)
    mine = watch(folder)
    found = look(mine)
    assert found.new == ["one.fits"] and [one.identifier for one in found.unreadable] == ["a_broken.fits"]
    mine.refresh_from_db()
    assert "a_broken.fits" in mine.last_result and mine.last_error == ""


def test_links_that_lead_out_of_the_folder_are_not_followed(folder, tmp_path):
    secret = raw(tmp_path / "elsewhere", "secret.fits")
    (folder / "inside.fits").symlink_to(raw(folder, "real.fits"))
    (folder / "outside.fits").symlink_to(secret)
    (folder / "nowhere.fits").symlink_to(tmp_path / "gone.fits")
    (folder / "deep").symlink_to(tmp_path / "elsewhere")
    found = look(watch(folder, arguments={"pattern": "**/*.fits"}))
    assert found.new == ["inside.fits", "real.fits"]
    assert {"outside.fits", "nowhere.fits"} <= {one.identifier for one in found.unreadable}
    assert not [row for row in KnownExposure.objects.all() if "elsewhere" in row.params["path"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"folder": "raw"}, "whole path"), ({"folder": "/nowhere/at/all"}, "no such folder"), ({"pattern": "../*.fits"}, "inside the folder"),
        ({"pattern": "/etc/*"}, "inside the folder"), ({"pattern": ""}, "inside the folder"),
    ],
)  # fmt: skip
def test_a_watch_that_cannot_look_says_why_and_the_others_go_on(folder, arguments, said):
    raw(folder)
    broken, whole = watch(folder, "broken", arguments=arguments), watch(folder, "whole")
    first, second = look_all([broken, whole])
    assert said in first.error and second.new == ["one.fits"]
    broken.refresh_from_db()
    assert said in broken.last_error and broken.last_run and broken.claimed_until is None


def test_an_instrument_that_breaks_in_the_middle_is_noted_and_what_it_found_is_kept(folder, monkeypatch):
    raw(folder)
    monkeypatch.setattr(watching, "AT_ONCE", 1)

    def offers(self, known=(), *, folder: str):
        yield self.offer(Path(folder) / "one.fits")
        raise ConnectionError("the archive hung up")

    monkeypatch.setattr(Instrument.member("demo"), "offers", offers)
    mine = watch(folder)
    (found,) = look_all([mine])
    assert "the archive hung up" in found.error and found.new == ["one.fits"]
    mine.refresh_from_db()
    assert "ConnectionError" in mine.last_error and KnownExposure.objects.count() == 1


@pytest.mark.parametrize(
    ("instrument", "arguments", "field", "said"),
    [
        ("dem", {"folder": "/x"}, "instrument", "there are"), ("demo", {}, "arguments", "'folder': it must be given"),
        ("demo", {"folder": "/x", "fold": 1}, "arguments", "there are: folder, pattern, settle"),
        ("demo", {"folder": 3}, "arguments", "string"), ("demo", {"folder": "/x", "settle": "long"}, "arguments", "number"),
        ("demo", ["folder"], "arguments", "names and values"), ("demo", {"folder": "/x", "known": []}, "arguments", "no such argument"),
    ],
)  # fmt: skip
def test_search_arguments_are_those_that_the_instrument_takes(instrument, arguments, field, said):
    with pytest.raises(BadValue, match=said) as refused:
        check_arguments(instrument, arguments)
    assert refused.value.details["field"] == field


def test_a_watch_looks_when_it_is_due_and_not_while_it_is_paused(folder):
    now = timezone.now()
    ages = {"never": None, "long ago": 121, "just now": 5}
    for name, age in ages.items():
        watch(folder, name, last_run=age and now - datetime.timedelta(seconds=age))
    watch(folder, "paused", is_paused=True)
    watch(folder, "wanted", is_paused=True, look_at_once=True)
    assert {one.name for one in due(Watch.objects.all())} == {"never", "long ago", "wanted"}
    raw(folder)
    said = tasks.watch_all()
    assert set(said) == {"never", "long ago", "wanted"} and sum(text.startswith("1 new") for text in said.values()) == 1
    assert tasks.watch_all() == {}
    assert not Watch.objects.filter(look_at_once=True).exists()


def test_whoever_watches_takes_back_what_lost_its_holder(folder):
    raw(folder)
    look(watch(folder))
    lost()
    tasks.watch_all()
    assert KnownExposure.objects.get().state == State.READY


def test_a_watch_that_another_process_holds_is_left_alone_until_that_is_silent_for_long(folder):
    raw(folder)
    mine = watch(folder, claimed_until=timezone.now() + datetime.timedelta(seconds=60))
    assert look(mine) is None
    Watch.objects.update(claimed_until=timezone.now() - datetime.timedelta(seconds=1))
    assert look(mine).new == ["one.fits"]


@pytest.mark.django_db(transaction=True)
def test_two_watches_in_eight_processes_find_each_file_once(folder, tmp_path):
    for number in range(20):
        raw(folder, f"raw_{number}.fits")
    watch(folder, "one"), watch(folder, "other")
    found = run_beside("tests.rows.claimers", {"job": "look", "processes": 8}, tmp_path)
    assert [one["failed"] for one in found["done"] if "failed" in one] == []
    assert sum(one["new"] for one in found["done"]) == found["known"] == found["events"] == 20


# Fetching ----------------------------------------------------------------------------------------------


def test_what_was_offered_can_be_fetched_and_another_file_is_refused(folder, tmp_path):
    path = raw(folder)
    demo = Instrument.member("demo")()
    (offer,) = demo.offers(folder=str(folder))
    assert demo.fetch(offer.identifier, offer.params, tmp_path) == path
    good = {"path": str(path), "sha256": storage.sha256(path)}
    assert demo.fetch("one.fits", good, tmp_path) == path
    for wrong, said in (
        ({}, "nobody said where"), ({"path": 3}, "nobody said where"), ({"path": str(folder / "x.fits")}, "no such file"),
        ({**offer.params, "size": 3}, "3 were expected"), ({**good, "sha256": "0" * 64}, "checksum"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            demo.fetch("one.fits", wrong, tmp_path)


def test_every_instrument_that_reads_files_can_look_through_a_folder(folder):
    image_file(folder / "single.fits")
    os.utime(folder / "single.fits", (0, 0))
    (offer,) = Instrument.member("generic")().offers(folder=str(folder))
    assert (offer.identifier, offer.filter, offer.exposure_time) == ("single.fits", "r", 30.0)


# Commands ----------------------------------------------------------------------------------------------


def test_a_watch_is_made_listed_and_looks_from_the_command_line(folder, capsys):
    raw(folder)
    arguments = [f"folder={folder}", "settle=1.5", "pattern=*.fits*"]
    call_command("watch", "tonight", create=True, instrument="demo", argument=arguments, interval=60)
    assert Watch.objects.get().arguments == {"folder": str(folder), "settle": 1.5, "pattern": "*.fits*"}
    call_command("watch", "tonight", once=True)
    call_command("watch", list=True)
    said = capsys.readouterr().out
    assert "tonight: 1 new" in said and "every 60 s" in said
    Watch.objects.update(arguments={"folder": "/nowhere/at/all"})
    with pytest.raises(CommandError, match="tonight could not look"):
        call_command("watch", once=True)
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"create": True}, "needs a NAME"), ({"once": True, "name": "no"}, "there is no watch 'no'"), ({"create": True, "name": "x", "instrument": "demo", "argument": ["folder"]}, "NAME=VALUE"),
        ({"create": True, "name": "x", "instrument": "demo", "argument": ["folder=/x"], "interval": 1}, "interval"),
        ({"create": True, "name": "x", "instrument": "demo", "argument": ["folder=/x"], "through_step": "no"}, "there is no step"),
    ],
)  # fmt: skip
def test_the_command_says_what_is_wrong_in_a_line(options, said):
    with pytest.raises(CommandError, match=said):
        call_command("watch", *([options.pop("name")] if "name" in options else []), **options)


def test_files_are_added_moved_and_followed_from_the_command_line(folder, capsys):
    path = raw(folder)
    with pytest.raises(CommandError, match="1 of 2 files"):
        call_command("known_exposures", "add", str(path), str(folder / "no.fits"), instrument="demo", priority=2)
    call_command("known_exposures", "add", str(path), instrument="demo")
    assert "known already" in capsys.readouterr().out
    call_command("known_exposures", "hold", "one.fits", reason="clouds")
    call_command(
        "known_exposures",
        "change",
        str(KnownExposure.objects.get().pk),
        "--priority",
        "5",
        "--not-before",
        "2030-01-01T00:00",
    )
    with pytest.raises(CommandError, match="1 of 1 were left"):
        call_command("known_exposures", "release", "one.fits")
    said = capsys.readouterr()
    assert "it is held: it cannot be released" in said.err
    KnownExposure.objects.update(kind="flat")
    call_command("known_exposures", "list", state=["held"])
    call_command("known_exposures", "history", "one.fits")
    said = capsys.readouterr().out
    assert "one.fits  flat, priority 5, attempt 0" in said
    assert "1 held" in said and "clouds" in said and "priority 2 → 5" in said
    call_command("known_exposures", "ready", "one.fits")
    row = KnownExposure.objects.get()
    KnownExposure.objects.update(not_before=timezone.now() + datetime.timedelta(minutes=1))
    call_command("known_exposures", "list")
    assert "attempt 0, not before 2" in capsys.readouterr().out
    assert (row.state, row.priority, row.not_before) == (State.READY, 5, None)
    call_command("known_exposures", "delete", "one.fits")
    with pytest.raises(CommandError, match="there is no known exposure"):
        call_command("known_exposures", "hold", "one.fits")
