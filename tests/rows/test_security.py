"""What every answer says to the browser, what a closed site shows to strangers, and what happens when something is down."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from tests.rows.archive import Archive
from tests.rows.people import bearer, client_of, drained, person

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]
EXPOSURES = "/api/v1/exposures/"
CURSOR = "django.db.backends.base.base.BaseDatabaseWrapper.cursor"
POLICY = {
    "default-src": "'self'", "style-src-attr": "'unsafe-inline'", "img-src": "'self' data:", "object-src": "'none'",
    "base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'",
}  # fmt: skip


@pytest.fixture
def stranger(settings) -> Client:
    """Somebody without an account at a site where reading needs one."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    settings.ANONYMOUS_READING = False
    return Client()


def policy(answer) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in answer["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


# Headers -----------------------------------------------------------------------------------------------


def test_every_answer_says_from_where_its_page_may_load_what(site: Archive, client: Client) -> None:
    addresses = [*site.addresses().values(), "/nothing/", "/find/?q=%00", "/people/", "/admin/login/", EXPOSURES]
    addresses += ["/account/", "/api/", "/health/", "/static/css/seechange.css", f"/files/{site.ccd.image.pk}/"]
    for address in addresses:
        answer = drained(client.get(address))
        assert policy(answer) == POLICY, address
        assert answer["X-Content-Type-Options"] == "nosniff" and answer["X-Frame-Options"] == "DENY", address
        assert answer["Referrer-Policy"] == answer["Cross-Origin-Opener-Policy"] == "same-origin", address
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin" and "camera=()" in answer["Permissions-Policy"]


def test_pages_need_nothing_that_the_policy_forbids(site: Archive) -> None:
    root = client_of(person("superuser"))
    admin = ["/admin/", "/admin/auth/user/", "/admin/auth/user/add/", "/admin/products/provenancetag/"]
    for address in (
        *site.pages().values(),
        *site.conductor_addresses().values(),
        *admin,
        "/account/",
        "/people/",
        "/people/superuser/",
        "/audit/",
        "/api/",
    ):
        answer = root.get(address, follow=True)
        if not answer["Content-Type"].startswith("text/html"):
            continue
        page = answer.content.decode()
        assert not re.search(r"<style|<base|<object|<iframe|\son[a-z]+=", page), address
        for script in re.findall(r"<script[^>]*>", page):
            assert "src=" in script or 'type="application/json"' in script, (address, script)
        for source in re.findall(r'(?:src|<link[^>]*href|action)="([^"]*)"', page):
            assert not re.match(r"(https?:)?//", source), (address, source)


def test_a_form_without_its_token_is_refused_and_says_what_to_do() -> None:
    client = client_of(person("scanner"), enforce_csrf_checks=True)
    answer = client.post("/account/", {"first_name": "Eve"})
    assert answer.status_code == 403 and "The form was too old" in answer.content.decode()
    answer = client.post(EXPOSURES, "{}", content_type="application/json")
    assert answer.status_code == 403 and "CSRF" in answer.json()["error"]["message"]


# A closed site ------------------------------------------------------------------------------------------


def test_a_closed_site_shows_strangers_nothing(site: Archive, stranger: Client) -> None:
    ccd = site.ccd
    files = [
        reverse("fits", args=[ccd.image.pk]), reverse("preview", args=[ccd.image.pk, "data"]),
        reverse("stamp", args=[ccd.measurements[0].pk, "new"]), "/docs/", "/docs/overview/", "/api/", "/nothing-here/..",
    ]  # fmt: skip
    for address in [*site.addresses().values(), *files]:
        answer = stranger.get(address)
        if address in ("/login/", "/nothing-here/.."):
            assert site.name not in answer.content.decode()
        else:
            assert answer.status_code == 302 and answer.url.startswith("/login/?next="), address
    for address in ("/api/v1/", EXPOSURES, "/api/v1/schema/"):
        assert stranger.get(address).status_code == 401, address
    assert "people with an account" in stranger.get("/login/?next=/exposures/").content.decode()
    assert stranger.get("/health/").json() == {"status": "ok"}
    assert stranger.get("/favicon.ico").status_code == 301 and stranger.get("/static/css/pages.css").status_code == 200


def test_a_closed_site_opens_to_people_and_tokens(site: Archive, stranger: Client) -> None:
    ada = person("viewer")
    assert stranger.get(EXPOSURES, **bearer(ada, "read")).status_code == 200
    assert stranger.get("/exposures/", **bearer(ada, "read")).status_code == 302, "tokens are for the API"
    stranger.force_login(ada)
    for address in ("/exposures/", f"/files/{site.ccd.image.pk}/", "/docs/overview/"):
        answer = drained(stranger.get(address))
        assert answer.status_code == 200, address


def test_an_open_site_keeps_accounts_and_the_api_to_itself(client: Client) -> None:
    for address in ("/account/", "/people/", "/people/root/", "/audit/"):
        assert client.get(address).url.startswith("/login/?next="), address
    for role in ("viewer", "scanner", "operator"):
        assert client_of(person(role)).get("/people/").status_code == 403


# Something is down --------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/exposures/", "/people/", "/admin/", "/nothing/"])
def test_a_page_without_a_database_is_503_and_says_when_to_come_back(address: str) -> None:
    client = client_of(person("admin"), raise_request_exception=False)
    with mock.patch(CURSOR, side_effect=OperationalError("server closed the connection")):
        answer = client.get(address)
    assert answer.status_code == 503 and answer["Retry-After"] == "10"
    page = answer.content.decode()
    assert "The database does not answer" in page and "server closed" not in page
    assert policy(answer) == POLICY


def test_the_api_without_a_database_is_503_in_its_own_shape() -> None:
    header = bearer(person("viewer"), "read")
    with mock.patch(CURSOR, side_effect=OperationalError("gone")):
        for headers in (header, {}):
            answer = Client(raise_request_exception=False).get(EXPOSURES, **headers)
            expected = 503 if headers else 401  # without a token nothing is asked of the database
            assert answer.status_code == expected, headers
        assert Client().get(EXPOSURES, **header).json()["error"]["code"] == "unavailable"


def test_a_fault_of_ours_is_500_without_its_reason() -> None:
    client = client_of(person("viewer"), raise_request_exception=False)
    with mock.patch("products.api.exposures.ExposureView.get_queryset", side_effect=RuntimeError("secret")):
        answer = client.get(EXPOSURES)
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "error" and b"secret" not in answer.content
    with mock.patch("seechange_site.views.nights.latest_night", side_effect=RuntimeError("secret")):
        answer = client.get("/")
    assert answer.status_code == 500 and "This page could not be made" in answer.content.decode()
    assert b"secret" not in answer.content


def test_health_is_for_everybody_and_its_reasons_for_the_staff(client: Client, settings, tmp_path: Path) -> None:
    assert client.get("/health/").json() == {"status": "ok"}
    settings.SEECHANGE_ARCHIVE = str(tmp_path / "not there")
    answer = client.get("/health/")
    assert answer.status_code == 503 and answer.json() == {"status": "unavailable"} and answer["Retry-After"]
    said = client_of(person("admin")).get("/health/").json()
    assert "is not there" in said["checks"]["archive"] and said["checks"]["database"] == "ok"
    settings.SEECHANGE_ARCHIVE = ""
    with mock.patch(CURSOR, side_effect=OperationalError("gone")):
        answer = client_of_nobody().get("/health/")
    assert answer.status_code == 503 and answer.json() == {"status": "unavailable"}
    assert client.post("/health/").status_code == 405


def client_of_nobody() -> Client:
    return Client()


# Bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "nul", "NaN", '{"a": NaN}', "[Infinity]", "-Infinity", '{"a": 1e400}', '["\\u0000"]', '{"\\u0000": 1}',
        '"\\ud800"', "[" * 100_000, '{"a":' * 3000 + "1" + "}" * 3000, "[" * 40 + "]" * 40, b"\xff\xfe", "9" * 5000,
    ],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_json_that_no_database_keeps_is_refused_before_any_view_sees_it(body) -> None:
    from io import BytesIO

    from rest_framework.exceptions import ParseError

    from seechange_site.json import Strict

    with pytest.raises(ParseError):
        Strict().parse(BytesIO(body if isinstance(body, bytes) else body.encode()))


