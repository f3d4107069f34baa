"""Exposures added by hand, watches and workers on the conductor's page."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from conductor.errors import BadValue
from conductor.forms import WatchForm
from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Watch
from conductor.services import watches, workers
from conductor.uploads import offers_of
from conductor.watching import look
from processing.instruments.base import Instrument
from tests.rows.waiting import claimed, known

pytestmark = pytest.mark.django_db
ADD, NEW_WATCH = "/conductor/add/", "/conductor/watches/add/?instrument=demo"
ROW = {"identifier": "a.fits", "mjd": 61367.2, "kind": "science"}


def sent(client: Client, **values: Any) -> str:
    """The page after the form was sent."""
    answer = client.post(ADD, {"instrument": "demo", "priority": 0, **values}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def upload(content: str | bytes, name: str = "rows.json") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content if isinstance(content, bytes) else content.encode())


# Raw files -----------------------------------------------------------------------------------------------


def test_a_raw_file_where_they_arrive_becomes_known(operator: User, client: Client, raw: Path) -> None:
    page = sent(client, paths=f"{raw}\n\n{raw}\n", hold="on", priority=7, through_step="photocal")
    row = KnownExposure.objects.get()
    assert "Added, held: raw1.fits." in page
    assert (row.identifier, row.state, row.priority, row.through_step) == ("raw1.fits", "held", 7, "photocal")
    assert row.mjd == 61000.25 and row.params["path"] == str(raw) and row.kind == "science"
    assert ClaimEvent.objects.get().actor == "ada"
    assert "Known already, left as it was: raw1.fits." in sent(client, paths=str(raw))


def test_a_file_that_is_no_exposure_is_named(operator: User, client: Client, incoming: Path) -> None:
    (incoming / "notes.fits").write_text("hello")
    page = sent(client, paths=f"{incoming}/notes.fits\n{incoming}/none.fits")
    assert page.count("Not added: ") == 2 and "there is no such file" in page and not KnownExposure.objects.exists()


def test_one_of_both_is_needed_and_not_too_many(operator: User, client: Client, raw: Path) -> None:
    assert "one of both" in sent(client)
    assert "one of both" in sent(client, paths=str(raw), file=upload(json.dumps([ROW])))
    assert "at most 100 at once" in sent(client, paths="\n".join(f"{raw}{i}" for i in range(101)))
    assert "Select a valid choice" in sent(client, paths=str(raw), instrument="camera")


# Rows in a file ------------------------------------------------------------------------------------------


def test_rows_of_json_and_csv_become_known_exposures(operator: User, client: Client, incoming: Path) -> None:
    rows = [{**ROW, "ra": 10.5, "dec": -4.0, "params": {"path": f"{incoming}/a.fits"}, "filters": {"S1": "g"}}]
    assert "Added, ready: a.fits." in sent(client, file=upload(json.dumps(rows)))
    table = (
        "identifier,mjd,kind,target,exposure_time,ra,dec,path,size,sha256,filters\n"
        f'b.fits,61367.3,flat,"dome, east",5,,,{incoming}/b.fits,2880,{"0" * 64},"{{""S1"": ""i""}}"\n'
    )
    assert "Added, held: b.fits." in sent(client, file=upload("\ufeff" + table, "rows.csv"))
    a, b = KnownExposure.objects.order_by("identifier")
    assert (a.ra, a.dec, a.filters, a.params) == (10.5, -4.0, {"S1": "g"}, {"path": f"{incoming}/a.fits"})
    assert (b.kind, b.target, b.exposure_time, b.ra, b.filters) == ("flat", "dome, east", 5.0, None, {"S1": "i"})
    assert b.params == {"path": f"{incoming}/b.fits", "size": 2880, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "not JSON"), ("{}", "a list of objects"), ("[]", "0 rows"), ('[{"identifier": "a"}]', "row 1: mjd"),
        ('[{"identifier": "a", "mjd": NaN, "kind": "science"}]', "NaN is not a number"), ("[1]", "row 1"),
        (json.dumps([{**ROW, "x": 1}]), "row 1: x: there is no such field"), ("[" * 100_000, "not JSON"),
        (json.dumps([{**ROW, "params": {"path": "/etc/passwd"}}]), "row 1: params: path: /etc/passwd is in none of the folders"),
        (json.dumps([{**ROW, "params": {"path": ["/etc/passwd"]}}]), "is in none of the folders"),
        (json.dumps([{**ROW, "params": {"url": "http://169.254.169.254/"}}]), "cannot be given here"),
        (json.dumps([{**ROW, "ra": 1.0}]), "give ra and dec, or neither"), (json.dumps([{**ROW, "mjd": 1e308}]), "mjd"),
        (json.dumps([ROW] * 1001), "1001 rows"), (b"\xff\xfe", "not UTF-8"), ("a\0b", "NUL"), ("", "empty"),
        ("identifier,mjd\na.fits\n", "not as many cells"), ("identifier,colour\na,red\n", "there is no column"),
        ('identifier,mjd\n"a', "line 1: unexpected end"), ("identifier,mjd,kind,filters\na,61367,science,{\n", "row 1: filters"),
        (b"x" * 5_000_001, "larger than 5 MB"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_and_nothing_is_added(
    operator: User, client: Client, incoming: Path, content: str | bytes, said: str
) -> None:
    page = sent(client, file=upload(content))
    assert said in page.replace("&#x27;", "'"), page.split('class="bad"')[1][:300] if 'class="bad"' in page else page
    assert not KnownExposure.objects.exists()


def test_hostile_names_in_a_file_are_said_harmlessly(operator: User, client: Client) -> None:
    name = "<script>alert(1)</script>"
    page = sent(client, file=upload(json.dumps([{**ROW, "identifier": name}, {**ROW, name: 1}])))
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    assert "<script>alert" not in sent(client, file=upload(json.dumps([{**ROW, "identifier": name}])))
    with pytest.raises(BadValue, match="there is no column"):
        offers_of(f"identifier,{name}\n1,2\n".encode(), [])


# Watches -------------------------------------------------------------------------------------------------

WATCH = {"name": "tonight", "interval": 60, "priority": 3, "reason": "first light", "argument-pattern": "*.fits"}


def test_a_watch_is_made_with_the_arguments_of_its_instrument_and_looks(
    operator: User, client: Client, raw: Path
) -> None:
    assert 'name="instrument"' in client.get("/conductor/watches/add/").content.decode()
    page = client.get(NEW_WATCH).content.decode()
    assert (
        'name="argument-folder"' in page and "whole path of a folder on the server" in page and str(raw.parent) in page
    )
    client.post(NEW_WATCH, {**WATCH, "argument-folder": str(raw.parent), "argument-settle": "0", "hold": "on"})
    watch = Watch.objects.get()
    assert watch.arguments == {"folder": str(raw.parent), "pattern": "*.fits", "settle": 0.0}
    assert (watch.instrument, watch.interval, watch.priority, watch.hold, watch.is_paused) == (
        "demo",
        60,
        3,
        True,
        False,
    )
    event = ClaimEvent.objects.get()
    assert (event.identifier, event.what, event.actor, event.reason) == ("watch tonight", "added", "ada", "first light")
    assert look(watch).new == ["raw1.fits"]
    assert "1 new" in client.get("/conductor/").content.decode()


def test_a_watch_is_changed(operator: User, client: Client, incoming: Path) -> None:
    watch = Watch.objects.create(name="w", instrument="demo", arguments={"folder": str(incoming)})
    page = client.get(f"/conductor/watches/{watch.pk}/").content.decode()
    assert f'value="{incoming}"' in page and 'value="*.fits*"' in page
    client.post(f"/conductor/watches/{watch.pk}/", {**WATCH, "argument-folder": str(incoming), "is_paused": "on"})
    watch.refresh_from_db()
    assert watch.name == "tonight" and watch.is_paused and watch.arguments["pattern"] == "*.fits"
    assert list(ClaimEvent.objects.order_by("id").values_list("what", flat=True)) == ["changed", "paused"]
    assert "paused by ada: first light" in client.get("/conductor/").content.decode()


def test_what_a_look_notes_while_a_watch_is_changed_stays(incoming: Path) -> None:
    mine = Watch.objects.create(name="w", instrument="demo", arguments={"folder": str(incoming)})
    look(Watch.objects.get())
    mine.interval = 30
    watches.save(mine, actor="ada")
    mine.refresh_from_db()
    assert mine.interval == 30 and mine.last_run and mine.last_result == "0 new"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"argument-folder": ""}, "This field is required"), ({"argument-folder": "/etc"}, "in none of the folders"),
        ({"argument-settle": "soon"}, "Enter a number"), ({"interval": "1"}, "greater than or equal to 5"),
        ({"name": ""}, "This field is required"), ({"name": "taken"}, "already exists"), ({"reason": ""}, "required"),
        ({"through_step": "dinner"}, "Select a valid choice"), ({"priority": "9" * 40}, "less than or equal"),
        ({"argument-folder": "a\0b"}, "Null characters"),
    ],
)  # fmt: skip
def test_a_wrong_watch_is_refused_and_the_field_named(
    operator: User, client: Client, incoming: Path, values: dict, said: str
) -> None:
    Watch.objects.create(name="taken", instrument="demo")
    page = client.post(NEW_WATCH, {**WATCH, "argument-folder": str(incoming), **values}).content.decode()
    assert said in page and Watch.objects.count() == 1


def test_fields_of_a_watch_follow_the_types_that_an_instrument_declares(operator: User, client: Client) -> None:
    watch = Watch(instrument="demo")
    camera = Instrument.member("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera, "offers", _archive)
        form = WatchForm(
            {**WATCH, "argument-filters": '["g", "r"]', "argument-deep": "on"}, instance=watch, person=operator
        )
        kinds = {field.name: type(field.field).__name__ for field in form.argument_fields}
        assert kinds == {
            "argument-filters": "JSONField", "argument-deep": "BooleanField", "argument-least": "FloatField",
            "argument-skip": "IntegerField",
        }  # fmt: skip
        assert form["argument-filters"].help_text == "short names as JSON" and form.is_valid(), form.errors
        assert watch.arguments == {"filters": ["g", "r"], "deep": True}
        wrong = WatchForm({**WATCH, "argument-filters": "[1]"}, instance=Watch(instrument="demo"), person=operator)
        assert not wrong.is_valid() and "filters" in str(wrong.errors)


def _archive(
    self: Instrument,
    known: tuple[str, ...] = (),
    *,
    filters: Annotated[list[str], "short names"],
    deep: bool = False,
    least: float | None = None,
    skip: int = 0,
) -> Iterator[Any]:
    yield from ()


@pytest.mark.parametrize("move", ["pause", "resume", "look", "delete"])
def test_a_watch_is_paused_goes_on_looks_and_is_deleted_with_a_reason(
    operator: User, client: Client, move: str
) -> None:
    watch = Watch.objects.create(name="w", instrument="demo", is_paused=move == "resume")
    address = f"/conductor/watches/{watch.pk}/move/"
    assert 'name="reason"' in client.get(address, {"do": move}).content.decode()
    client.post(address, {"do": move, "step": "do", "reason": "archive is down"})
    found = Watch.objects.filter(pk=watch.pk).first()
    assert {
        "pause": lambda: found.is_paused, "resume": lambda: not found.is_paused,
        "look": lambda: found.look_at_once, "delete": lambda: found is None,
    }[move]()  # fmt: skip
    event = ClaimEvent.objects.get()
    assert event.actor == "ada" and event.reason == "archive is down"
    if move == "pause":
        assert "paused by ada: archive is down" in client.get("/conductor/").content.decode()


def test_what_is_so_already_leaves_no_event(operator: User, client: Client) -> None:
    watch = Watch.objects.create(name="w", instrument="demo")
    client.post(f"/conductor/watches/{watch.pk}/move/", {"do": "resume", "step": "do", "reason": "x"})
    assert not ClaimEvent.objects.exists()
    assert client.get(f"/conductor/watches/{watch.pk + 1}/").status_code == 404
    assert client.get(f"/conductor/watches/{watch.pk}/move/?do=dance").status_code == 404


# Workers -------------------------------------------------------------------------------------------------


def test_workers_show_what_they_run_and_since_when_they_are_silent(operator: User, client: Client) -> None:
    rows = known(2)
    claimed("lasilla", node="p1")
    workers.register("caltech", "z4", version="0.1.0", process_id=7)
    PipelineWorker.objects.filter(node="z4").update(last_heartbeat=timezone.now() - datetime.timedelta(minutes=14))
    page = client.get("/conductor/").content.decode()
    assert "1 alive, 1 silent" in page and '<span class="warn">14 min' in page and "version 0.1.0, process 7" in page
    side = page.split('id="side"')[1]
    assert f"/conductor/{rows[0].pk}/" in side.split("Watches")[0] and side.count("remove…") == 1


def test_a_dead_worker_is_removed_and_a_living_one_is_not(operator: User, client: Client) -> None:
    alive, dead = workers.register("lasilla", "p1"), workers.register("caltech", "z4")
    PipelineWorker.objects.filter(pk=dead.pk).update(last_heartbeat=timezone.now() - datetime.timedelta(minutes=14))
    sent = {"step": "do", "reason": "switched off"}
    page = client.post(f"/conductor/workers/{alive.pk}/remove/", sent, follow=True).content.decode()
    assert "lasilla p1 was heard of" in page
    client.post(f"/conductor/workers/{dead.pk}/remove/", sent)
    assert list(PipelineWorker.objects.filter(ended_at=None)) == [alive]
    event = ClaimEvent.objects.get()
    assert (event.identifier, event.what, event.reason) == ("worker caltech z4", "removed", "switched off")
