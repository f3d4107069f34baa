"""The admin: every list and page on a full tree, who may do what, tags through forms, badness by checkboxes."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from products.models import (
    Badness,
    CalibratorFile,
    CatalogExcerpt,
    DataFile,
    FakeAnalysis,
    FakeSet,
    Label,
    Measurement,
    Object,
    ObjectName,
    ObjectPosition,
    Provenance,
    ProvenanceTag,
    RefSet,
    ScienceImage,
    SourceList,
    ZeroPoint,
)
from products.services.badness import set_badness
from products.services.tagging import clone, known_tags, tag_provenances
from tests import factories

pytestmark = pytest.mark.django_db
MODELS = [model for model in apps.get_app_config("products").get_models() if not model._meta.proxy]
TAG_LIST = "/admin/products/provenancetag/"
PROVENANCE_LIST = "/admin/products/provenance/"


def address(model: type, page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def page_of(row: object) -> str:
    return address(type(row)._meta.concrete_model, "change", row.pk)


def held(tag: str) -> set[str]:
    return set(ProvenanceTag.objects.filter(tag=tag).values_list("provenance_id", flat=True))


def full_tree(section: str = "N1", person: str = "ada") -> factories.CCD:
    """A CCD and one more row of every model that it has none of."""
    exposure = factories.Exposure.objects.first() or factories.exposure()
    ccd = factories.full_ccd(1, of=exposure, section=section)
    made = {"tag": "", "section": section}
    frames = factories.provenance("calibrating", **made)
    table = DataFile.objects.create(name=f"linearity {section}", provenance=frames)
    row = CalibratorFile.objects.create(kind="linearity", instrument="demo", section=section, data_file=table)
    ccd.image.calibrators.add(row)
    CatalogExcerpt.objects.create(
        origin="gaia_dr3", epoch=2016, n_stars=3, contents_sha256=section, ra=35.5, dec=-4.75, provenance=frames
    )
    fakes = FakeSet.objects.create(
        zero_point=ccd.zero_point, n_fakes=3, random_seed=1, provenance=factories.provenance("fakeinjection", **made)
    )
    FakeAnalysis.objects.create(
        fake_set=fakes, score_set=ccd.measurement_set.score_sets.get(), n_detected=2, n_kept=1,
        provenance=factories.provenance("fakeanalysis", **made),
    )  # fmt: skip
    user, _ = User.objects.get_or_create(username=person)
    Label.objects.create(measurement=ccd.measurements[0], person=user, verdict="real")
    ObjectPosition(
        object=ccd.measurements[0].object, provenance=frames, n_measurements=1, ra_error=0.1, dec_error=0.1, mjd_last=1
    ).set_position(35.5, -4.75).save()  # fmt: skip
    ObjectName.objects.get_or_create(year=2026)
    RefSet.objects.create(name=f"demo {section}", provenance=ccd.difference.reference.provenance)
    return ccd


def staff(*permissions: str) -> Client:
    """A client of somebody of the staff with these permissions only."""
    user = User.objects.create_user("grace", password="x", is_staff=True)
    for name in permissions:
        user.user_permissions.add(Permission.objects.get(codename=name, content_type__app_label="products"))
    client = Client()
    client.force_login(user)
    return client


def said(response) -> str:
    """What the page after a form says in its messages."""
    return " ".join(str(message) for message in response.context["messages"])


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
        expected = dict.fromkeys(pages, 200) | {address(model, "add"): 200 if model in (ProvenanceTag, RefSet) else 403}
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
    assert boxes == {int(Badness.NO_CATALOG), int(Badness.MATCH_FAILED), int(Badness.BIG_RESIDUALS)}
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
    set_badness(factories.Reference.objects.get().image, Badness.SHAKING)
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


# Tags -----------------------------------------------------------------------------------------------------------
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


# The queue ------------------------------------------------------------------------------------------------------
def test_the_pages_of_django_q_that_run_code_are_gone(admin_client):
    for model in (Schedule, Success, Failure, OrmQ):
        assert not admin.site.is_registered(model)
    for name in ("schedule", "success", "failure", "ormq"):
        assert admin_client.get(f"/admin/django_q/{name}/").status_code == 404


def test_tasks_are_shown_without_reading_their_pickles(admin_client):
    from django.utils import timezone

    task = Task.objects.create(
        id="0" * 32, name="night", func="f", started=timezone.now(), stopped=timezone.now(), args=(1,), result={"a": 1}
    )
    for where in (address(Task), address(Task, "change", task.pk)):
        with CaptureQueriesContext(connection) as queries:
            answer = admin_client.get(where)
        assert "night" in answer.content.decode()
        asked = [query["sql"] for query in queries if '"django_q_task"' in query["sql"]]
        assert asked and not any(f'"{name}"' in sql for sql in asked for name in ("args", "kwargs", "result"))
    assert admin_client.post(address(Task, "change", task.pk), {"func": "os.system"}).status_code == 403
    assert admin_client.get(address(Task, "add")).status_code == 403


@pytest.mark.parametrize("asked", ["²", "9" * 40, "-1", "nonsense", "none", "8"])
def test_the_filter_by_badness_takes_whatever_an_address_asks(admin_client, asked):
    factories.science_image()
    assert admin_client.get("/admin/products/image/", {"badness": asked}).status_code == 200
