"""One person of each role, clients of them, and what is recorded of them."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from django.http import HttpResponse, HttpResponseBase
from django.test import Client

from seechange_site import roles
from seechange_site.models import ApiToken, AuditEvent

PASSWORD = "a blue moon over Blanco"


def person(role: str, name: str = "") -> User:
    """Somebody with a role; `superuser` is one, an empty string has none."""
    if role == "superuser":
        return User.objects.create_superuser(name or role, password=PASSWORD)
    user = User.objects.create_user(name or role or "nobody", password=PASSWORD)
    roles.set_role(user, role)
    return user


def client_of(user: User, **options: object) -> Client:
    """A browser in which somebody is logged in."""
    client = Client(**options)
    client.force_login(user)
    return client


def bearer(user: User, *scopes: str, days: float = 1) -> dict[str, str]:
    """The header of a fresh token."""
    _, key = ApiToken.issue(user, "test", list(scopes), days)
    return {"HTTP_AUTHORIZATION": f"Token {key}"}


def drained(answer: HttpResponseBase) -> HttpResponseBase:
    """An answer that was sent to its end, so that its file is closed; `close` would close the database as well."""
    if answer.streaming:
        for _ in answer.streaming_content:
            pass
    return answer


def attempt(name: str, password: str, address: str = "192.0.2.7") -> HttpResponse:
    """The answer to somebody who tries to log in."""
    return Client(REMOTE_ADDR=address).post("/login/", {"username": name, "password": password})


def recorded(action: str) -> list[AuditEvent]:
    """The events of one kind, newest first."""
    return list(AuditEvent.objects.filter(action=action))


def link_in(text: str) -> str:
    """The link to set a password."""
    return re.search(r"https?://testserver(/password/[^\s<]+)", text).group(1)
