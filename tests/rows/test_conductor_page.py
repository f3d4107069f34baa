"""The conductor's page: what it shows, moves of one and of many, taking them back, and who may do what."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Policy, Watch
from conductor.services import claiming, finishing, moving, workers
from conductor.services.adding import add
from conductor.services.undoing import undo
from processing.instruments.offers import Offer
from products.dates import mjd_of
from tests import factories
from tests.rows.waiting import claimed, events, known

pytestmark = pytest.mark.django_db
HOSTILE = '"><script>alert(1)</script>{{ 7 }}&lt;\u202e\U0001f600'
PAGE, MOVE, UNDO = "/conductor/", "/conductor/move/", "/conductor/events/undo/"
Text = Callable[..., str]


def person(client: Client, *permissions: str) -> User:
    """Somebody who is logged in and has permissions of the conductor."""
    found = User.objects.create_user(f"ada{User.objects.count()}")
    found.user_permissions.set(Permission.objects.filter(content_type__app_label="conductor", codename__in=permissions))
    client.force_login(found)
    return found


@pytest.fixture
def operator(client: Client) -> User:
    """Somebody who may do everything with the conductor."""
    codes = Permission.objects.filter(content_type__app_label="conductor").values_list("codename", flat=True)
    return person(client, *codes)


@pytest.fixture
def text(client: Client) -> Text:
    """The text of a page that must answer 200."""

    def get(address: str, **options) -> str:
        answer = client.get(address, **options)
        assert answer.status_code == 200, (address, answer.status_code)
        return answer.content.decode()

    return get


def do(client: Client, action: str, rows, **values) -> str:
    """Do what a button does, reason and all; the page after it."""
    sent = {"action": action, "id": [str(row.pk) for row in rows], "step": "do", "reason": "because", **values}
    return client.post(MOVE, sent, follow=True).content.decode()


def state(row: KnownExposure) -> str:
    row.refresh_from_db()
    return row.state


def partial(row_error: str = "photocal: 4 stars found, 10 needed") -> KnownExposure:
    """A known exposure of which one of three CCDs failed."""
    claim = claimed()
    claiming.start(claim.token, sections=["N1", "N2", "N3"])
    told = {"N1": {"state": "failed", "error": row_error}, "N2": {"state": "done"}, "N3": {"state": "done"}}
    return finishing.finish(claim.token, told)


# What is shown -------------------------------------------------------------------------------------------


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
        ("state=ready", {0, 2, 3}), ("state=held&state=ready", {0, 1, 2, 3}), ("q=raw_0002", {2}), ("q=VELA", {3}),
        ("q=proj", {3}), ("q=nothing like it", set()), ("target=vel", {3}), ("project=proj", {3}), ("filter=g", {3}),
        ("kind=flat", {3}), ("instrument=sdss", {3}), ("instrument=generic", set()), ("start=61367.0010", {2, 3}),
        ("end=61367.0010", {0, 1}), ("position=128 -45&radius=2", {3}), ("position=128 -45&radius=0.1", set()),
        ("min_exposure_time=100", {3}), ("nights=2", {3}), ("nights=10000", {0, 1, 2, 3}), ("identifier=raw_0001", {1}),
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


def test_the_page_of_one_offers_only_what_its_state_allows(operator: User, text: Text) -> None:
    (row,) = known()
    page = text(f"/conductor/{row.pk}/")
    assert "action=hold" in page and "action=release" not in page and "action=accept" not in page
    claimed()
    page = text(f"/conductor/{row.pk}/")
    assert "action=release" in page and "action=hold" not in page and "action=delete" not in page


# Moves ---------------------------------------------------------------------------------------------------


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
    assert state(row) == "ready" and row.attempt == attempt
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
    assert "It is ready; this is for what is claimed, running." in page and 'name="reason"' not in page


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
    KnownExposure.objects.filter(pk=row.pk).update(not_before=timezone.now().replace(microsecond=0), attempt=3)
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
    client.post("/conductor/policy/", {"do": "through_step", "through_step": "photocal", **sent})
    assert Policy.objects.get().through_step == "photocal" and "through photocal" in text(PAGE)
    told = list(ClaimEvent.objects.filter(known_exposure=None).order_by("id").values_list("what", "actor"))
    assert told == [(what, operator.username) for what in ("paused", "resumed", "changed")]
    assert client.post("/conductor/policy/", {"do": "dance"}).status_code == 404


def test_the_numbers_on_the_first_page_are_for_those_who_may_see_them(client: Client, text: Text) -> None:
    known(3)
    claimed()
    assert "workers alive" not in text("/") and 'href="/conductor/"' not in text("/")
    person(client, "view_knownexposure")
    page = text("/")
    assert "workers alive" in page and 'href="/conductor/"' in page
    assert "<span>waiting</span><strong>2</strong>" in page and "<span>running</span><strong>1</strong>" in page


# Who -----------------------------------------------------------------------------------------------------

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
