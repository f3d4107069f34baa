"""What the REST API offers, read from its addresses and views: method, scope and permission of each endpoint."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rest_framework.schemas.generators import EndpointEnumerator

from seechange_site.authentication import may, needed
from seechange_site.models import Scope


@dataclass(frozen=True)
class Endpoint:
    """One method of one address; `permission` is empty where every account may."""

    method: str
    path: str
    scope: str
    permission: str
    summary: str


@lru_cache(maxsize=1)
def endpoints() -> tuple[Endpoint, ...]:
    """Every endpoint, in the order of the addresses."""
    return tuple(_endpoint(*found) for found in EndpointEnumerator().get_api_endpoints())


def _endpoint(path: str, method: str, callback: Any) -> Endpoint:
    view = callback.cls
    action = getattr(callback, "actions", {}).get(method.lower(), "")
    scope, permission = needed(view, action, method)
    function = getattr(view, action or method.lower())
    has_words = function.__doc__ and not function.__module__.startswith(("rest_framework", "drf_spectacular"))
    text = inspect.getdoc(function if has_words else view) or ""
    return Endpoint(method, path, scope, permission, text.split("\n\n")[0].replace("\n", " "))


def scopes_for(person: Any) -> list[Scope]:
    """The scopes that open something to a person: that of reading, and those of what they may change."""
    useful = {Scope.READ.value}
    useful |= {one.scope for one in endpoints() if one.permission and may(person, one.permission)}
    return [scope for scope in Scope if scope in useful or (scope == Scope.ADMIN and person.is_superuser)]
