"""One person of each role, and clients of them."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.test import Client

from seechange_site import roles
from seechange_site.models import ApiToken

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
