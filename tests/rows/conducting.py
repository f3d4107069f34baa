"""What people and programs ask of the conductor, in one call."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

from django.contrib.auth.models import Permission, User
from django.test import Client

from conductor.models import KnownExposure
from conductor.services import claiming, finishing
from seechange_site.models import ApiToken
from tests.rows.waiting import claimed

PAGE, MOVE, UNDO = "/conductor/", "/conductor/move/", "/conductor/events/undo/"
API = "/api/v1/known-exposures/"
ONE = {"identifier": "a.fits", "mjd": 61000.5}
Text = Callable[..., str]

# On pages ------------------------------------------------------------------------------------------------


def person(client: Client, *permissions: str) -> User:
    """Somebody who is logged in and has permissions of the conductor."""
    found = User.objects.create_user(f"ada{User.objects.count() or ''}")
    found.user_permissions.set(Permission.objects.filter(content_type__app_label="conductor", codename__in=permissions))
    client.force_login(found)
    return found


def do(client: Client, action: str, rows, **values) -> str:
    """Do what a button does, reason and all; the page after it."""
    sent = {"action": action, "id": [str(row.pk) for row in rows], "step": "do", "reason": "because", **values}
    return client.post(MOVE, sent, follow=True).content.decode()


def state(row: KnownExposure) -> str:
    """As it is now."""
    row.refresh_from_db()
    return row.state


def partial(row_error: str = "photocal: 4 stars found, 10 needed") -> KnownExposure:
    """A known exposure of which one of three CCDs failed."""
    claim = claimed()
    claiming.start(claim.token, sections=["N1", "N2", "N3"])
    told = {"N1": {"state": "failed", "error": row_error}, "N2": {"state": "done"}, "N3": {"state": "done"}}
    return finishing.finish(claim.token, told)


# In the REST API -----------------------------------------------------------------------------------------


class Asker:
    """A program with a token, or a person; answers are checked for the one shape of errors."""

    def __init__(self, person: User, *scopes: str) -> None:
        self.client = Client()
        self.header = {}
        if scopes:
            _, key = ApiToken.issue(person, "test", list(scopes), 1)
            self.header = {"HTTP_AUTHORIZATION": f"Token {key}"}
        else:
            self.client.force_login(person)

    def get(self, address: str, **query):
        return self.checked(self.client.get(address, query, **self.header))

    def send(self, address: str, data=None, method: str = "post", **fields):
        body = json.dumps(fields if data is None else data)
        return self.checked(getattr(self.client, method)(address, body, content_type="application/json", **self.header))

    def checked(self, answer):
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error"} and set(answer.json()["error"]) == {"code", "message", "fields"}
        return answer


def ask(launcher: Asker, **fields):
    """A claim with a fresh token: (token, answer)."""
    token = str(uuid.uuid4())
    answer = launcher.send(f"{API}claim/", token=token, cluster="perlmutter", **fields)
    assert answer.status_code == 200, answer.content
    return token, answer.json()
