"""The admin of tags: lists, forms, comparison, deletion."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.utils.html import escape

from products.models import (
    Provenance,
    ProvenanceTag,
    ScienceImage,
)
from products.services.tagging import clone, known_tags, tag_provenances
from tests import factories
from tests.rows.admin_pages import PROVENANCE_LIST, TAG_LIST, full_tree, held, said

pytestmark = pytest.mark.django_db


@pytest.fixture
def two() -> tuple[Provenance, Provenance]:
    """Two provenances of one process; the first is in `current`."""
    first = factories.provenance("extraction", threshold=3)
    return first, factories.provenance("extraction", tag="", threshold=5)


def test_the_list_has_one_row_a_tag_with_the_number_of_its_provenances(admin_client):
    full_tree()
    clone("current", "dr1")
    page = admin_client.get(TAG_LIST)
    rows = {row.tag: row.number for row in page.context["cl"].result_list}
    number = len(held("current"))
    assert rows == {"current": number, "dr1": number}
    only = admin_client.get(TAG_LIST + "?q=dr")
    assert [row.tag for row in only.context["cl"].result_list] == ["dr1"]


def test_a_tag_shows_its_provenances_with_parameters_and_products(admin_client):
    full_tree()
    page = admin_client.get(TAG_LIST + "current/change/").content.decode()
    assert all(key in page for key in held("current"))
    assert "overscan_smoothing" in page
    assert "1 deep score sets" in page
    assert "Delete this tag</a>" in page and "View on site</a>" in page


@pytest.mark.parametrize("name", ["ls4/deep", "a_b", "<b>&", "größe 1"])
def test_tags_of_any_name_have_their_pages(admin_client, name):
    tag_provenances(name, [factories.provenance("extraction", tag="")])
    page = admin_client.get(TAG_LIST)
    links = re.findall(r'href="(/admin/products/provenancetag/[^"]+/change/)"', page.content.decode())
    answer = admin_client.get(links[0])
    assert answer.status_code == 200
    assert escape(f"Tag {name}") in answer.content.decode()


def test_chosen_provenances_are_put_into_a_tag_and_taken_out(admin_client, two):
    other = factories.provenance("astrocal", tag="")
    data = {"action": "tag_chosen", "tag": "dr1", "_selected_action": [two[1].pk, other.pk]}
    assert "2 provenances were put into 'dr1'" in said(admin_client.post(PROVENANCE_LIST, data, follow=True))
    assert held("dr1") == {two[1].pk, other.pk}
    data = {"action": "untag_chosen", "tag": "dr1", "_selected_action": [other.pk]}
    admin_client.post(PROVENANCE_LIST, data)
    assert held("dr1") == {two[1].pk}
    log = LogEntry.objects.filter(object_id="dr1").values_list("change_message", flat=True)
    assert sorted(log) == ["1 provenances were taken out of it.", "2 provenances were put into it."]


def test_a_conflict_is_refused_with_the_list_and_nothing_is_written(admin_client, two):
    other = factories.provenance("astrocal", tag="")
    posts = [
        (PROVENANCE_LIST, {"action": "tag_chosen", "tag": "current", "_selected_action": [two[1].pk, other.pk]}),
        (TAG_LIST + "current/change/", {"operation": "add", "ids": f"{other.pk} {two[1].pk[:9]}"}),
    ]
    for where, data in posts:
        answer = said(admin_client.post(where, data, follow=True))
        assert two[0].pk in answer and two[1].pk in answer
        assert held("current") == {two[0].pk}
    form = admin_client.post(TAG_LIST + "add/", {"tag": "current", "provenances": [other.pk, two[1].pk]})
    assert two[0].pk in str(form.context["form"].non_field_errors())
    assert held("current") == {two[0].pk}
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("name", ["", "a//b", "x" * 101])
def test_a_bad_name_is_refused(admin_client, two, name):
    data = {"action": "tag_chosen", "tag": name, "_selected_action": [two[1].pk]}
    assert "cannot be the name of a tag" in said(admin_client.post(PROVENANCE_LIST, data, follow=True))
    assert known_tags() == ["current"]


def test_a_tag_is_made_by_its_form(admin_client, two):
    answer = admin_client.post(TAG_LIST + "add/", {"tag": "dr1", "provenances": [two[1].pk]}, follow=True)
    assert answer.redirect_chain[-1][0] == TAG_LIST + "dr1/change/"
    assert held("dr1") == {two[1].pk}


def test_on_the_page_of_a_tag_provenances_are_taken_out_put_elsewhere_added_and_cloned(admin_client, two):
    other = factories.provenance("astrocal")
    page = TAG_LIST + "current/change/"
    admin_client.post(page, {"operation": "tag", "target": "dr1", "provenance": [two[0].pk]})
    assert held("dr1") == {two[0].pk}
    admin_client.post(page, {"operation": "clone", "target": "dr2"})
    assert held("dr2") == {two[0].pk, other.pk}
    admin_client.post(page, {"operation": "untag", "provenance": [two[0].pk]})
    assert held("current") == {other.pk}
    admin_client.post(page, {"operation": "add", "ids": two[1].pk[:8].lower()})
    assert held("current") == {other.pk, two[1].pk}
    assert "No provenance was chosen" in said(admin_client.post(page, {"operation": "untag"}, follow=True))
    assert "no provenance 'AAAAAAAA'" in said(
        admin_client.post(page, {"operation": "add", "ids": "AAAAAAAA"}, follow=True)
    )
    last = admin_client.post(page, {"operation": "untag", "provenance": sorted(held("current"))}, follow=True)
    assert last.redirect_chain[-1][0] == TAG_LIST
    assert known_tags() == ["dr1", "dr2"]


def test_a_tag_is_cloned_and_two_are_compared_from_the_list(admin_client, two):
    key = ProvenanceTag.objects.get(tag="current").pk
    data = {"action": "clone_chosen", "new_tag": "dr1", "_selected_action": [key]}
    assert admin_client.post(TAG_LIST, data).url == TAG_LIST + "dr1/change/"
    assert held("dr1") == held("current")
    tag_provenances("dr2", [two[1]])
    keys = [ProvenanceTag.objects.get(tag=tag).pk for tag in ("current", "dr2")]
    answer = admin_client.post(TAG_LIST, {"action": "compare_chosen", "_selected_action": keys}, follow=True)
    page = answer.content.decode()
    assert answer.redirect_chain[-1][0] == TAG_LIST + "compare/?a=current&b=dr2"
    assert two[0].pk in page and two[1].pk in page
    assert answer.context["found"].parameters == [("extraction", "threshold", 3, 5)]
    one = admin_client.post(TAG_LIST, {"action": "compare_chosen", "_selected_action": keys[:1]}, follow=True)
    assert "Choose two tags" in said(one)


def test_a_tag_is_deleted_after_asking_and_products_stay(admin_client):
    full_tree()
    clone("current", "dr1")
    number = Provenance.objects.count()
    asked = admin_client.get(TAG_LIST + "dr1/delete/")
    assert "their products stay" in asked.content.decode()
    assert "dr1" in known_tags()
    assert "dr1" in said(admin_client.post(TAG_LIST + "dr1/delete/", follow=True))
    assert known_tags() == ["current"]
    assert Provenance.objects.count() == number
    assert ScienceImage.objects.count() == 1


def test_several_tags_are_deleted_from_the_list_after_asking(admin_client):
    full_tree()
    clone("current", "dr1")
    clone("current", "dr2")
    keys = [ProvenanceTag.objects.filter(tag=tag).order_by("pk").first().pk for tag in ("dr1", "dr2")]
    data = {"action": "delete_selected", "_selected_action": keys}
    asked = admin_client.post(TAG_LIST, data).content.decode()
    assert f"dr1: {len(held('dr1'))} provenances" in asked
    assert known_tags() == ["current", "dr1", "dr2"]
    admin_client.post(TAG_LIST, {**data, "post": "yes"})
    assert known_tags() == ["current"]
    assert LogEntry.objects.filter(object_id__in=["dr1", "dr2"]).count() == 2


@pytest.mark.parametrize("page", ["nix/change/", "nix/delete/", "1/change/"])
def test_an_unknown_tag_is_not_found(admin_client, two, page):
    assert admin_client.get(TAG_LIST + page).status_code == 404


def test_characters_that_no_database_takes_are_refused_and_not_asked_for(admin_client, two):
    page = TAG_LIST + "current/change/"
    posts = [
        (page, {"operation": "add", "ids": "AAAA\0"}),
        (page, {"operation": "untag", "provenance": ["\0"]}),
        (page, {"operation": "clone", "target": "a\0b"}),
        (PROVENANCE_LIST, {"action": "tag_chosen", "tag": "a\0b", "_selected_action": [two[0].pk]}),
        (PROVENANCE_LIST, {"action": "untag_chosen", "tag": "a\0b", "_selected_action": [two[0].pk]}),
    ]
    for where, data in posts:
        assert admin_client.post(where, data).status_code in (200, 302, 400)
    assert held("current") == {two[0].pk}
    assert known_tags() == ["current"]