def test_json_is_read_and_too_much_of_it_is_413(settings) -> None:
    from io import BytesIO

    from seechange_site.json import Strict, TooLarge

    assert Strict().parse(BytesIO(b'{"a": [1, 2.5, "\\u00e9", null]}')) == {"a": [1, 2.5, "é", None]}
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    with pytest.raises(TooLarge):
        Strict().parse(BytesIO(b'"' + b"x" * 100 + b'"'))


# Production ---------------------------------------------------------------------------------------------


def production(tmp_path: Path) -> dict[str, str]:
    """The environment of a server as the documentation writes it, with folders of this test."""
    text = (ROOT / "templates" / "docs" / "setup.md").read_text().split("## A server")[1]
    found = dict(re.findall(r"^    ([A-Z_]+)=(.+)$", text, re.MULTILINE))
    assert {"DEBUG", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "DATABASE_URL"} <= set(found)
    found |= {"SEECHANGE_DATA": str(tmp_path / "data"), "SEECHANGE_ARCHIVE": str(tmp_path / "archive")}
    (tmp_path / "archive").mkdir()
    del found["DATABASE_URL"]  # of a server that is not there
    return {**{key: value for key, value in os.environ.items() if key != "DATABASE_URL"}, **found}


def run(code: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *code], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_a_server_as_documented_passes_the_checks_of_a_deployment(tmp_path: Path) -> None:
    done = run(["manage.py", "check", "--deploy", "--fail-level", "WARNING"], production(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_a_server_as_documented_is_closed_and_sends_cookies_over_tls_only(tmp_path: Path) -> None:
    code = """
from django.core.management import call_command
from django.test import Client
import django
django.setup()
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
name = "seechange.example.org"
plain = Client(headers={"host": name}).get("/exposures/")
print(plain.status_code, plain["Location"])
behind = Client(headers={"host": name, "x-forwarded-proto": "https"})
shut = behind.get("/exposures/")
print(shut.status_code, shut["Location"], shut["Strict-Transport-Security"])
page = behind.get("/login/")
cookie = page.cookies["__Host-csrftoken"]
print(page.status_code, bool(cookie["secure"]), cookie["path"], repr(cookie["domain"]))
print(Client(headers={"host": name}).get("/health/").status_code)
print(behind.get("/login/", headers={"host": "evil.example.org"}).status_code)
"""
    environment = production(tmp_path) | {"DJANGO_SETTINGS_MODULE": "seechange_site.settings"}
    done = run(["-c", code], environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "301 https://seechange.example.org/exposures/",
        "302 /login/?next=/exposures/ max-age=31536000; includeSubDomains; preload",
        "200 True / ''",
        "200",
        "400",
    ]
