"""Requests for forced photometry: the queue, the page of an object, the REST API, light curves."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from astropy.table import Table
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from processing import tasks
from processing.errors import NotCovered
from processing.forced import Wanted, measure
from processing.forced_requests import answer, ask
from processing.pipelines import ForcedPhotometry
from products import storage
from products.errors import UnknownTag
from products.models import Badness, ForcedFlux, ForcedRequest, Measurement, Object
from products.selectors.lightcurves import light_curve
from products.selectors.tags import of_name
from products.services.badness import set_badness
from seechange_site.models import ApiToken
from tests import factories
from tests.rows.archive import Archive
from tests.rows.asking_at_once import TIMES
from tests.rows.people import bearer, client_of, person
from tests.rows.sharing import run_beside

pytestmark = pytest.mark.django_db
API = "/api/v1/forced-photometry/"
State = ForcedRequest.State


@pytest.fixture
def thing(site: Archive) -> Object:
    """An object that two exposures cover."""
    return Object.objects.get(name=site.object)


@pytest.fixture
def undetected(thing) -> factories.CCD:
    """A third exposure in which the object is not among the measurements."""
    third = factories.full_ccd(3, of=factories.exposure("demo_20261125_030000", mjd=61369.125), objects=[])
    assert not Measurement.objects.filter(object=thing, measurement_set=third.measurement_set).exists()
    return third


def measured(thing: Object) -> list[ForcedFlux]:
    step = ForcedPhotometry()
    return measure(Wanted.of(thing, "current", step), step).rows


def curve_of(thing: Object):
    return light_curve(thing, of_name("current"))


# The queue -------------------------------------------------------------------------------------------------


def test_a_request_is_a_task_that_measures_and_says_what_came_out(thing):
    row = ask(thing, "current", person("scanner"))
    task = OrmQ.objects.get().task
    assert (task["func"], task["args"]) == ("processing.tasks.forced_photometry", (str(row.pk),))
    assert row.state == State.WAITING and row.is_pending
    assert tasks.forced_photometry(*task["args"]) == "done"
    row.refresh_from_db()
    assert (row.state, row.n_images, row.n_measured, row.n_new, row.failures) == (State.DONE, 2, 2, 2, [])
    assert row.started_at < row.finished_at and not row.error


def test_a_pending_request_is_shared_and_a_finished_one_is_not(thing):
    row = ask(thing, "current")
    assert ask(thing, "current") == row and OrmQ.objects.count() == 1
    assert ask((thing.ra, thing.dec), "current") != row, "without the object it is another request"
    assert ask(thing, "current", start=61368.0) != row
    answer(row)
    assert ask(thing, "current") != row


def test_a_request_that_nobody_answers_does_not_stand_for_another_one(thing):
    row = ask(thing, "current")
    ForcedRequest.objects.update(created_at=timezone.now() - timedelta(minutes=59))
    assert ask(thing, "current") == row
    ForcedRequest.objects.update(created_at=timezone.now() - timedelta(minutes=61))
    later = ask(thing, "current")
    assert later != row and ask(thing, "current") == later
    assert answer(ForcedRequest.objects.get(pk=row.pk)).state == State.DONE, "it may still be answered"
    assert ask(thing, "current") == later


@pytest.mark.django_db(transaction=True)
def test_of_eight_that_ask_for_the_same_at_once_one_makes_the_request(thing, tmp_path):
    found = run_beside("tests.rows.asking_at_once", [thing.name, "current", 8], tmp_path)
    assert found["got"] == [found["got"][0]] * 8 and len(set(found["got"][0])) == TIMES
    assert (found["requests"], found["tasks"]) == (TIMES, TIMES)


def test_what_could_not_be_read_stands_in_the_request(site, thing):
    storage.local_path(site.ccd.difference.filepath).unlink()
    row = answer(ask(thing, "current"))
    assert (row.state, row.n_images, row.n_measured) == (State.DONE, 2, 1)
    assert row.failures == [
        {"exposure": site.name, "section": "N1", "error": "MissingFile", "message": row.failures[0]["message"]}
    ]
    assert site.ccd.difference.filepath in row.failures[0]["message"]


def test_a_request_that_no_image_answers_any_more_fails_with_the_reason(site, thing):
    row = ask(thing, "current")
    for ccd in (site.ccd, site.again):
        set_badness(ccd.difference, Badness.SHAKING)
    assert tasks.forced_photometry(str(row.pk)) == "failed"
    row.refresh_from_db()
    assert row.error.startswith("no usable difference image of the tag 'current' covers") and row.finished_at


def test_a_bug_is_noted_and_goes_on(thing, monkeypatch):
    row = ask(thing, "current")
    monkeypatch.setattr("processing.forced.measure_image", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        answer(row)
    row.refresh_from_db()
    assert (row.state, row.error) == (State.FAILED, "division by zero")


def test_what_nothing_can_answer_is_refused_at_once(site):
    with pytest.raises(NotCovered):
        ask((40.0, 10.0), "current")
    with pytest.raises(UnknownTag):
        ask((40.0, 10.0), "curent")
    assert not ForcedRequest.objects.exists() and not OrmQ.objects.exists()


def test_a_task_that_is_handed_out_twice_finds_what_the_first_one_made(thing):
    row = ask(thing, "current")
    answer(row)
    again = answer(ForcedRequest.objects.get(pk=row.pk))
    assert (again.state, again.n_measured, again.n_new) == (State.DONE, 2, 0)


# Light curves ----------------------------------------------------------------------------------------------


def test_a_limit_is_that_of_the_place_where_it_was_measured(thing, undetected):
    (before,) = curve_of(thing).limits
    assert not before.is_forced and before.magnitude == undetected.zero_point.limiting_magnitude
    measured(thing)
    row = ForcedFlux.objects.get(image=undetected.difference)
    ForcedFlux.objects.filter(pk=row.pk).update(flux=2.1 * row.flux_error)
    curve = curve_of(thing)
    (after,) = curve.limits
    assert after.is_forced and after.magnitude == pytest.approx(row.zp - 2.5 * np.log10(5 * row.flux_error))
    assert after.mjd == pytest.approx(before.mjd) and (after.exposure, after.section) == (before.exposure, "N1")
    assert len(curve.forced) == 3 and len(curve.epochs) == 2


def test_a_source_that_was_not_detected_but_is_there_is_no_limit(thing, undetected):
    row = {row.image_id: row for row in measured(thing)}[undetected.difference.pk]
    assert row.snr > 5
    assert curve_of(thing).limits == []


def test_a_masked_place_has_neither_flux_nor_limit(thing, undetected):
    measured(thing)
    ForcedFlux.objects.filter(image=undetected.difference).update(is_bad=True)
    curve = curve_of(thing)
    assert curve.limits == [] and len(curve.forced) == 2


def test_tables_tell_forced_fluxes_from_detections(site, thing, undetected, client):
    row = {row.image_id: row for row in measured(thing)}[undetected.difference.pk]
    ForcedFlux.objects.filter(pk=row.pk).update(flux=-1.5 * row.flux_error)
    text = client.get(f"/objects/{thing.name}/light_curve.ecsv").content.decode()
    table = Table.read(text, format="ascii.ecsv")
    assert sorted(zip(table["is_forced"], table["is_limit"])) == [(0, 0), (0, 0), (1, 0), (1, 0), (1, 1)]
    (limit,) = table[table["is_limit"] == 1]
    assert limit["magnitude"] == pytest.approx(row.limiting_magnitude)
    assert limit["flux_ujy"] == pytest.approx(-1.5 * row.flux_error_ujy) and limit["exposure"] == "demo_20261125_030000"
    forced = table[(table["is_forced"] == 1) & (table["exposure"] == site.name)][0]
    detected = table[(table["is_forced"] == 0) & (table["exposure"] == site.name)][0]
    alpha = site.ccd.difference.alpha
    ratio = forced["flux_ujy"] / detected["flux_ujy"]
    assert ratio == pytest.approx(alpha[30, 30] / site.ccd.measurements[0].flux, rel=0.1)


# The page --------------------------------------------------------------------------------------------------


def page(client: Client, thing: Object, query: str = "") -> str:
    return client.get(f"/objects/{thing.name}/{query}").content.decode()


def test_the_button_asks_and_the_page_shows_how_far_it_is(site, thing, undetected):
    scanner = client_of(person("scanner"))
    assert "Measure on all images" in page(scanner, thing)
    answered = scanner.post(f"/objects/{thing.name}/forced/")
    assert answered.url == f"/objects/{thing.name}/#forced"
    text = page(scanner, thing)
    assert "in the queue since" in text and "data-pending" in text and "disabled" in text
    storage.local_path(site.ccd.difference.filepath).unlink()
    tasks.forced_photometry(str(ForcedRequest.objects.get().pk))
    text = page(scanner, thing)
    assert "in 2 of 3 images, 2 of them new" in text and "data-pending" not in text
    assert f"{site.name} N1</a> <span" in text and "neither in the data folder nor in the archive" in text
    assert text.count('href="#b-g" x="') == 1 + 1, "a detection and a forced point in g"


def test_forced_points_are_switched_off_by_the_address_and_limits_are_points_in_flux(thing, undetected, client):
    row = {row.image_id: row for row in measured(thing)}[undetected.difference.pk]
    ForcedFlux.objects.filter(pk=row.pk).update(flux=row.flux_error)
    assert page(client, thing).count('width="6"') == 2 and 'class="lim"' in page(client, thing)
    assert 'width="6"' not in page(client, thing, "?off=forced")
    in_flux = page(client, thing, "?y=flux")
    assert in_flux.count('width="6"') == 3 and 'class="lim"' not in in_flux


def test_only_those_with_the_permission_may_ask(thing, client):
    address = f"/objects/{thing.name}/forced/"
    assert client.post(address).url.startswith("/login/") and "Measure on all images" not in page(client, thing)
    viewer = client_of(person("viewer"))
    assert viewer.post(address).status_code == 403 and "Measure on all images" not in page(viewer, thing)
    assert viewer.get(address).status_code == 405
    assert not ForcedRequest.objects.exists()


def test_what_cannot_be_measured_is_said_on_the_page(site, thing):
    for ccd in (site.ccd, site.again):
        set_badness(ccd.difference, Badness.SHAKING)
    scanner = client_of(person("scanner"))
    text = scanner.post(f"/objects/{thing.name}/forced/", follow=True).content.decode()
    assert "Nothing is measured: no usable difference image" in text


def test_the_page_needs_no_more_queries_for_more_fluxes(thing, client):
    def queries() -> int:
        page(client, thing)
        with CaptureQueriesContext(connection) as found:
            page(client, thing)
        return len(found)

    measured(thing)
    before = queries()
    for number in range(3):
        factories.full_ccd(3 + number, of=factories.exposure(f"demo_2026112{5 + number}_03", mjd=61369.1 + number))
    measured(thing)
    assert queries() == before


# The REST API ----------------------------------------------------------------------------------------------


@pytest.fixture
def scanner(client: Client):
    """Somebody with a token that may put things in."""
    who = person("scanner")

    def send(body: dict, **headers: str):
        return client.post(API, body, content_type="application/json", **(headers or bearer(who, "read", "ingest")))

    send.header = bearer(who, "read")
    return send


def test_a_request_is_made_followed_and_read_by_the_api(site, thing, scanner, client):
    made = scanner({"object": thing.name, "start": "2026-11-20", "end": "2026-11-23"})
    assert made.status_code == 201, made.content
    row = made.json()
    assert (row["object"], row["state"], row["person"], row["tag"]) == (thing.name, "waiting", "scanner", "current")
    assert (row["start"], row["end"]) == (61364.0, 61368.0)
    tasks.forced_photometry(row["id"])
    found = client.get(f"{API}{row['id']}/", **scanner.header).json()
    assert (found["state"], found["n_images"], found["n_measured"]) == ("done", 1, 1)
    fluxes = client.get(f"{API}{row['id']}/fluxes/", **scanner.header).json()
    assert [one["exposure"] for one in fluxes["rows"]] == [site.name]
    assert fluxes["units"]["flux"] == "electron" and fluxes["rows"][0]["image"] == str(site.ccd.difference.pk)
    listed = client.get(f"{API}?object={thing.name}&state=done", **scanner.header).json()
    assert [one["id"] for one in listed["results"]] == [row["id"]]
    of_object = client.get(f"/api/v1/objects/{thing.name}/forced-photometry/", **scanner.header).json()
    assert of_object["rows"] == fluxes["rows"] and of_object["object"] == thing.name
    curve = client.get(f"/api/v1/objects/{thing.name}/light-curve/", **scanner.header).json()
    assert sum(one["is_forced"] for one in curve["rows"]) == 1


@pytest.mark.parametrize("body", [{"position": "02:22:00 -04:45:00"}, {"ra": 35.5, "dec": -4.75}])
def test_positions_are_taken_as_people_and_programs_write_them(site, scanner, body):
    made = scanner(body).json()
    assert (made["ra"], made["dec"], made["object"]) == (pytest.approx(35.5), pytest.approx(-4.75), None)


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "non_field_errors", "say where"),
        ({"ra": 35.5}, "non_field_errors", "say where"),
        ({"ra": 35.5, "dec": -4.75, "position": "35.5 -4.75"}, "non_field_errors", "say where"),
        ({"object": "nothing"}, "object", "there is no object called nothing"),
        ({"position": "up"}, "position", "is not a position"),
        ({"ra": 400, "dec": 0}, "ra", "less than or equal to 360"),
        ({"ra": 35.5, "dec": -4.75, "tag": "curent"}, "tag", "there is no tag 'curent'"),
        ({"ra": 35.5, "dec": -4.75, "start": "soon"}, "start", "a date"),
        ({"ra": 40.0, "dec": 10.0}, "non_field_errors", "no usable difference image"),
    ],
)
def test_the_api_names_what_is_wrong(site, scanner, body, field, said):
    answered = scanner(body)
    error = answered.json()["error"]
    assert answered.status_code == 400 and said in error["fields"][field][0], error
    assert not ForcedRequest.objects.exists()


def test_asking_takes_scope_and_permission(thing, scanner, client):
    body = {"object": thing.name}
    reads = scanner(body, **scanner.header)
    assert reads.status_code == 403 and "ingest" in reads.json()["error"]["message"]
    viewer = scanner(body, **bearer(person("viewer"), "ingest"))
    assert viewer.status_code == 403 and "add_forcedrequest" in viewer.json()["error"]["message"]
    assert client.post(API, body, content_type="application/json").status_code == 401


def test_asking_has_a_rate_of_its_own(thing, client, settings):
    settings.API_FORCED_RATE = "2/min"
    header = bearer(person("scanner"), "read", "ingest")
    sent = [client.post(API, {"object": thing.name}, content_type="application/json", **header) for _ in range(3)]
    assert [one.status_code for one in sent] == [201, 201, 429]
    assert client.get(API, **header).status_code == 200
    assert ApiToken.objects.count() == 1
