"""The conductor's page and that of one known exposure: what they show."""

from __future__ import annotations

import datetime
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Watch
from conductor.services import claiming, finishing, moving
from conductor.services.adding import add
from processing.instruments.offers import Offer
from products.dates import mjd_of
from tests import factories
from tests.rows.conducting import MOVE, PAGE, UNDO, Text, do, partial
from tests.rows.waiting import claimed, known

pytestmark = pytest.mark.django_db
HOSTILE = '"><script>alert(1)</script>{{ 7 }}&lt;\u202e\U0001f600'


def test_the_page_shows_state_tries_lease_worker_and_why(operator: User, text: Text) -> None:
    rows = known(4)
    partial()
    claimed("perlmutter", node="nid001842")
    moving.move("hold", [rows[2].pk], actor="grace", reason="lamp was warming up")
    page = text(PAGE)
    for said in (
        "photocal: 4 stars found, 10 needed, on N1", "perlmutter / nid001842", "held by grace: lamp was warming up",
        "1/3", 'class="meter"', "handing out", "1 alive" if PipelineWorker.objects.count() == 1 else "2 alive",
    ):  # fmt: skip
        assert said in page, said
    table = page.split("<tbody>")[1].split("</tbody>")[0]
    states = re.findall(r'class="chip (\w+)"', table)
    assert states == ["partial", "claimed", "ready", "held"], "what wants a human comes first"


def test_why_it_is_held_is_said_whatever_is_changed_since(operator: User, text: Text) -> None:
    (row,) = known()
    moving.move("hold", [row.pk], actor="grace", reason="clouds")
    moving.move("change", [row.pk], actor="ada", reason="a supernova", priority=9)
    assert "held by grace: clouds" in text(PAGE)


def test_what_moved_leaves_out_what_ends_well(operator: User, text: Text) -> None:
    known(3)
    finishing.finish(claimed("fine").token, {"N1": {"state": "done"}})
    finishing.finish(claimed("unlucky").token, {"N1": {"state": "failed"}})
    claimed("busy")
    moved = text(PAGE).split("<h2>What moved</h2>")[1]
    assert "unlucky" in moved and "running → failed" in moved.replace("claimed", "running")
    assert "fine" not in moved and "busy" not in moved and "added" not in moved


def test_errors_of_many_ccds_are_said_once(operator: User, text: Text) -> None:
    known()
    claim = claimed()
    finishing.finish(claim.token, {f"S{i}": {"state": "failed", "error": "no stars"} for i in range(32)})
    assert "no stars, on all 32 CCDs" in text(PAGE)


def test_a_lease_that_ran_out_is_said(operator: User, text: Text) -> None:
    known()
    token = claimed().token
    KnownExposure.objects.filter(lease_token=token).update(lease_expires=timezone.now() - datetime.timedelta(minutes=1))
    assert "ran out" in text(PAGE)


def test_an_exposure_that_was_taken_in_is_linked(operator: User, text: Text) -> None:
    (row,) = known()
    exposure = factories.exposure("demo_1")
    factories.report(exposure, "S1", failed="photocal")
    KnownExposure.objects.filter(pk=row.pk).update(exposure=exposure)
    assert '<a class="small" href="/exposures/demo_1/">' in text(PAGE)
    page = text(f"/conductor/{row.pk}/")
    assert "/exposures/demo_1/S1/report/" in page and "4 stars found" in page


@pytest.mark.parametrize(
    ("query", "finds"),
    [
        ("state=ready", {0, 2}), ("state=held&state=ready", {0, 1, 2, 3}), ("q=raw_0002", {2}), ("q=VELA", {3}),
        ("q=proj", {3}), ("q=nothing like it", set()), ("target=vel", {3}), ("project=proj", {3}), ("filter=g", {3}),
        ("kind=flat", {3}), ("instrument=sdss", {3}), ("instrument=generic", set()), ("start=61367.0010", {2, 3}),
        ("end=61367.0010", {0, 1}), ("position=128 -45&radius=2", {3}), ("position=128 -45&radius=0.1", set()),
        ("min_exposure_time=100", {3}), ("nights=2", {3}), ("nights=10000", {0, 1, 2, 3}), ("identifier=raw_0001", {1}),
        ("end=2026-11-23", {0, 1, 2}), ("end=2026-11-22", set()), ("start=2026-11-24", {3}),
    ],
)  # fmt: skip
def test_known_exposures_are_found_by_every_field(operator: User, text: Text, query: str, finds: set[int]) -> None:
    rows = known(3)
    moving.move("hold", [rows[1].pk], actor="ada", reason="x")
    other = Offer(
        "other.fits", {}, "flat", mjd_of(timezone.now()), 120.0, "", {"S1": "g"}, "Vela", "project x", 128.5, -45.0
    )
    rows += add("sdss", [other], actor="ada").new
    page = text(f"{PAGE}?{query}")
    shown = {i for i, row in enumerate(rows) if f'data-row="{row.pk}"' in page}
    assert shown == finds


