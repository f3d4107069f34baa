"""The admin: every list and page on a full tree, who may do what, badness by checkboxes, the queue."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from products.models import (
    Badness,
    Label,
    Measurement,
    Object,
    ProvenanceTag,
    Reference,
    RefSet,
    SensorSection,
    SourceList,
    ZeroPoint,
)
from products.services.badness import set_badness
from products.services.tagging import known_tags, tag_provenances
from tests import factories
from tests.rows.admin_pages import PROVENANCE_LIST, TAG_LIST, address, full_tree, held, page_of, said, staff

pytestmark = pytest.mark.django_db
MODELS = [model for model in apps.get_app_config("products").get_models() if not model._meta.proxy]


# Every page ---------------------------------------------------------------------------------------------------
def test_every_table_of_the_archive_has_its_pages():
    assert {model for model in MODELS if not admin.site.is_registered(model)} == set()


def test_lists_and_pages_of_every_model_open(admin_client):
    full_tree()
    wrong = {}
    for model in MODELS:
        row = model._base_manager.first()
        pages = [address(model) + query for query in ("", "?q=demo", "?q=n%C3%BCll+x")]
        pages.append(address(model, "change", row.tag if model is ProvenanceTag else row.pk))
        expected = dict.fromkeys(pages, 200) | {
            address(model, "add"): 200 if model in (ProvenanceTag, RefSet, SensorSection) else 403
        }
        found = {page: admin_client.get(page).status_code for page in expected}
        wrong |= {page: status for page, status in found.items() if status != expected[page]}
    assert wrong == {}


def test_every_filter_of_a_list_opens(admin_client):
    full_tree()
    opened, wrong = 0, {}
    for model in MODELS:
        page = admin_client.get(address(model)).content.decode()
        for link in sorted(set(re.findall(r'href="(\?(?!o=)[^"]+)"', page))):
            answer = admin_client.get(address(model) + link.replace("&amp;", "&"))
            opened += 1
            if answer.status_code != 200:  # a filter that is not allowed leads back by a redirect
                wrong[address(model) + link] = answer.status_code
    assert wrong == {}
    assert opened > 80


def queries_of_lists(client: Client) -> dict[str, int]:
    found = {}
    for model in MODELS:
        with CaptureQueriesContext(connection) as queries:
            client.get(address(model))
        found[model.__name__] = len(queries)
    return found


def test_a_list_takes_no_more_queries_for_more_rows(admin_client):
    full_tree("N1")
    queries_of_lists(admin_client)
    few = queries_of_lists(admin_client)
    full_tree("N2", person="emmy")
    assert queries_of_lists(admin_client) == few


def test_the_index_begins_with_the_tags_and_bears_our_name(admin_client):
    tag_provenances("ls4/deep", [factories.provenance("extraction", tag="")])
    page = admin_client.get("/admin/").content.decode()
    assert "SeeChange administration" in page
    assert page.index("ls4/deep") < page.index("Exposures") < page.index("Users")
    assert 'href="/admin/products/provenancetag/ls4_2Fdeep/change/"' in page


def test_pages_link_to_what_a_row_was_made_of_and_what_was_made_of_it(admin_client):
    ccd = full_tree()
    page = admin_client.get(page_of(ccd.zero_point)).content.decode()
    assert page_of(ccd.zero_point.world_coordinates) in page
    assert page_of(ccd.zero_point.provenance) in page
    lists = re.findall(r'href="(/admin/products/image/\?zero_point__id__exact=[^"]+)"', page)
    assert len(lists) == 1
    found = admin_client.get(lists[0])
    assert set(found.context["cl"].queryset.values_list("kind", flat=True)) == {"warped", "difference"}


# Who may do what ------------------------------------------------------------------------------------------------
def test_nobody_sees_the_admin_without_logging_in(client):
    for model in MODELS:
        response = client.get(address(model))
        assert (response.status_code, response.url.split("?")[0]) == (302, "/admin/login/")


def test_staff_without_permission_see_nothing():
    ccd = full_tree()
    client = staff()
    for model in MODELS:
        assert client.get(address(model)).status_code == 403
    assert client.get(page_of(ccd.zero_point)).status_code == 403
    assert client.get(TAG_LIST + "current/change/").status_code == 403
    assert client.get(TAG_LIST + "compare/").status_code == 403
    assert "provenancetag" not in client.get("/admin/").content.decode()


def test_who_may_only_view_changes_nothing():
    ccd = full_tree()
    client = staff("view_zeropoint", "view_provenancetag", "view_provenance")
    page = client.get(page_of(ccd.zero_point))
    assert page.status_code == 200
    assert "checkbox" not in page.content.decode()
    assert client.post(page_of(ccd.zero_point), {"own_bits": [int(Badness.NO_CATALOG)]}).status_code == 403
    assert ZeroPoint.objects.filter(badness_own=0).count() == 2
    before = held("current")
    some = sorted(before)[:2]
    assert client.get(TAG_LIST + "current/change/").status_code == 200
    posts = [
        (TAG_LIST + "current/change/", {"operation": "untag", "provenance": some}),
        (TAG_LIST + "add/", {"tag": "dr1", "provenances": some}),
        (TAG_LIST + "current/delete/", {}),
    ]
    for where, data in posts:
        assert client.post(where, data).status_code == 403
    for where, action in (
        (PROVENANCE_LIST, "tag_chosen"),
        (PROVENANCE_LIST, "untag_chosen"),
        (TAG_LIST, "clone_chosen"),
    ):
        client.post(where, {"action": action, "tag": "current", "new_tag": "dr1", "_selected_action": some})
    assert held("current") == before
    assert known_tags() == ["current"]


def test_nothing_is_deleted_here_even_by_a_superuser(admin_client):
    full_tree()
    for model in MODELS:
        if model in (ProvenanceTag, RefSet, Label):
            continue
        row, count = model._base_manager.first(), model._base_manager.count()
        assert admin_client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model
        admin_client.post(address(model), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
        assert model._base_manager.count() == count, model


# Badness --------------------------------------------------------------------------------------------------------
def test_badness_is_set_by_checkboxes_and_told_downstream(admin_client):
    ccd = full_tree()
    page = admin_client.get(page_of(ccd.zero_point)).content.decode()
    boxes = set(map(int, re.findall(r'type="checkbox" name="own_bits" value="(\d+)"', page)))
    of_solutions = ("NO_CATALOG", "MATCH_FAILED", "BIG_RESIDUALS", "CLOUDS", "UNEVEN_ZERO_POINT")
    assert boxes == {int(Badness[name]) for name in of_solutions}
    data = {"own_bits": [int(Badness.NO_CATALOG), int(Badness.BIG_RESIDUALS)], "description": "few stars"}
    answer = admin_client.post(page_of(ccd.zero_point), data, follow=True)
    assert "changed their inherited badness" in said(answer)
    both = Badness.NO_CATALOG | Badness.BIG_RESIDUALS
    kept = ZeroPoint.objects.get(pk=ccd.zero_point.pk)
    assert (kept.badness_own, kept.description) == (both, "few stars")
    assert Measurement.objects.filter(badness_upstream=both).count() == 6
    admin_client.post(page_of(ccd.zero_point), {"own_bits": [], "description": "few stars"})
    assert Measurement.objects.filter(badness_upstream=0).count() == 6
    assert LogEntry.objects.filter(object_id=str(ccd.zero_point.pk)).count() == 2


@pytest.mark.parametrize("bit", [int(Badness.GHOST), 1 << 40, 3])
def test_a_bit_that_this_product_cannot_have_is_refused(admin_client, bit):
    ccd = full_tree()
    answer = admin_client.post(page_of(ccd.zero_point), {"own_bits": [bit]})
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["own_bits"]
    assert ZeroPoint.objects.get(pk=ccd.zero_point.pk).badness_own == 0


def test_a_form_cannot_change_what_is_read_only(admin_client):
    ccd = full_tree()
    data = {"zp": 99, "badness_own": 2, "badness_upstream": 2, "provenance": "x", "filepath": "/etc/passwd"}
    admin_client.post(page_of(ccd.zero_point), {**data, "description": "x"})
    kept = ZeroPoint.objects.get(pk=ccd.zero_point.pk)
    assert (kept.zp, kept.badness_own, kept.badness_upstream) == (27.31, 0, 0)
    assert (kept.provenance_id, kept.description) == (ccd.zero_point.provenance_id, "x")


def test_many_products_are_marked_at_once(admin_client):
    ccd = full_tree()
    rows = ccd.measurements[:3]
    set_badness(rows[0], Badness.GHOST, description="kept")
    chosen = {"action": "mark", "_selected_action": [row.pk for row in rows]}
    page = admin_client.post(address(Measurement), chosen)
    assert [row.pk for row in page.context["rows"].order_by("index_in_sources")] == [row.pk for row in rows]
    marks = {"apply": "yes", "set_bits": [int(Badness.SATELLITE)], "clear_bits": [int(Badness.GHOST)]}
    assert "3 measurements marked" in said(admin_client.post(address(Measurement), {**chosen, **marks}, follow=True))
    found = Measurement.objects.exclude(badness_own=0)
    assert {row.pk: row.badness_own for row in found} == {row.pk: Badness.SATELLITE for row in rows}
    assert Measurement.objects.get(pk=rows[0].pk).description == "kept"


@pytest.mark.parametrize(
    "marks", [{}, {"set_bits": [int(Badness.GHOST)], "clear_bits": [int(Badness.GHOST)]}, {"set_bits": [2]}]
)
def test_marks_that_say_nothing_or_too_much_are_refused(admin_client, marks):
    ccd = full_tree()
    data = {"action": "mark", "apply": "yes", "_selected_action": [ccd.measurements[0].pk], **marks}
    assert admin_client.post(address(Measurement), data).context["form"].errors
    assert not Measurement.objects.exclude(badness_own=0).exists()


@pytest.mark.parametrize(
    ("value", "found"), [("none", 0), ("any", 2), ("own", 0), ("inherited", 2), (str(int(Badness.FEW_SOURCES)), 0)]
)
def test_lists_are_filtered_by_badness(admin_client, value, found):
    ccd = full_tree()
    set_badness(ccd.exposure, Badness.SHAKING)
    set_badness(Reference.objects.get().image, Badness.SHAKING)
    page = admin_client.get(address(SourceList) + f"?badness={value}&kind__exact=sources")
    assert page.context["cl"].queryset.count() == found


def test_an_edit_of_an_object_writes_only_what_was_edited(admin_client):
    thing = factories.sky_object()
    read = Object.objects.get(pk=thing.pk)
    Object.objects.update(n_measurements=7)  # another process meanwhile
    request = admin_client.get(page_of(thing)).wsgi_request
    page = admin.site._registry[Object]
    read.is_bad = True
    form = type("Form", (), {"changed_data": ["is_bad"]})()
    page.save_model(request, read, form, True)
    kept = Object.objects.get(pk=thing.pk)
    assert (kept.is_bad, kept.n_measurements) == (True, 7)


# The queue ------------------------------------------------------------------------------------------------------
def test_the_pages_of_django_q_that_run_code_are_gone(admin_client):
    for model in (Schedule, Success, Failure, OrmQ, Task):
        assert not admin.site.is_registered(model)
    for name in ("schedule", "success", "failure", "ormq", "task"):
        assert admin_client.get(f"/admin/django_q/{name}/").status_code == 404


@pytest.mark.parametrize("asked", ["²", "9" * 40, "-1", "nonsense", "none", "8"])
def test_the_filter_by_badness_takes_whatever_an_address_asks(admin_client, asked):
    factories.science_image()
    assert admin_client.get("/admin/products/image/", {"badness": asked}).status_code == 200
