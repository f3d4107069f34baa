"""The accounts of others: given, with roles, closed; the record of all that, and accounts in the admin."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import DatabaseError, connection, transaction
from django.test import Client

from seechange_site import audit, roles
from seechange_site.models import ApiToken, AuditEvent
from tests.rows.people import PASSWORD, attempt, bearer, client_of, link_in, person, recorded

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fast_passwords")]
EXPOSURES = "/api/v1/exposures/"


# People --------------------------------------------------------------------------------------------------


def test_an_account_is_given_with_a_link_that_is_shown_where_no_mail_is_sent(silent) -> None:
    admin = client_of(person("admin"))
    answer = admin.post("/people/", {"username": "grace", "email": "g@example.org", "role": "scanner"})
    link = link_in(answer.content.decode())
    assert "no-store" in answer["Cache-Control"] and not User.objects.get(username="grace").has_usable_password()
    stranger = Client()
    form = stranger.get(link).url
    assert "grace" in stranger.get(form).content.decode()
    stranger.post(form, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert attempt("grace", PASSWORD).status_code == 302
    assert User.objects.get(username="grace").has_perm("products.add_label")
    assert "does not work any more" in Client().get(link, follow=True).content.decode()
    assert [event.detail for event in recorded("added")] == ["scanner"]


def test_an_account_is_given_with_a_link_by_mail(sending) -> None:
    admin = client_of(person("admin"))
    answer = admin.post("/people/", {"username": "grace", "email": "g@example.org", "role": "viewer"}, follow=True)
    assert sending[0].to == ["g@example.org"] and link_in(sending[0].body)
    assert "/password/" not in answer.content.decode() and "was sent to g@example.org" in answer.content.decode()


def test_people_are_listed_and_found() -> None:
    admin = client_of(person("admin"))
    for role in ("viewer", "scanner", ""):
        person(role, f"one-{role or 'without'}")
    User.objects.create_user("gone", is_active=False, last_name="Hopper")
    for query, number in (
        ("", 5), ("?role=scanner", 1), ("?role=none", 2), ("?role=admin", 1), ("?state=closed", 1), ("?q=hopper", 1),
        ("?q=zzz", 0), ("?sort=-last_login", 5), ("?sort=password", 5), ("?q=%00", -1), ("?page=x&size=²", 5),
    ):  # fmt: skip
        answer = admin.get(f"/people/{query}")
        assert answer.content.decode().count("<tr data-href=") == number if number >= 0 else answer.status_code == 400


def test_a_list_of_many_people_takes_no_more_queries(django_assert_max_num_queries) -> None:
    admin = client_of(person("admin"))
    for number in range(40):
        bearer(person("scanner", f"scanner-{number}"), "read")
    for page in ("/people/", "/audit/", "/account/", "/people/scanner-1/"):
        admin.get(page)
        with django_assert_max_num_queries(16):
            assert admin.get(page).status_code == 200


def test_a_role_is_given_and_an_account_closed() -> None:
    ada = person("viewer", "ada")
    browser, header, admin = client_of(ada), bearer(ada, "read"), client_of(person("admin"))
    admin.post("/people/ada/role/", {"role": "admin"})
    assert browser.get("/admin/").status_code == 200
    admin.post("/people/ada/role/", {"role": "operator"})
    assert browser.get("/people/").status_code == 403 and not User.objects.get(username="ada").is_staff
    assert admin.post("/people/ada/role/", {"role": "emperor"}).status_code == 200
    admin.post("/people/ada/close/")
    assert browser.get("/account/").status_code == 302
    assert Client().get(EXPOSURES, **header).status_code == 401
    admin.post("/people/ada/open/")
    assert browser.get("/account/").status_code == 200
    assert [event.detail for event in reversed(recorded("changed"))] == [
        "role viewer → admin", "role admin → operator", "closed", "opened",
    ]  # fmt: skip


def test_nobody_gives_more_than_they_have_or_changes_themselves(silent) -> None:
    """Somebody who may change accounts, and nothing else, must not make themselves an admin through another."""
    grace = person("viewer", "grace")
    grace.user_permissions.add(*Permission.objects.filter(codename__in=["change_user", "add_user"]))
    boss = person("admin", "boss")
    person("superuser", "root"), person("viewer", "ada")
    client = client_of(grace)
    User.objects.filter(pk=boss.pk).update(is_active=False)  # a closed account is no way round it
    for name in ("boss", "root", "grace"):
        for what in ("role", "link", "close", "open"):
            assert client.post(f"/people/{name}/{what}/", {"role": "viewer"}).status_code == 403, (name, what)
    assert client.post("/people/ada/role/", {"role": "admin"}).status_code == 200
    assert client.post("/people/", {"username": "eve", "role": "admin"}).status_code == 400
    assert not User.objects.filter(username="eve").exists()
    assert roles.role_of(User.objects.get(username="ada")) == "viewer"
    assert client.post("/people/", {"username": "eve", "role": "viewer"}).status_code == 200
    assert client_of(person("admin", "other")).post("/people/other/role/", {"role": "viewer"}).status_code == 403


def test_hostile_names_are_shown_harmlessly() -> None:
    evil = '"><script>alert(1)</script>'
    User.objects.create_user("x@+.-_", f"{evil}@example.org", first_name=evil, last_name="{{ 7|add:7 }}")
    admin = client_of(person("admin"))
    for page in ("/people/", "/people/x@+.-_/", "/audit/?q=" + evil):
        text = admin.get(page).content.decode()
        assert "<script>alert" not in text and "14" not in re.findall(r">\s*14\s*<", text)


# The record ----------------------------------------------------------------------------------------------


def test_the_record_is_never_changed() -> None:
    audit.note("added", about="ada")
    event = AuditEvent.objects.get()
    for wrong in (
        event.save,
        event.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(about=""),
    ):
        with pytest.raises(TypeError, match="never"):
            wrong()
    statements = ["UPDATE seechange_site_auditevent SET about = 'eve'"]
    statements += ["DELETE FROM seechange_site_auditevent"] if connection.vendor == "postgresql" else []
    for statement in statements:
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert AuditEvent.objects.get().about == "ada"


def test_the_record_is_searched() -> None:
    admin = client_of(person("admin"))
    attempt("ada", "wrong")
    audit.note("added", about="ada", detail="scanner")
    for query, number in (
        ("", 3),
        ("?q=ada", 1),
        ("?action=log-in+failed", 1),
        ("?address=192.0.2.7", 1),
        ("?q=eve", 0),
    ):
        rows = admin.get(f"/audit/{query}").content.decode().count("<tr><td>20")
        assert rows == number, query
    for query in ("?address=nowhere", "?action=zzz", "?q=" + "x" * 3000, "?page=-1"):
        assert admin.get(f"/audit/{query}").status_code == 200


def test_the_proxies_that_are_counted_are_believed_and_nobody_else(rf, settings) -> None:
    request = rf.get("/", HTTP_X_FORWARDED_FOR="203.0.113.9, 198.51.100.4", REMOTE_ADDR="10.0.0.1")
    for proxies, address in ((0, "10.0.0.1"), (1, "198.51.100.4"), (2, "203.0.113.9")):
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
        assert audit.address_of(request) == address
    assert audit.address_of(rf.get("/", HTTP_X_FORWARDED_FOR="'; --, <b>", REMOTE_ADDR="10.0.0.1")) is None


# The admin -----------------------------------------------------------------------------------------------


def test_the_admin_shows_tokens_without_their_digest_and_takes_them_back() -> None:
    ada, admin = person("viewer", "ada"), client_of(person("admin"))
    bearer(ada, "read")
    token = ApiToken.objects.get()
    for page in ("/admin/seechange_site/apitoken/", f"/admin/seechange_site/apitoken/{token.pk}/change/"):
        text = admin.get(page).content.decode()
        assert token.digest not in text and token.prefix in text
    assert admin.get("/admin/seechange_site/apitoken/add/").status_code == 403
    admin.post("/admin/seechange_site/apitoken/", {"action": "revoke_chosen", "_selected_action": [str(token.pk)]})
    assert not ApiToken.objects.get().is_valid and recorded("token revoked")[0].actor == "admin"
    assert admin.post("/admin/seechange_site/auditevent/1/delete/").status_code == 403


def test_an_admin_does_not_make_superusers_in_the_admin_nor_change_them() -> None:
    root, ada, admin = person("superuser", "root"), person("viewer", "ada"), client_of(person("admin"))
    page = f"/admin/auth/user/{ada.pk}/change/"
    form = {"username": "ada", "is_active": "on", "is_superuser": "on", "is_staff": "on", "groups": [
        Group.objects.get(name="operator").pk], "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}  # fmt: skip
    assert admin.post(page, form).status_code == 302
    ada.refresh_from_db()
    assert (ada.is_superuser, ada.is_staff, roles.role_of(ada)) == (False, False, "operator")
    assert "operator" in recorded("changed")[0].detail
    for address in (f"/admin/auth/user/{root.pk}/change/", f"/admin/auth/user/{root.pk}/password/"):
        assert admin.post(address, {"username": "eve", "password1": PASSWORD, "password2": PASSWORD}).status_code == 403
    group = Group.objects.get(name="viewer")
    assert admin.post(f"/admin/auth/group/{group.pk}/change/", {"name": "viewer", "permissions": []}).status_code == 403
    assert admin.get(f"/admin/auth/group/{group.pk}/change/").status_code == 200