def test_workers_and_errors_are_found_by_text(operator: User, text: Text) -> None:
    known(2)
    partial("WCS: <no match>")
    for query in ("q=here", "q=no match", "cluster=here", "error=no match"):
        assert text(f"{PAGE}?{query}").count("data-row=") == 1, query


def test_the_pills_count_what_fits_the_other_fields(operator: User, text: Text) -> None:
    rows = known(5)
    moving.move("hold", [rows[0].pk, rows[1].pk], actor="ada", reason="x")
    page = text(f"{PAGE}?state=held&q=raw_000")
    assert re.search(r'value="held" data-apply checked>held <b>2</b>', page)
    assert re.search(r'value="ready" data-apply>ready <b>3</b>', page)
    assert re.search(r'value="ready" data-apply>ready <b>0</b>', text(f"{PAGE}?q=raw_0001"))


def test_a_wrong_value_is_named_beside_its_field(operator: User, text: Text) -> None:
    known()
    page = text(f"{PAGE}?start=soon&state=gone&position=nowhere&nights=many")
    assert "a date (2026-11-23) or an MJD" in page and "gone is not one of" in page and page.count("data-row=") == 1


@pytest.mark.parametrize(
    ("sort", "field"),
    [
        ("priority", "priority"),
        ("identifier", "identifier"),
        ("mjd", "mjd"),
        ("target", "target"),
        ("tries", "attempt"),
    ],
)
def test_the_server_sorts(operator: User, text: Text, sort: str, field: str) -> None:
    rows = known(4)
    for number, row in enumerate(rows):
        KnownExposure.objects.filter(pk=row.pk).update(
            priority=number * 7 % 5, target=f"T{number * 3 % 4}", attempt=number % 3
        )
    for sign in ("", "-"):
        keys = re.findall(r'data-row="([^"]+)"', text(f"{PAGE}?sort={sign}{sort}"))
        values = [getattr(KnownExposure.objects.get(pk=key), field) for key in keys]
        assert values == sorted(values, reverse=bool(sign)), sign


def test_what_is_handed_out_next_comes_first_of_what_is_ready(operator: User, text: Text) -> None:
    rows = known(5)
    failed = claimed().known_exposure
    finishing.finish(failed.lease_token, {"N1": {"state": "failed"}})
    KnownExposure.objects.filter(pk=rows[3].pk).update(priority=5)
    keys = re.findall(r'data-row="([^"]+)"', text(PAGE))
    assert keys == [str(rows[i].pk) for i in (0, 3, 1, 2, 4)]
    assert claimed().known_exposure == rows[3] and claimed().known_exposure == rows[1]


def test_pages_follow_each_other_without_gap_or_repetition(operator: User, text: Text) -> None:
    known(30)
    first, second = text(PAGE), text(f"{PAGE}?page=2")
    keys = [re.findall(r'data-row="([^"]+)"', page) for page in (first, second)]
    assert [len(found) for found in keys] == [25, 5] and len(set(keys[0] + keys[1])) == 30
    assert "1–25 of 30" in first and "page=2" in first


def test_the_part_that_refreshes_is_the_table_alone_and_leads_to_whole_pages(operator: User, text: Text) -> None:
    known(30)
    part = text(f"{PAGE}?state=ready&part=table")
    assert "<html" not in part and part.count("data-row=") == 25 and "data-live" in part
    assert 'id="pills"' in part and 'id="side"' in part
    assert "part=" not in part, "no link of it leads to a part"
    assert "state=ready&amp;page=2" in part


