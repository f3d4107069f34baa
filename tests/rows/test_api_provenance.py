"""Provenances, tags, references, calibrators and fakes in the REST API."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from products.models import Provenance, ProvenanceTag
from products.services.tagging import clone
from tests import factories
from tests.rows.test_api import bearer, error

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def ada(client: Client) -> User:
    person = User.objects.create_user("ada")
    client.force_login(person)
    return person


def results(client: Client, address: str) -> list[dict]:
    answer = client.get(f"{API}/{address}")
    assert answer.status_code == 200, (address, answer.content[:300])
    return answer.json()["results"]


def may(person: User, codename: str) -> None:
    person.user_permissions.add(Permission.objects.get(codename=codename))


# Provenances -------------------------------------------------------------------------------------------


def test_a_provenance_names_its_neighbours_its_tags_and_how_much_carries_it(site, client, ada):
    photocal = site.ccd.zero_point.provenance
    found = client.get(f"{API}/provenances/{photocal.pk}/").json()
    assert found["process"] == "photocal" and found["code_version"] == "1.0.0" and found["tags"] == ["current"]
    assert set(found["upstreams"]) == set(photocal.upstreams.values_list("pk", flat=True))
    assert site.ccd.difference.provenance_id in found["downstreams"]
    assert found["products"] == {"zero points": 3} and found["parameters"] == {"min_stars": 10}
    assert found["bad_upstreams"] == []


def test_the_graph_of_a_provenance_reaches_from_the_exposure_to_the_alerts(site, client, ada):
    found = client.get(f"{API}/provenances/{site.ccd.zero_point.provenance_id}/graph/").json()
    generations = {node["id"]: node["generation"] for node in found["nodes"]}
    ccd = site.ccd
    upwards = [ccd.exposure, ccd.image, ccd.image.source_lists.get(), ccd.zero_point]
    downwards = [ccd.zero_point, ccd.difference, ccd.measurement_set, ccd.measurement_set.score_sets.get()]
    order = [generations[row.provenance_id] for row in (*upwards, *downwards[1:])]
    assert order == sorted(set(order)) and generations[ccd.zero_point.provenance_id] == 0
    ids = {node["id"] for node in found["nodes"]}
    assert all(set(arrow) <= ids for arrow in found["arrows"])


def test_provenances_are_found_by_process_id_tag_and_mark(site, client, ada):
    subtraction = site.ccd.difference.provenance
    Provenance.objects.filter(pk=subtraction.pk).update(is_bad=True, bad_comment="a wrong sign")
    (found,) = results(client, "provenances/?process=subtraction")
    assert found["id"] == subtraction.pk and found["bad_comment"] == "a wrong sign"
    assert [row["id"] for row in results(client, "provenances/?is_bad=true")] == [subtraction.pk]
    assert [row["id"] for row in results(client, f"provenances/?id={subtraction.pk[:8].lower()}")] == [subtraction.pk]
    assert len(results(client, "provenances/?held_by=trial")) == 1
    below = client.get(f"{API}/provenances/{site.ccd.measurement_set.provenance_id}/").json()
    assert below["bad_upstreams"] == [subtraction.pk] and below["is_bad"] is False


def test_versions_of_the_code_are_listed(site, client, ada):
    (row,) = results(client, "code-versions/?process=photocal")
    assert (row["major"], row["minor"], row["patch"]) == (1, 0, 0)


# Tags --------------------------------------------------------------------------------------------------


def test_a_tag_lists_what_it_holds_upstreams_first(site, client, ada):
    names = [row["tag"] for row in client.get(f"{API}/tags/").json()]
    assert names == ["current", "trial"]
    found = client.get(f"{API}/tags/current/").json()
    order = [row["process"] for row in found["provenances"]]
    assert order.index("acquisition") < order.index("photocal") < order.index("subtraction") < order.index("alerting")
    counts = {row["process"]: row["products"] for row in found["provenances"]}
    assert counts["subtraction"] == {"difference images": 3, "warped images": 3}
    assert client.get(f"{API}/tags/nothing/").status_code == 404
    assert client.get(f"{API}/tags/a%00b/").status_code == 400


def test_a_tag_with_a_slash_in_its_name_has_its_address(client, ada):
    factories.provenance("extraction", tag="ls4/deep")
    assert client.get(f"{API}/tags/ls4/deep/").json()["provenances"][0]["process"] == "extraction"


def test_only_who_may_add_tags_clones_one_and_the_history_says_so(site, client, ada):
    body = {"tag": "release-1", "clone": "current"}
    refused = client.post(f"{API}/tags/", body, "application/json")
    assert refused.status_code == 403 and not ProvenanceTag.objects.filter(tag="release-1").exists()
    may(ada, "add_provenancetag")
    made = client.post(f"{API}/tags/", body, "application/json")
    assert made.status_code == 201 and made.json()["tag"] == "release-1"
    held = ProvenanceTag.objects.filter(tag="release-1").count()
    assert held == ProvenanceTag.objects.filter(tag="current").count() == len(made.json()["provenances"])
    assert "cloned from 'current'" in LogEntry.objects.get(object_id="release-1").change_message


def test_a_token_needs_the_scope_admin_to_make_a_tag(site, client):
    person = User.objects.create_user("ada")
    may(person, "add_provenancetag")
    body = {"tag": "mine", "provenances": [site.ccd.zero_point.provenance_id]}
    refused = client.post(f"{API}/tags/", body, "application/json", **bearer(person, "read", "ingest"))
    assert refused.status_code == 403 and "admin" in error(refused)["message"]
    made = client.post(f"{API}/tags/", body, "application/json", **bearer(person, "admin"))
    assert made.status_code == 201 and [row["process"] for row in made.json()["provenances"]] == ["photocal"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tag": "new"}, "clone"), ({"tag": "new", "clone": "nobody"}, "clone"), ({"clone": "current"}, "tag"),
        ({"tag": "new", "provenances": ["AAAA"]}, "provenances"), ({"tag": " / ", "clone": "current"}, "tag"),
        ({"tag": "x" * 101, "clone": "current"}, "tag"), ({"tag": "trial", "clone": "current"}, "tag"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_new_tag_is_named(body, field, site, client, ada):
    may(ada, "add_provenancetag")
    before = ProvenanceTag.objects.count()
    answer = client.post(f"{API}/tags/", body, "application/json")
    assert answer.status_code == 400 and list(error(answer)["fields"]) == [field]
    assert ProvenanceTag.objects.count() == before


def test_two_tags_are_compared_by_how_and_by_what_came_out(site, client, ada):
    found = client.get(f"{API}/tag-comparison/?a=current&b=trial").json()
    by_process = {row["process"]: row for row in found["processes"]}
    assert by_process["extraction"]["because"].startswith("parameters") and not by_process["extraction"]["same"]
    assert {"process": "extraction", "parameter": "threshold", "a": 3.0, "b": 4.0} in found["parameters"]
    assert found["detections"]["ccds"] == 0
    clone("current", "copy")
    same = client.get(f"{API}/tag-comparison/?a=current&b=copy").json()
    assert all(row["same"] for row in same["processes"])
    assert same["detections"]["ccds"] == 3 and same["detections"]["both"] == 12
    assert same["detections"]["only_a"] == same["detections"]["only_b"] == 0


@pytest.mark.parametrize("query", ["a=current", "a=current&b=no", "a=current&b=trial&start=x", "a=current&b=trial&c=1"])
def test_a_comparison_names_its_wrong_parameter(query, site, client, ada):
    answer = client.get(f"{API}/tag-comparison/?{query}")
    name = {"a=current": "b", "a=current&b=no": "b"}.get(query) or query.rsplit("&", 1)[1].split("=")[0]
    assert answer.status_code == 400 and list(error(answer)["fields"]) == [name]


# References, calibrators, fakes ------------------------------------------------------------------------


def test_references_are_those_of_the_tag_unless_a_set_or_all_are_asked_for(site, client, ada):
    reference = site.ccd.difference.reference
    assert len(results(client, "references/")) == 3
    assert results(client, "references/?tag=trial") == []
    assert len(results(client, "references/?tag=trial&every_tag=true")) == 3
    assert len(results(client, "references/?tag=trial&refset=deep")) == 3
    found = results(client, f"references/?position={reference.ra} {reference.dec}&section=N1")
    assert {row["section"] for row in found} == {"N1"}
    assert results(client, "references/?position=10 10") == []
    row = next(row for row in found if row["id"] == str(reference.pk))
    assert row["limiting_magnitude"] == 22.4 and row["seeing"] == pytest.approx(2.6 * 0.6)
    assert row["n_differences"] == 1 and row["badness"] == []


def test_a_reference_names_its_parts_and_sets(site, client, ada):
    reference = site.ccd.difference.reference
    reference.image.components.add(site.ccd.zero_point)
    found = client.get(f"{API}/references/{reference.pk}/").json()
    assert found["refsets"] == ["deep"]
    assert [part["exposure"] for part in found["parts"]] == [site.name] and found["n_images"] == 1
    assert [row["name"] for row in results(client, "refsets/")] == ["deep"]
    assert client.get(f"{API}/refsets/deep/").json()["provenance"] == reference.provenance_id


def test_calibrators_say_when_they_hold_and_what_used_them(site, client, ada):
    late = factories.calibrator(valid_from=61400.0)
    (row,) = results(client, "calibrators/?valid_at=61367")
    assert row["n_used"] == 1 and row["n_frames"] == 1 and row["kind"] == "bias"
    assert len(results(client, "calibrators/?valid_at=61401")) == 2
    assert client.get(f"{API}/calibrators/{late.pk}/").json()["valid_from"] == 61400.0
    assert client.get(f"{API}/calibrators/?kind=moon").status_code == 400
    assert results(client, "calibrators/?superseded=yes") == []


def test_calibrators_say_how_good_they_are_and_their_images_are_one_query_away(site, client, ada):
    row = site.ccd.image.calibrators.get()
    row.quality, row.rejected = {"noise": 1.5, "points": [1, 2], "lamp_followed": True}, {"bias-9": "level 12"}
    row.save()
    found = client.get(f"{API}/calibrators/{row.pk}/").json()
    assert found["quality"] == {"noise": 1.5, "lamp_followed": True} and found["rejected"] == {"bias-9": "level 12"}
    assert found["superseded_by"] is None
    (image,) = results(client, f"images/?calibrator={row.pk}")
    assert image["id"] == str(site.ccd.image.pk)
    assert results(client, f"images/?calibrator={factories.calibrator().pk}") == []
    assert client.get(f"{API}/images/?calibrator=nonsense").status_code == 400


def test_the_efficiency_of_exposures_nights_and_all_together(site, client, ada):
    factories.fakes(site.again)
    (every,) = client.get(f"{API}/fake-analyses/efficiency/").json()
    assert (every["images"], every["n"], every["of"]) == (2, 80, "")
    stages = [every[name] for name in ("detected", "kept", "passed")]
    assert stages[0]["found"] > stages[1]["found"] == stages[2]["found"]
    assert sum(one["n"] for one in every["kept"]["bins"]) == 80 and every["detected"]["half"]
    exposures = client.get(f"{API}/fake-analyses/efficiency/?by=exposure").json()
    assert {one["of"] for one in exposures} == {site.name, site.again.image.exposure.name}
    assert all(one["n"] == 40 for one in exposures)
    nights = client.get(f"{API}/fake-analyses/efficiency/?by=night&from_limit=true").json()
    assert sum(one["images"] for one in nights) == 2 and {one["limit"] for one in nights} == {every["limit"]}
    (only,) = client.get(f"{API}/fake-analyses/efficiency/?kind=variable&exposure={site.name}").json()
    assert only["n"] == 10 and [one["kind"] for one in only["accuracy"]] == ["variable"]
    for wrong in ("by=week", "kind=nova", "colour=red"):
        assert client.get(f"{API}/fake-analyses/efficiency/?{wrong}").status_code == 400


def test_lost_fakes_by_kind_and_reason(site, client, ada):
    (row,) = results(client, "fake-analyses/")
    lost = client.get(f"{API}/fake-analyses/lost/").json()
    assert len(lost) == row["n_fakes"] - row["n_passed"]
    assert [one["below_limit"] for one in lost] == sorted(one["below_limit"] for one in lost)
    cut = client.get(f"{API}/fake-analyses/lost/?reason=cut&kind=hosted").json()
    assert cut and {(one["reason"], one["kind"]) for one in cut} == {("cut", "hosted")}
    assert cut[0]["why"] == "failed a cut: psf_chi2 3.1, limit 2" and cut[0]["exposure"] == site.name
    assert client.get(f"{API}/fake-analyses/lost/?reason=weather").status_code == 400


def test_fakes_come_image_by_image_and_one_by_one(site, client, ada):
    (row,) = results(client, f"fake-analyses/?exposure={site.name}")
    assert row["n_fakes"] == 40 and row["n_kept"] < row["n_detected"] < 40
    assert results(client, "fake-analyses/?tag=trial") == []
    fakes = client.get(f"{API}/fake-analyses/{row['id']}/fakes/").json()
    assert len(fakes) == 40 and sum(fake["is_kept"] for fake in fakes) == row["n_kept"]
    assert all(bool(fake["reason"]) == bool(fake["why"]) != fake["is_passed"] for fake in fakes)
    assert {fake["reason"] for fake in fakes} == {"", "cut", "faint"}
    assert {fake["kind"] for fake in fakes} == {"hostless", "hosted", "variable"}
    (fake_set,) = results(client, "fake-sets/?section=N1")
    assert fake_set["n_fakes"] == 40 and fake_set["id"] == row["fake_set"]


def test_lists_follow_their_cursors_to_the_end(site, client, ada):
    for name in ("provenances", "references", "code-versions"):
        seen, address = [], f"{API}/{name}/?page_size=2"
        while address:
            page = client.get(address).json()
            seen += [row["id"] for row in page["results"]]
            address = page["next"]
        assert len(seen) == len(set(seen)) == len(results(client, f"{name}/?page_size=500"))


def test_a_stranger_gets_nothing(site, client):
    for name in ("provenances", "tags", "references", "refsets", "calibrators", "fake-sets", "fake-analyses",
                 "code-versions", "tag-comparison"):  # fmt: skip
        assert client.get(f"{API}/{name}/").status_code == 401, name
