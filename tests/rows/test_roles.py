"""Roles: what each may do at every address of the site, held against a table that people read and accept."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from seechange_site import roles
from seechange_site.models import ApiToken, Scope
from tests.rows.archive import archive
from tests.rows.people import client_of, drained, person
from tests.rows.routes import Route, routes

pytestmark = pytest.mark.django_db
TABLE = Path(__file__).parents[1] / "golden" / "role_matrix.json"
CLOSED = "stranger of a closed site"
COLUMNS = (CLOSED, "stranger", "viewer", "scanner", "operator", "admin")
NO_CACHE = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}  # nobody is throttled
ACCEPT = "look at it, then accept it with WRITE_ROLE_MATRIX=1 pytest -n 0 tests/rows/test_roles.py"
WORDS = {400: "wrong", 401: "log in", 403: "refused", 404: "nothing", 405: "no method", 409: "wrong", 415: "wrong"}


def word(answer: HttpResponse) -> str:
    """What an answer means to the one who asked."""
    if answer.status_code in (301, 302, 303):
        return "log in" if answer["Location"].startswith(("/login/", "/admin/login/")) else "moved"
    return "ok" if answer.status_code < 300 else WORDS.get(answer.status_code, str(answer.status_code))


def ask(client: Client, method: str, route: Route, **headers: str) -> HttpResponse:
    """The answer to an empty request, which changes nothing."""
    cookies = client.cookies.output()
    body = {"data": "{}", "content_type": "application/json"} if route.is_api and method != "GET" else {}
    with transaction.atomic():
        answer = drained(client.generic(method, route.address, **body, **headers))
        transaction.set_rollback(True)
    if client.cookies.output() != cookies:
        client.cookies.load(cookies.replace("Set-Cookie: ", ""))
    return answer


def clients(settings) -> dict[str, Client]:
    """A browser for each column."""
    found = {"stranger": Client()} | {name: client_of(person(name)) for name in roles.NAMES}
    for client in found.values():
        client.get("/health/")  # takes the middleware as it is now
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    found[CLOSED] = Client()
    found[CLOSED].get("/health/")
    return {name: found[name] for name in COLUMNS}


def written(table: dict[str, object]) -> str:
    """JSON with one route a line, so that two changes beside each other can be merged."""
    parts = []
    for title, rows in table.items():
        lines = (
            rows if isinstance(rows, list) else [f"{json.dumps(key)}: {json.dumps(rows[key])}" for key in sorted(rows)]
        )
        inner = json.dumps(lines) if isinstance(rows, list) else "{\n  " + ",\n  ".join(lines) + "\n }"
        parts.append(f' "{title}": {inner}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def compare(part: str, found: dict[str, object]) -> None:
    """`found` is what the table says; with WRITE_ROLE_MATRIX=1 the table says what was found."""
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    if os.environ.get("WRITE_ROLE_MATRIX"):
        TABLE.write_text(written({"columns": list(COLUMNS)} | table | {part: found}))
        return
    kept = table[part]
    changed = {key: (found[key], kept.get(key, "new")) for key in found if found[key] != kept.get(key)}
    assert not changed, f"who may do what changed (now, before): {changed}; {ACCEPT}"
    assert not set(kept) - set(found), f"these are gone: {set(kept) - set(found)}; {ACCEPT}"


def test_every_role_may_do_at_every_address_what_the_table_says(settings) -> None:
    settings.CACHES = NO_CACHE
    asked, people = routes(archive()), clients(settings)
    found = {
        f"{method} {route.text}": [word(ask(client, method, route)) for client in people.values()]
        for route in asked
        for method in route.methods
    }
    nowhere = {"no method", "log in"}
    compare("routes", {key: words for key, words in found.items() if set(words[2:]) != {"no method"}})
    assert all(set(words[:2]) <= nowhere for words in found.values() if set(words[2:]) == {"no method"})


def test_an_account_without_a_role_reads_all_that_a_viewer_reads_but_the_conductor(settings) -> None:
    settings.CACHES = NO_CACHE
    asked = [route for route in routes(archive()) if "GET" in route.methods]
    viewer, other = client_of(person("viewer")), client_of(person(""))
    told = {route: (word(ask(viewer, "GET", route)), word(ask(other, "GET", route))) for route in asked}
    closed = {route for route, words in told.items() if len(set(words)) > 1}
    assert {told[route] for route in closed} == {("ok", "refused")}
    of_conductor = ("conductor/", "known-exposures/", "workers/", "watches/", "claim-events/", "policy/")
    assert all(any(name in route.text for name in of_conductor) for route in closed)
    assert len(closed) > len(of_conductor)


def test_a_token_opens_what_the_table_says_of_its_scope(settings, client: Client) -> None:
    settings.CACHES = NO_CACHE
    asked = [route for route in routes(archive()) if route.is_api]
    owner = person("superuser")
    keys = {
        scope: {"HTTP_AUTHORIZATION": f"Token {ApiToken.issue(owner, scope, [scope])[1]}"} for scope in Scope.values
    }
    found = {
        f"{method} {route.text}": [s for s in keys if ask(client, method, route, **keys[s]).status_code != 403]
        for route in asked
        for method in route.methods
    }
    assert all("admin" in scopes for scopes in found.values()), "a token for everything opens everything"
    compare("scopes of tokens", found)


def test_strangers_of_a_closed_site_see_the_log_in_and_nothing_else() -> None:
    table = json.loads(TABLE.read_text())
    column = table["columns"].index(CLOSED)
    allowed = {route.partition(" ")[2] for route, words in table["routes"].items() if words[column] != "log in"}
    assert allowed == {
        "login/", "password/forgotten/", "password/<uidb64>/<token>/", "password/sent/", "health/",
    }  # fmt: skip


def test_no_role_may_do_less_than_the_one_below_it() -> None:
    table = json.loads(TABLE.read_text())
    first = table["columns"].index("viewer")
    for route, words in table["routes"].items():
        refused = [one in ("refused", "log in") for one in words[first:]]
        assert refused == sorted(refused, reverse=True), route


# Groups ------------------------------------------------------------------------------------------------


def held(name: str) -> set[str]:
    return {
        f"{app}.{code}"
        for app, code in Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename")
    }


def test_each_role_has_the_permissions_of_the_one_below_it_and_more() -> None:
    sets = [held(name) for name in roles.NAMES]
    assert all(low < high for low, high in pairwise(sets))
    assert all(name.split(".")[1].startswith("view_") for name in sets[0])
    added = {"products.add_label", "products.add_forcedrequest"}
    assert sets[1] - sets[0] == added, "to delete labels is to delete those of others"
    assert {"products.change_exposure", "products.change_object", "products.change_alert"} <= sets[2] - sets[1]
    assert {"auth.change_user", "seechange_site.change_apitoken", "products.change_provenancetag"} <= sets[3] - sets[2]


def test_no_role_can_write_to_the_queue_or_to_the_record() -> None:
    everything = set().union(*(held(name) for name in roles.NAMES))
    assert not {name for name in everything if name.startswith(("django_q.", "sessions.", "contenttypes."))}
    assert {name for name in everything if name.endswith("_auditevent")} == {"seechange_site.view_auditevent"}


def test_roles_are_put_right_at_every_migration_and_other_groups_are_left_alone() -> None:
    change = Permission.objects.get(codename="change_provenancetag")
    scanner, own = Group.objects.get(name="scanner"), Group.objects.create(name="Thursday shift")
    before = held("scanner")
    scanner.permissions.add(change)
    scanner.permissions.remove(Permission.objects.get(codename="add_label"))
    own.permissions.add(change)
    someone = person("scanner")
    someone.groups.add(own)
    Group.objects.get(name="viewer").delete()
    for label in (*roles.ARCHIVE, *roles.PEOPLE):
        roles.keep_roles(apps.get_app_config(label), "default", apps=apps)
    assert held("scanner") == before and held("viewer")
    assert held("Thursday shift") == {"products.change_provenancetag"}
    assert User.objects.get().has_perm("products.change_provenancetag")


def test_a_person_has_one_role_and_keeps_other_groups() -> None:
    someone = person("operator")
    someone.groups.add(Group.objects.create(name="Thursday shift"))
    roles.set_role(someone, "viewer")
    assert set(someone.groups.values_list("name", flat=True)) == {"viewer", "Thursday shift"}
    assert roles.role_of(someone) == "viewer" and roles.role_of(person("superuser")) == "admin"
    assert roles.role_of(person("", "new")) == ""


def test_admins_are_of_the_staff_as_long_as_they_are_admins() -> None:
    group, someone, root = Group.objects.get(name="admin"), person("admin"), person("superuser")
    assert User.objects.get(pk=someone.pk).is_staff
    group.user_set.remove(someone)
    assert not User.objects.get(pk=someone.pk).is_staff
    group.user_set.add(someone, root)
    assert User.objects.get(pk=someone.pk).is_staff
    someone.groups.clear()
    root.groups.clear()
    assert not User.objects.get(pk=someone.pk).is_staff and User.objects.get(pk=root.pk).is_staff
    group.user_set.add(someone)
    group.user_set.clear()
    assert not User.objects.get(pk=someone.pk).is_staff
