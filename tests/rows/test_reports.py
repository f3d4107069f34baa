"""Reports searched across exposures, on the page and in the REST API."""

from __future__ import annotations

import datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from products.models import Report
from tests import factories

pytestmark = pytest.mark.django_db
API = "/api/v1/reports/"


@pytest.fixture
def attempts() -> list[Report]:
    """Four attempts at three CCDs of two exposures: two stopped, of which one went well the second time."""
    one, other = factories.exposure("first"), factories.exposure("second", instrument="other")
    made = [
        factories.report(one, "N1", failed="photocal"),
        factories.report(one, "N1"),
        factories.report(one, "N2", failed="astrocal"),
        factories.report(other, "N1"),
    ]
    Report.objects.filter(pk=made[2].pk).update(
        error_type="NoMatch", error_message="no match within 3″", cluster="perlmutter", node="nid001842",
        started_at=timezone.now() - datetime.timedelta(days=30),
    )  # fmt: skip
    return made


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(User.objects.create_user("ada"))
    return client


def found(client: Client, query: str) -> int:
    """How many attempts the page and the REST API find, which must be the same."""
    page = client.get(f"/reports/?{query}").content.decode()
    answer = client.get(f"{API}?{query}")
    assert answer.status_code == 200, answer.content
    on_page, in_answer = page.count("<tr data-href="), len(answer.json()["results"])
    assert on_page == in_answer, query
    return on_page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 4), ("state=failed", 2), ("state=done", 2), ("exposure=fir", 3), ("exposure=second", 1), ("section=N2", 1),
        ("step=photocal", 1), ("error_type=NoMatch", 1), ("error_type=NoMatch&step=photocal", 0), ("text=STARS", 1),
        ("text=within", 1), ("node=nid0", 1), ("node=perl", 1), ("instrument=other", 1), ("attempts=latest", 3),
        ("attempts=latest&state=failed", 1), ("start=2000-01-01", 4), ("end=2000-01-01", 0),
    ],
)  # fmt: skip
def test_attempts_are_found_by_what_happened(query: str, expected: int, attempts: list[Report], reader: Client) -> None:
    assert found(reader, query) == expected


def test_attempts_are_found_by_when_they_began(attempts: list[Report], reader: Client) -> None:
    week_ago = (timezone.now() - datetime.timedelta(days=7)).strftime("%Y-%m-%d")
    assert found(reader, f"start={week_ago}") == 3 and found(reader, f"end={week_ago}") == 1


def test_attempts_of_other_tags_are_left_out_unless_asked_for(attempts: list[Report], reader: Client) -> None:
    factories.provenance("extraction", tag="trial", threshold=9.0)
    Report.objects.filter(pk=attempts[0].pk).update(tag="trial", provenance_set=None)
    assert found(reader, "") == 3 and found(reader, "tags=any") == 4
    assert found(reader, "tag=trial") == 1 and found(reader, "tag=trial&attempts=latest") == 1
    assert found(reader, "tags=any&attempts=latest") == 3


def test_a_ccd_shows_the_latest_attempt_of_the_tag_and_others_when_asked(
    attempts: list[Report], reader: Client
) -> None:
    address = "/exposures/first/N1/report/"
    assert "Stopped in photocal" not in reader.get(address).content.decode()
    factories.provenance("extraction", tag="trial", threshold=9.0)
    Report.objects.filter(pk=attempts[1].pk).update(tag="trial", provenances={"extraction": "of another tag"})
    assert "Stopped in photocal" in reader.get(f"{address}?tag=current").content.decode()
    for query in ("tag=trial", "tag=current&attempt=2"):
        assert "Stopped in photocal" not in reader.get(f"{address}?{query}").content.decode(), query
    assert reader.get(f"{address}?attempt=7").status_code == 404


def test_the_page_counts_errors_by_kind_and_step_and_links_to_them(attempts: list[Report], reader: Client) -> None:
    page = reader.get("/reports/").content.decode()
    assert "photocal: NotEnoughStars <b>1</b>" in page and "astrocal: NoMatch <b>1</b>" in page
    link = page.split("astrocal: NoMatch")[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    narrowed = reader.get(f"/reports/{link}").content.decode()
    assert narrowed.count("<tr data-href=") == 1 and "photocal: NotEnoughStars <b>1</b>" in narrowed
    assert "/exposures/first/N2/report/?attempt=1" in narrowed
    assert reader.get("/exposures/first/N2/report/?attempt=1").status_code == 200


@pytest.mark.parametrize("sort", ["started", "-started", "exposure", "ccd", "attempt", "node", "state", "-error"])
def test_the_page_sorts_by_its_columns(sort: str, attempts: list[Report], reader: Client) -> None:
    page = reader.get(f"/reports/?sort={sort}").content.decode()
    assert page.count("<tr data-href=") == 4 and "aria-sort" in page


def test_nothing_found_says_which_tag_was_searched(attempts: list[Report], reader: Client) -> None:
    page = reader.get("/reports/?text=unheard").content.decode()
    assert "No attempt of the tag current fits all fields" in page and "tags=any" in page


def test_one_report_has_its_steps_and_the_list_has_not(attempts: list[Report], reader: Client) -> None:
    row = reader.get(f"{API}{attempts[0].pk}/").json()
    assert [step["name"] for step in row["steps"]][-1] == "photocal" and row["error_details"] == {
        "found": 4,
        "needed": 10,
    }
    assert row["exposure"] == "first" and row["reached"][-1] == "photocal"
    listed = reader.get(API).json()["results"][0]
    assert "steps" not in listed and "traceback" not in listed and listed["plan"]
    assert reader.get(f"{API}{attempts[0].exposure.pk}/").status_code == 404


def test_a_coadd_that_was_attempted_has_a_report_without_an_exposure(reader: Client) -> None:
    Report.objects.create(section="", plan=["coaddition"], state="failed", error_type="BadInput", tag="current")
    page = reader.get("/reports/").content.decode()
    assert "a coadd" in page and "BadInput" in page
    assert reader.get(API).json()["results"][0]["exposure"] is None
