"""Who asks the REST API, whether they may, and how often."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from seechange_site import audit
from seechange_site.models import ApiToken, digest

KEYWORD = "Token"
SUPERUSER = "superuser"  # in place of a permission: what no permission opens


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Token <key>`."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """The owner and the token; None where no token was sent."""
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != KEYWORD.lower().encode():
            return None
        if len(parts) != 2:
            raise AuthenticationFailed("write `Authorization: Token <key>`, the key without blanks")
        key = parts[1].decode("latin-1")
        token = ApiToken.objects.select_related("person").filter(digest=digest(key)).first()
        if token is None:
            raise AuthenticationFailed("this token is not known")
        if not token.is_valid:
            raise AuthenticationFailed(f"the token {token.prefix}… has expired or was revoked; make another")
        if token.note_use():
            audit.note(
                audit.Action.TOKEN_USED, by=token.person, about=token.person.get_username(), request=request,
                detail=str(token),
            )  # fmt: skip
        return token.person, token

    def authenticate_header(self, request: Request) -> str:
        """What makes the answer 401 instead of 403."""
        return KEYWORD


def needed(view: Any, action: str | None, method: str | None) -> tuple[str, str]:
    """(scope of a token, permission of its person) that a method of a view asks for; no permission is an empty string.

    The view may name both for an action or a method, and the permission to read at all. What it names no permission
    for, every account reads and only a superuser changes.
    """
    reads = method in SAFE_METHODS
    usual = getattr(view, "read_scope", "read") if reads else getattr(view, "write_scope", "admin")
    named = getattr(view, "permissions", {})
    otherwise = getattr(view, "read_permission", "") if reads else SUPERUSER
    permission = named.get(action) or named.get(method) or otherwise
    return getattr(view, "scopes", {}).get(action) or usual, permission


def may(person: Any, permission: str) -> bool:
    """Whether a person has the permission that an endpoint names."""
    return not permission or person.is_superuser or (permission != SUPERUSER and person.has_perm(permission))


class ScopePermission(BasePermission):
    """Nothing for strangers; the token's scope and the person's permission must both allow what is asked.

    What changes something names its permission in `permissions` (action → permission); without a name nobody but a
    superuser may do it.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the person, through the token where there is one, may do this."""
        if not (request.user and request.user.is_authenticated):
            return False
        scope, permission = needed(view, getattr(view, "action", ""), request.method)
        if isinstance(request.auth, ApiToken) and not request.auth.allows(scope):
            self.message = f"this token is not for “{scope}”; its scopes are {', '.join(request.auth.scopes)}"
            return False
        self.message = f"your account lacks the permission {permission}"
        return may(request.user, permission)


class Throttle(SimpleRateThrottle):
    """So many requests a minute for a token or a person; strangers were refused before. A courtesy, not a border."""

    scope = "api"
    cache_format = "throttle_%(scope)s_%(ident)s"

    def get_rate(self) -> str:
        """Read at each use, so that a test or a site can change it."""
        return settings.API_RATE

    def get_cache_key(self, request: Any, view: Any) -> str:
        """Whom to count."""
        return self.cache_format % {"scope": self.scope, "ident": (request.auth or request.user).pk}
