"""Who asks the REST API, whether they may, and how often."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from seechange_site.models import ApiToken, digest

KEYWORD = "Token"


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
        token.note_use()
        return token.person, token

    def authenticate_header(self, request: Request) -> str:
        """What makes the answer 401 instead of 403."""
        return KEYWORD


def needed_scope(request: Request, view: Any) -> str:
    """The scope of an action: its own, else that of reading or of writing."""
    own = getattr(view, "scopes", {}).get(getattr(view, "action", None))
    if own:
        return own
    reads = request.method in SAFE_METHODS
    return getattr(view, "read_scope", "read") if reads else getattr(view, "write_scope", "admin")


class ScopePermission(BasePermission):
    """Nothing for strangers; the token's scope and the person's permission must both allow what is asked.

    What changes something names its permission in `permissions` (action → permission); without a name nobody but a
    superuser may do it.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the person, through the token where there is one, may do this."""
        if not (request.user and request.user.is_authenticated):
            return False
        scope = needed_scope(request, view)
        if isinstance(request.auth, ApiToken) and not request.auth.allows(scope):
            self.message = f"this token is not for “{scope}”; its scopes are {', '.join(request.auth.scopes)}"
            return False
        named = getattr(view, "permissions", {})
        permission = named.get(getattr(view, "action", None)) or named.get(request.method)
        if permission is None:
            return request.method in SAFE_METHODS or request.user.is_superuser
        self.message = f"your account lacks the permission {permission}"
        return request.user.has_perm(permission)


class Throttle(SimpleRateThrottle):
    """So many requests a minute for a token, a person, or the address of a stranger. A courtesy, not a border."""

    scope = "api"
    cache_format = "throttle_%(scope)s_%(ident)s"

    def get_rate(self) -> str:
        """Read at each use, so that a test or a site can change it."""
        return settings.API_RATE

    def get_cache_key(self, request: Any, view: Any) -> str:
        """Whom to count."""
        ident = request.auth.pk if hasattr(request.auth, "pk") else request.user.pk or self.get_ident(request)
        return self.cache_format % {"scope": self.scope, "ident": ident}