def test_nothing_that_waits_or_runs_needs_no_refreshing(operator: User, text: Text) -> None:
    known(1, hold=True)
    assert "data-live" not in text(PAGE)


def test_an_empty_conductor_says_how_exposures_become_known(operator: User, text: Text) -> None:
    page = text(PAGE)
    assert "known_exposures add" in page and "/conductor/watches/add/" in page
    known()
    assert "fits all fields" in text(f"{PAGE}?q=zzz")


def test_hostile_text_in_every_field_is_harmless(operator: User, text: Text) -> None:
    name = HOSTILE + "/../x"
    offer = Offer(
        name, {HOSTILE: HOSTILE, "path": HOSTILE}, "science", 61367.0, 1.0, "", {HOSTILE: HOSTILE[:19]}, HOSTILE[:99],
        HOSTILE[:99], 10.0, 10.0,
    )  # fmt: skip
    watch = Watch.objects.create(
        name=HOSTILE, instrument=HOSTILE[:40], last_error=HOSTILE, last_run=timezone.now(), is_paused=True,
        arguments={"folder": f"/{HOSTILE}"},
    )  # fmt: skip
    added = add("demo", [offer], actor=HOSTILE, watch=watch)
    (row,) = added.new
    claim = claimed(HOSTILE, node=HOSTILE)
    claiming.start(claim.token, sections=[HOSTILE])
    finishing.finish(claim.token, {HOSTILE: {"state": "failed", "error": HOSTILE}})
    moving.move("hold", [row.pk], actor=HOSTILE, reason=HOSTILE)
    ClaimEvent.about(f"watch {HOSTILE}", "paused", actor=HOSTILE, reason=HOSTILE)
    for address in (
        PAGE, f"{PAGE}?part=table", f"/conductor/{row.pk}/", "/conductor/events/", "/conductor/add/",
        "/conductor/watches/add/", f"{MOVE}?action=ready&id={row.pk}", f"{PAGE}?q=<script>alert(1)</script>",
        f"{UNDO}?event={ClaimEvent.objects.exclude(known_exposure=None).latest('id').pk}",
        f"/conductor/workers/{PipelineWorker.objects.get().pk}/remove/", f"/conductor/watches/{watch.pk}/move/?do=look",
    ):  # fmt: skip
        page = text(address)
        assert "<script>alert" not in page, address
        if address != f"{PAGE}?q=<script>alert(1)</script>":
            assert "&lt;script&gt;alert(1)" in page or address.endswith("watches/add/"), address
    assert "<script>alert" not in do(Client(), "ready", [row])


def test_a_known_exposure_is_found_by_identifier_where_one_instrument_has_it(
    operator: User, text: Text, client: Client
) -> None:
    (row,) = known()
    page = text("/conductor/raw_0000.fits/")
    assert "<h1" in page and str(row.pk) in page and "61367.00000" in page and "What happened" in page
    assert client.get("/conductor/raw_9.fits/").status_code == 404
    known(instrument="sdss")
    answer = client.get("/conductor/raw_0000.fits/")
    assert answer.status_code == 302 and text(answer.url).count("data-row=") == 2


def test_the_page_of_one_leads_to_those_before_and_after_it(operator: User, text: Text) -> None:
    rows = known(3)
    known(1, instrument="sdss")
    KnownExposure.objects.filter(pk=rows[1].pk).update(mjd=rows[0].mjd)  # at the same moment: by id
    rows[:2] = sorted(rows[:2], key=lambda row: row.pk)
    for number, (before, after) in enumerate([(None, 1), (0, 2), (1, None)]):
        page = text(f"/conductor/{rows[number].pk}/")
        for name, other in (("before", before), ("next", after)):
            found = re.findall(rf'data-{name} href="/conductor/([^/]+)/"', page)
            assert found == ([] if other is None else [str(rows[other].pk)]), (number, name)


def test_the_page_of_one_offers_only_what_its_state_allows(operator: User, text: Text) -> None:
    (row,) = known()
    page = text(f"/conductor/{row.pk}/")
    assert "action=hold" in page and "action=release" not in page and "action=accept" not in page
    claimed()
    page = text(f"/conductor/{row.pk}/")
    assert "action=release" in page and "action=hold" not in page and "action=delete" not in page
