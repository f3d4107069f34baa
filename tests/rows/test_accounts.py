"""Accounts: logging in, passwords, tokens, giving accounts and roles, and the record of all that."""

from __future__ import annotations

import datetime
import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core import mail
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from seechange_site import audit, roles
from seechange_site.models import ApiToken, AuditEvent
from tests.rows.people import PASSWORD, bearer, client_of, person

pytestmark = pytest.mark.django_db
EXPOSURES = "/api/v1/exposures/"


@pytest.fixture(autouse=True)
def _fast_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def sending(settings):
    """A site that sends mail; here it is gathered."""
    settings.EMAIL_HOST = "mail.example.org"
    return mail.outbox


@pytest.fixture
def silent(settings) -> None:
    """A site without a mail server."""
    settings.EMAIL_HOST, settings.EMAIL_BACKEND = "", "django.core.mail.backends.smtp.EmailBackend"


def attempt(name: str, password: str, address: str = "192.0.2.7"):
    return Client(REMOTE_ADDR=address).post("/login/", {"username": name, "password": password})


def recorded(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action))


def link_in(text: str) -> str:
    return re.search(r"https?://testserver(/password/[^\s<]+)", text).group(1)


# Logging in --------------------------------------------------------------------------------------------


def test_the_log_in_says_the_same_of_a_wrong_password_a_missing_and_a_closed_account() -> None:
    person("viewer", "ada")
    User.objects.create_user("gone", password=PASSWORD, is_active=False)
    said = set()
    for name, password in (("ada", "wrong"), ("nobody", "wrong"), ("gone", PASSWORD)):
        answer = attempt(name, password)
        assert answer.status_code == 200
        said.add(re.search(r'class="trouble"[^>]*>([^<]+)', answer.content.decode()).group(1))
    assert len(said) == 1 and "do not fit together" in said.pop()
    assert attempt("ada", PASSWORD).url == "/"


def test_many_failures_stop_further_attempts_whether_there_is_an_account_or_not() -> None:
    person("viewer", "ada")
    for name in ("ada", "nobody"):
        for _ in range(audit.OF_BOTH):
            assert "do not fit together" in attempt(name, "wrong").content.decode()
        assert "Too many attempts" in attempt(name, PASSWORD).content.decode(), name
    assert attempt("ada", PASSWORD, "192.0.2.8").status_code == 302, "from elsewhere its owner still gets in"
    assert [event.about == "ada" for event in recorded("log-in refused")] == [False, True]


def test_attempts_count_for_a_while_only() -> None:
    person("viewer", "ada")
    old = timezone.now() - audit.WINDOW - datetime.timedelta(seconds=1)
    AuditEvent.objects.bulk_create(
        AuditEvent(action="log-in failed", about="ada", address="192.0.2.7", at=old) for _ in range(audit.OF_NAME)
    )
    assert attempt("ada", PASSWORD).status_code == 302


def test_an_address_that_tries_many_names_is_stopped_for_all() -> None:
    person("viewer", "ada")
    for number in range(audit.OF_ADDRESS):
        attempt(f"name{number}", "wrong")
    assert "Too many attempts" in attempt("ada", PASSWORD).content.decode()


def test_what_was_typed_as_a_name_is_not_kept() -> None:
    attempt("my secret password", "ada")
    (event,) = recorded("log-in failed")
    assert "secret" not in str(AuditEvent.objects.values().get()) and event.about.startswith("nobody (")
    assert event.address == "192.0.2.7" and event.actor == ""


def test_the_admin_has_no_door_of_its_own(client: Client) -> None:
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == "/login/?next=/admin/"
    assert client_of(person("operator")).get("/admin/", follow=True).status_code == 403
    assert client_of(person("admin")).get("/admin/").status_code == 200


def test_names_of_any_kind_do_not_break_the_log_in() -> None:
    for name in ("\0", "x" * 5000, "'; --", "\u202eada", "ada\n", "😀", ""):
        assert attempt(name, "wrong").status_code == 200


# Passwords ---------------------------------------------------------------------------------------------


def test_a_changed_password_ends_other_sessions() -> None:
    ada = person("viewer", "ada")
    here, there = client_of(ada), client_of(ada)
    new = {"new_password1": "a red moon over Rubin", "new_password2": "a red moon over Rubin"}
    assert here.post("/account/password/", {"old_password": "wrong", **new}).status_code == 200
    assert here.post("/account/password/", {"old_password": PASSWORD, **new}).url == "/account/"
    assert here.get("/account/").status_code == 200 and there.get("/account/").status_code == 302
    assert recorded("password")[0].actor == "ada"


def test_short_and_common_passwords_are_refused() -> None:
    client = client_of(person("viewer", "ada"))
    for weak in ("short", "password1234", "123456789012", "qwerty123456"):
        form = {"old_password": PASSWORD, "new_password1": weak, "new_password2": weak}
        assert client.post("/account/password/", form).status_code == 200


