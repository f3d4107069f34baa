"""How far exposures are: the same in the list, on the page of one and in the REST API, and by the latest attempts."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from products.models import Exposure, Provenance, ProvenanceSet, ProvenanceTag, Report
from products.selectors import exposures, states
from products.selectors.tags import of_name
from products.services.statistics import refresh_statistics
from products.services.tagging import clone
from tests import factories

pytestmark = pytest.mark.django_db


def state_of(name: str, tag: str = "current") -> str:
    """The state as the database decides it, which must be that of the page as well."""
    chosen = of_name(tag)
    row = states.with_state(Exposure.objects.filter(name=name), chosen).get()
    (shown,) = exposures.overview([row], chosen)
    assert shown.state == row.state
    return row.state


@pytest.fixture
def night() -> dict[str, Exposure]:
    """An exposure in each state."""
    factories.full_ccd(of=factories.exposure("finished"))
    made = {name: factories.exposure(name) for name in ("untried", "half", "lost", "working")}
    factories.report(made["half"], "N1")
    factories.report(made["half"], "N2", failed="photocal")
    factories.report(made["lost"], "N1", failed="photocal")
    factories.report(made["working"], "N1")
    running(made["working"], "N2")
    return made


def running(of: Exposure, section: str) -> Report:
    """An attempt that has not ended."""
    row = factories.report(of, section)
    Report.objects.filter(pk=row.pk).update(state=Report.State.RUNNING, finished_at=None)
    return row


def test_an_exposure_is_in_the_state_of_the_latest_attempts_at_its_ccds(night: dict[str, Exposure]) -> None:
    found = {name: state_of(name) for name in ("finished", *night)}
    assert found == {
        "finished": "done", "untried": "waiting", "half": "partial", "lost": "failed", "working": "running",
    }  # fmt: skip
    factories.report(night["half"], "N2")
    assert state_of("half") == "done"
    factories.report(night["half"], "N1", failed="photocal")
    assert state_of("half") == "partial"
    factories.report(night["half"], "N2", failed="photocal")
    assert state_of("half") == "failed"


def test_attempts_of_other_tags_do_not_count_unless_the_tag_holds_their_provenances(night: dict[str, Exposure]) -> None:
    factories.provenance("extraction", night["half"].provenance, tag="trial", threshold=4.0)
    assert state_of("half", "trial") == "waiting"
    clone("current", "paper")
    assert state_of("half", "paper") == "partial" and state_of("finished", "paper") == "done"
    ProvenanceTag.objects.filter(tag="paper", provenance__process="photocal").delete()
    assert state_of("finished", "paper") == "waiting"


def test_attempts_of_one_configuration_share_their_provenances(night: dict[str, Exposure]) -> None:
    row = Report.objects.filter(exposure=night["half"]).first()
    assert row.provenance_set.members == sorted(row.provenances.values())
    assert ProvenanceSet.objects.count() == Report.objects.values("provenance_set").distinct().count()
    row.provenances = {}
    row.save()
    assert row.provenance_set is None
    assert str(ProvenanceSet.of([Provenance.objects.first().pk])).startswith("1 provenances")


def test_the_list_counts_each_state_and_filter_and_finds_as_many(night: dict[str, Exposure], client: Client) -> None:
    Exposure.objects.filter(name="lost").update(filter="", filters={"N1": "g", "N2": "zz"})
    factories.exposure("bias_1", kind="bias", filter="")
    tag = of_name("current")
    everything = states.choices(Exposure.objects.order_by("name"), tag, "", "")
    assert everything.states == {"done": 1, "waiting": 1, "partial": 1, "failed": 1, "running": 1}
    assert everything.filters == {"r": 4, "g": 1, "zz": 1} and len(everything.keys) == 6
    for state in states.STATES:
        page = client.get(f"/exposures/?state={state}").content.decode()
        assert page.count("<tr data-href=") == everything.states[state], state
    narrowed = states.choices(Exposure.objects.all(), tag, "failed", "r")
    assert narrowed.keys == [] and narrowed.states["failed"] == 0 and narrowed.filters == {"g": 1, "zz": 1}


def test_a_filter_of_one_section_is_found_before_any_image_exists(client: Client) -> None:
    factories.exposure("mosaic", filter="", filters={"NE": "g", "SW": "VR"})
    factories.exposure("other", filter="i")
    client.force_login(User.objects.create_user("ada"))
    for query, expected in (("g", ["mosaic"]), ("VR", ["mosaic"]), ("i", ["other"]), ("vr", []), ("NE", []), ("V", [])):
        page = client.get("/exposures/", {"filter": query}).content.decode()
        rows = client.get("/api/v1/exposures/", {"filter": query}).json()["results"]
        assert [row["name"] for row in rows] == expected, query
        assert [name for name in ("mosaic", "other") if f'data-href="/exposures/{name}/"' in page] == expected, query


def test_exposures_are_sorted_and_searched_by_what_came_of_them(client: Client) -> None:
    sharp, blurred = factories.exposure("sharp"), factories.exposure("blurred", mjd=61368.0)
    factories.full_ccd(of=sharp)
    made = factories.full_ccd(2, of=blurred)
    psf = made.zero_point.psf
    psf.fwhm_pixels = 5.0
    psf.save()
    made.zero_point.limiting_magnitude = 20.0
    made.zero_point.save()
    factories.exposure("untried", mjd=61369.0)

    def names(query: str) -> list[str]:
        page = client.get(f"/exposures/?{query}").content.decode()
        return [part.split("/")[0] for part in page.split('<tr data-href="/exposures/')[1:]]

    assert names("sort=seeing") == ["sharp", "blurred", "untried"] and names("sort=-seeing")[0] == "blurred"
    assert names("sort=limit") == ["blurred", "sharp", "untried"] and names("sort=-kept")[-1] == "untried"
    assert names("max_seeing=2") == ["sharp"] and names("min_limit=21") == ["sharp"]
    assert names("max_airmass=1.1") == [] and len(names("max_airmass=1.2")) == 3
    assert len(names("sort=nothing")) == 3


def test_a_search_that_finds_nothing_names_what_comes_closest(client: Client) -> None:
    factories.full_ccd(of=factories.exposure("only"))
    page = client.get("/exposures/?position=35.5 -2.75&start=2027-01-01").content.decode()
    assert "The last one before that time is" in page and "2.0° to the south:" in page
    assert page.count('href="/exposures/only/"') == 2


def test_sqlite_knows_its_indexes_after_it_was_told() -> None:
    from django.db import connection

    factories.exposure()
    refresh_statistics()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'products_exposure'")
            assert cursor.fetchone()[0] > 0
