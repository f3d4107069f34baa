"""One's own account: logging in, passwords, tokens."""

from __future__ import annotations

import datetime
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from seechange_site import audit
from seechange_site.models import ApiToken, AuditEvent
from tests.rows.people import PASSWORD, attempt, bearer, client_of, link_in, person, recorded

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fast_passwords")]
EXPOSURES = "/api/v1/exposures/"


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
    alone = client_of(person("", "grace")).get("/account/").content.decode()
    assert "read the archive" in alone and "read everything: known" not in alone
    client.post("/account/", {"first_name": "<b>Ada</b>", "last_name": "L", "email": "ada@example.org"})
    assert User.objects.get(username="ada").email == "ada@example.org" and recorded("changed")[0].about == "ada"
    assert "<b>Ada" not in client.get("/account/").content.decode()
    assert client.post("/account/", {"email": "nowhere"}).status_code == 200
    client.post("/account/", {"username": "root", "is_superuser": "1", "is_staff": "1"})
    kept = User.objects.get(username="ada")
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
