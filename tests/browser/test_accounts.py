"""Accounts in the browser: an account is given, its link followed, a token made, and a role keeps people out."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from seechange_site import roles
from seechange_site.models import ApiToken
from tests.browser.conftest import Page
from tests.rows.people import PASSWORD, bearer, person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OURS = ("/account/", "/people/", "/people/grace/", "/audit/", "/api/", "/account/password/", "/password/forgotten/")


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.command("Network.clearBrowserCookies")
    page.open("/login/?next=/account/")
    page.one("input[name=username]").send_keys(name)
    page.one("input[name=password]").send_keys(password)
    page.one("main form .main").click()


def send(page: Page, form: str, **values: str) -> None:
    """Fill in a form and send it."""
    for name, value in values.items():
        field = page.one(f"{form} [name={name}]")
        if field.tag_name == "input":
            field.clear()
        field.send_keys(value)
    page.one(f"{form} button").click()


def test_an_account_is_given_and_used(page: Page) -> None:
    person("admin", "vera")
    log_in(page, "vera")
    page.until(lambda: "Your account" in page.one("h1").text)
    page.open("/people/")
    send(page, ".stack form[method=post]", username="grace", role="scanner")
    link = page.one(".key-once pre").text
    page.command("Network.clearBrowserCookies")
    page.driver.get(link)
    assert "grace" in page.one("main").text
    send(page, "main form", new_password1=PASSWORD, new_password2=PASSWORD)
    page.until(lambda: "The password is set" in page.one("main").text)
    log_in(page, "grace")
    page.until(lambda: "say what is real" in page.one("main").text)
    page.open("/people/")
    assert "This is not open to you" in page.one("h1").text
    page.driver.get(link)
    assert "does not work any more" in page.one("h1").text


def test_a_token_is_made_shown_once_and_revoked(page: Page) -> None:
    person("viewer", "ada")
    log_in(page, "ada")
    send(page, "form[action='/account/tokens/']", name="broker")
    key = page.one(".key-once pre").text
    token = ApiToken.objects.get()
    assert key.startswith(token.prefix) and token.is_valid and token.scopes == ["read"]
    page.open("/account/")
    assert key not in page.driver.page_source and page.one("td.mono").text == f"{token.prefix}…"
    page.one("td form button").click()
    page.until(lambda: "opens nothing any more" in page.one("main").text)
    assert not ApiToken.objects.get().is_valid


def test_a_wrong_password_is_said_beside_the_form(page: Page) -> None:
    person("viewer", "ada")
    log_in(page, "ada", "wrong")
    page.until(lambda: "do not fit together" in page.one(".trouble").text)
    assert page.one("input[name=username]").get_attribute("value") == "ada"


@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_of_accounts_scrolls_sideways_or_complains(page: Page, width: int) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    User.objects.create_user("grace", first_name=evil, last_name="x" * 100)
    bearer(User.objects.get(username="grace"), "read")
    roles.set_role(User.objects.get(username="grace"), "scanner")
    person("admin", "vera")
    page.wide(width)
    log_in(page, "vera")
    page.until(lambda: "Your account" in page.one("h1").text)
    for address in OURS:
        page.open(address)
        page.one("h1")
        assert page.script("document.documentElement.scrollWidth <= innerWidth"), address
        assert page.complaints() == [], address
