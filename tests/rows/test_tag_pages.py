"""Pages of tags and provenances: what they say, and who may change a tag on them."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from products.models import Measurement, Provenance, ProvenanceTag
from products.selectors.matching import failed_ccds, matched
from products.selectors.tags import of_name
from tests import factories
from tests.rows.archive import Archive

pytestmark = pytest.mark.django_db


def held(tag: str) -> set[str]:
    return set(ProvenanceTag.objects.filter(tag=tag).values_list("provenance", flat=True))


def logged_in(client: Client, *codenames: str) -> User:
    person = User.objects.create_user("ada")
    person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(person)
    return person


def test_the_forms_that_change_tags_are_shown_to_those_who_may_use_them(site, client):
    key = site.ccd.zero_point.provenance_id
    for address, form in (("/provenance/tags/current/", 'name="new_tag"'), (f"/provenance/{key}/", "Take out")):
        assert form not in client.get(address).content.decode()
    logged_in(client, "add_provenancetag", "change_provenancetag")
    for address, form in (("/provenance/tags/current/", 'name="new_tag"'), (f"/provenance/{key}/", "Take out")):
        assert form in client.get(address).content.decode()


def test_who_lacks_the_permission_changes_nothing(site, client):
    key = site.ccd.zero_point.provenance_id
    posts = [
        ("/provenance/clone/", {"tag": "current", "new_tag": "copy"}),
        (f"/provenance/{key}/tag/", {"tag": "copy", "operation": "tag"}),
        (f"/provenance/{key}/tag/", {"tag": "current", "operation": "untag"}),
    ]
    before = set(ProvenanceTag.objects.values_list("tag", "provenance"))
    for address, data in posts:
        assert client.post(address, data).url.startswith("/login/")
    logged_in(client)
    for address, data in posts:
        assert client.post(address, data).status_code == 403
        assert client.get(address).status_code in {403, 405}
    assert set(ProvenanceTag.objects.values_list("tag", "provenance")) == before


def test_a_tag_is_cloned_under_a_new_name_only(site, client):
    logged_in(client, "add_provenancetag")
    answer = client.post("/provenance/clone/", {"tag": "current", "new_tag": " release/1 "}, follow=True)
    assert held("release/1") == held("current") and answer.redirect_chain[-1][0] == "/provenance/tags/release/1/"
    assert "cloned from" in answer.content.decode() and "ada" in answer.content.decode()
    again = client.post("/provenance/clone/", {"tag": "trial", "new_tag": "release/1"}, follow=True)
    assert "already" in again.content.decode() and held("release/1") == held("current")
    factories.provenance("of another kind", tag="apart")
    apart = client.post("/provenance/clone/", {"tag": "current", "new_tag": "apart"}, follow=True)
    assert "already" in apart.content.decode() and len(held("apart")) == 1, "tags are not mixed"
    for data in ({"tag": "nobody", "new_tag": "x"}, {"tag": "current", "new_tag": ""}, {}):
        assert client.post("/provenance/clone/", data, follow=True).status_code == 200
    assert set(ProvenanceTag.objects.values_list("tag", flat=True)) == {"current", "trial", "release/1", "apart"}


def test_a_provenance_is_put_into_a_tag_and_taken_out_with_a_note(site, client):
    logged_in(client, "change_provenancetag")
    key = site.ccd.zero_point.provenance_id
    client.post(f"/provenance/{key}/tag/", {"tag": "shared", "operation": "tag"})
    assert held("shared") == {key}
    client.post(f"/provenance/{key}/tag/", {"tag": "shared", "operation": "untag"})
    assert held("shared") == set()
    notes = LogEntry.objects.filter(object_id="shared").order_by("pk").values_list("change_message", flat=True)
    assert [text.split()[2:4] for text in notes] == [["was", "put"], ["was", "taken"]]
    other = factories.provenance("extraction", tag="", threshold=9)
    page = client.post(f"/provenance/{other.pk}/tag/", {"tag": "current", "operation": "tag"}, follow=True)
    assert "already holds another provenance" in page.content.decode() and other.pk not in held("current")


def test_marks_of_a_provenance_are_shown_with_what_replaces_it(site, client):
    old, new = site.ccd.zero_point.provenance, factories.provenance("photocal", tag="", min_stars=20)
    Provenance.objects.filter(pk=old.pk).update(is_outdated=True, replaced_by=new)
    page = client.get(f"/provenance/{old.pk}/").content.decode()
    assert "Outdated" in page and new.pk in page
    assert new.pk in client.get("/provenance/?is_outdated=true").content.decode()
    Provenance.objects.filter(pk=old.pk).update(is_bad=True, bad_comment="wrong filter curve")
    below = client.get(f"/provenance/{site.ccd.difference.provenance_id}/").content.decode()
    assert "marked as bad" in below and "wrong filter curve" in below


def second_tag(site: Archive) -> None:
    """The tag `deep`: the first CCD measured again; one detection is cut there, one is missing, one is new."""
    again = factories.full_ccd(
        of=site.ccd.exposure, section="N1", tag="deep", objects=[row.object for row in site.ccd.measurements]
    )
    rows = list(again.measurement_set.measurements.order_by("index_in_sources"))
    Measurement.objects.filter(pk=rows[0].pk).update(is_bad=True, failed_cuts=["elongation"])
    Measurement.objects.filter(pk=rows[1].pk).update(object=factories.sky_object(10, 10))
    Measurement.objects.filter(pk=rows[2].pk).update(magnitude=rows[2].magnitude + 0.2)


@pytest.fixture
def measured_twice(site, monkeypatch) -> Archive:
    """The archive with products of a second tag, made with other parameters from the image on."""
    made = factories.provenance

    def other(process, *upstreams, tag="current", **parameters):
        extra = {"depth": "deep"} if tag == "deep" and process != "acquisition" else {}
        return made(process, *upstreams, tag=tag, **parameters, **extra)

    for module in (factories.images, factories.ccd):  # where the rows of a CCD are made
        monkeypatch.setattr(module, "provenance", other)
    second_tag(site)
    return site


def test_detections_are_matched_and_say_why_the_other_tag_has_them_not(measured_twice):
    found = matched(of_name("current"), of_name("deep"), {})
    assert found.ccds == 1 and not found.same_products
    assert found.both == 2 and found.lost.number == 2 and found.gained.number == 1
    assert found.lost.cut == 1 and found.lost.unseen == 1
    assert sorted(why for _, why in found.lost.shown) == ["cut: elongation", "not detected"]
    assert found.gained.shown[0][1] == "not detected"
    assert found.median == pytest.approx(0.1) and found.rms == pytest.approx(0.1)
    assert matched(of_name("deep"), of_name("current"), {}).gained.number == 2


def test_a_comparison_keeps_to_the_exposures_asked_for(measured_twice):
    mjd = measured_twice.ccd.exposure.mjd
    current, deep = of_name("current"), of_name("deep")
    assert matched(current, deep, {"start": mjd + 1}).ccds == 0
    assert matched(current, deep, {"end": mjd}).ccds == 0
    assert matched(current, deep, {"project": "demo", "start": mjd - 1}).ccds == 1
    assert matched(current, deep, {"project": "other"}).ccds == 0
    assert failed_ccds(current, {}) == 1 and failed_ccds(current, {"start": mjd + 1}) == 0


def test_the_page_shows_what_was_lost_and_gained(measured_twice, client):
    page = client.get("/provenance/compare/?a=current&b=deep").content.decode()
    assert "only A: 2 lost" in page and "only B: 1 gained" in page and "cut: elongation" in page
    assert "failed CCDs" in page
    swapped = client.get("/provenance/compare/?a=deep&b=current&start=nonsense").content.decode()
    assert "only A: 1 lost" in swapped and "a date" in swapped
