"""Every address of the site with something that exists in it, as the URL configuration and a small archive say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.urls import URLResolver, get_resolver, reverse

from seechange_site.models import ApiToken
from tests.rows.archive import Archive
from tests.rows.people import person

ADMIN = ("admin:index", "admin:auth_user_changelist", "admin:seechange_site_apitoken_changelist",
         "admin:products_provenancetag_changelist", "admin:products_exposure_changelist")  # fmt: skip
# Of other names: whatever fits the type. A name that leads nowhere is a 404 for those who may see it.
BY_TYPE = {"UUIDConverter": UUID(int=7), "IntConverter": 1}


@dataclass(frozen=True)
class Route:
    """An address, how the configuration writes it, and the methods to try."""

    text: str
    address: str
    methods: tuple[str, ...]

    @property
    def is_api(self) -> bool:
        """Whether it belongs to the REST API."""
        return self.text.startswith("api/v1/")


def samples(site: Archive) -> dict[str, dict[str, Any]]:
    """Name of a route → what stands in its address."""
    ccd, someone = site.ccd, person("scanner", "somebody")
    token, _ = ApiToken.issue(someone, "of somebody", ["read"])
    measurement, image = ccd.measurements[0].pk, ccd.image.pk
    exposure, thing, who = {"name": site.name}, {"name": site.object}, {"name": someone.username}
    return {
        "exposure": exposure, "ccd": exposure | {"section": "N1"}, "report": exposure | {"section": "N1"},
        "api-exposure-detail": exposure, "object": thing, "light_curve": thing, "label": {"key": measurement},
        "tag": {"name": "current"}, "provenance": {"key": ccd.image.provenance_id}, "image": {"key": image},
        "preview": {"key": image, "plane": "data"}, "stamp": {"key": measurement, "plane": "new"},
        "fits": {"key": image}, "step": {"name": "subtraction"}, "doc": {"page": "overview"},
        "person": who, "give_role": who, "open_account": who, "close_account": who, "password_link": who,
        "revoke_token": {"key": token.pk},
    }  # fmt: skip


def routes(site: Archive) -> list[Route]:
    """All named routes of the site, and some of the admin."""
    known = samples(site)
    found = [Route(f"admin {name}", reverse(name), ("GET",)) for name in ADMIN]
    for text, name, types, callback in _patterns(get_resolver().url_patterns):
        filled = {key: BY_TYPE.get(kind, "nothing") for key, kind in types.items()} | known.get(name, {})
        found.append(Route(text, reverse(name, kwargs=filled), _methods(callback)))
    return found


def _methods(callback: Any) -> tuple[str, ...]:
    view = getattr(callback, "cls", None)
    if view is None:
        return ("GET", "POST")
    written = getattr(callback, "actions", None) or [
        name for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)
    ]
    return tuple(method.upper() for method in written if method != "head")


def _patterns(patterns: Any, prefix: str = "", types: dict[str, str] | None = None) -> Iterator[tuple]:
    """(text, name, types of what stands in it, view) of every route with a name outside the admin."""
    for entry in patterns:
        text = prefix + str(entry.pattern)
        inner = dict(types or {}) | {
            key: type(converter).__name__ for key, converter in getattr(entry.pattern, "converters", {}).items()
        }
        if isinstance(entry, URLResolver):
            if not entry.namespace:
                yield from _patterns(entry.url_patterns, text, inner)
        elif entry.name:
            groups = entry.pattern.regex.groupindex
            yield text, entry.name, {key: inner.get(key, "") for key in (*inner, *groups)}, entry.callback