def test_a_forgotten_password_is_set_through_a_link_that_works_once(client: Client, sending) -> None:
    User.objects.create_user("ada", "ada@example.org", PASSWORD)
    assert "Password forgotten" in client.get("/login/").content.decode()
    answers = [client.post("/password/forgotten/", {"email": m}) for m in ("ADA@example.org", "who@example.org")]
    assert [answer.url for answer in answers] == ["/password/sent/"] * 2 and len(sending) == 1
    link = link_in(sending[0].body)
    form = client.get(link).url
    new = {"new_password1": "a red moon over Rubin", "new_password2": "a red moon over Rubin"}
    assert client.post(form, new).url == "/login/"
    assert attempt("ada", new["new_password1"]).status_code == 302
    assert "does not work any more" in Client().get(link, follow=True).content.decode()
    assert [event.about for event in recorded("reset")][1] == "ada"


def test_links_are_not_sent_without_end(client: Client, sending) -> None:
    User.objects.create_user("ada", "ada@example.org", PASSWORD)
    for _ in range(audit.OF_BOTH + 3):
        client.post("/password/forgotten/", {"email": "ada@example.org"})
    assert len(sending) == audit.OF_BOTH


def test_a_site_without_mail_says_whom_to_ask(client: Client, silent) -> None:
    assert "sends no mail" in client.get("/password/forgotten/").content.decode()
    assert "Password forgotten" not in client.get("/login/").content.decode()
    assert client.post("/password/forgotten/", {"email": "a@example.org"}).status_code == 200


# One's own account and tokens ---------------------------------------------------------------------------


def test_people_see_what_they_may_do_and_change_how_they_are_called() -> None:
    client = client_of(person("scanner", "ada"))
    page = client.get("/account/").content.decode()
    assert "say what is real and what is bogus" in page and "read everything: known exposures" in page
    assert "known exposures, watches and workers" not in page
    client.post("/account/", {"first_name": "<b>Ada</b>", "last_name": "L", "email": "ada@example.org"})
    assert User.objects.get().email == "ada@example.org" and recorded("changed")[0].about == "ada"
    assert "<b>Ada" not in client.get("/account/").content.decode()
    assert client.post("/account/", {"email": "nowhere"}).status_code == 200
    client.post("/account/", {"username": "root", "is_superuser": "1", "is_staff": "1"})
    kept = User.objects.get()
    assert (kept.username, kept.is_superuser, kept.is_staff) == ("ada", False, False)


def test_a_key_is_shown_once_and_opens_the_api(client: Client) -> None:
    ada = person("viewer", "ada")
    browser = client_of(ada)
    answer = browser.post("/account/tokens/", {"name": "broker", "scopes": ["read"], "days": 7})
    key = re.search(r"<pre[^>]*>(sc[\w-]+)</pre>", answer.content.decode()).group(1)
    assert "no-store" in answer["Cache-Control"]
    token = ApiToken.objects.get()
    assert abs(token.expires_at - timezone.now() - datetime.timedelta(days=7)).total_seconds() < 60
    assert client.get(EXPOSURES, HTTP_AUTHORIZATION=f"Token {key}").status_code == 200
    for page in ("/account/", "/account/"):
        text = browser.get(page).content.decode()
        assert key not in text and token.digest not in text and token.prefix in text
    assert recorded("token made")[0].about == "ada" and key not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"scopes": []}, {"scopes": ["admin"]}, {"scopes": ["claim"]}, {"scopes": ["nonsense"]},
        {"days": 0}, {"days": 367}, {"days": "nan"}, {"name": "\0"}, {"name": "x" * 101},
    ],
)  # fmt: skip
def test_a_token_that_is_not_offered_is_not_made(wrong: dict[str, object]) -> None:
    asked = {"name": "broker", "scopes": ["read"], "days": 7} | wrong
    assert client_of(person("viewer")).post("/account/tokens/", asked).status_code == 400
    assert not ApiToken.objects.exists()


def test_a_token_is_revoked_by_its_owner_or_an_admin_and_by_nobody_else(client: Client) -> None:
    ada, other, admin = person("viewer", "ada"), person("operator"), person("admin")
    header = bearer(ada, "read")
    address = f"/account/tokens/{ApiToken.objects.get().pk}/revoke/"
    assert client_of(other).post(address).status_code == 404
    assert client.get(EXPOSURES, **header).status_code == 200
    assert client_of(admin).post(address).url == "/people/ada/"
    assert client.get(EXPOSURES, **header).status_code == 401
    assert client_of(ada).post(address).url == "/account/" and len(recorded("token revoked")) == 1


def test_the_first_use_of_a_token_in_a_day_is_recorded(client: Client) -> None:
    header = bearer(person("viewer", "ada"), "read")
    for _ in range(3):
        client.get(EXPOSURES, **header)
    assert len(recorded("token used")) == 1
    yesterday = timezone.now() - datetime.timedelta(days=1)
    ApiToken.objects.update(last_used_at=yesterday)
    client.get(EXPOSURES, **header)
    assert len(recorded("token used")) == 2


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
