"""The record of what is done with accounts and tokens, and the bound on attempts to log in that is read from it."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.throttling import BaseThrottle

from seechange_site.models import AuditEvent

Action = AuditEvent.Action
WINDOW = datetime.timedelta(minutes=15)
# Failures in the window: of one name from one address, of an address, of a name from anywhere.
OF_BOTH, OF_ADDRESS, OF_NAME = 10, 50, 200


def note(action: str, *, by: Any = None, about: str = "", request: HttpRequest | None = None, detail: str = "") -> None:
    """Write an event down; `by` is a person, nobody for a stranger."""
    AuditEvent(
        action=action, actor=by.get_username() if by is not None else "", about=about[:150],
        address=address_of(request), detail=detail[:300],
    ).save()  # fmt: skip


def address_of(request: HttpRequest | None) -> str | None:
    """Where a request comes from; the proxies that the settings count are believed, and nobody else."""
    if request is None or not request.META.get("REMOTE_ADDR"):
        return None
    try:
        return str(ipaddress.ip_address(BaseThrottle().get_ident(request).strip()))
    except ValueError:  # whatever stood in the header of a proxy
        return None


def account_named(name: str) -> str:
    """The name of an account; of one that is not there, a mark that tells names apart and does not keep them.

    People type their password where the name belongs.
    """
    found = User.objects.filter(username=name).values_list("username", flat=True).first()
    return found or f"nobody ({salted_hmac('seechange.audit', name).hexdigest()[:12]})"


def too_many_attempts(name: str, request: HttpRequest | None) -> bool:
    """Whether a name, or an address, failed so often of late that the next attempt is not even tried."""
    failed = AuditEvent.objects.filter(action=Action.LOGIN_FAILED, at__gt=timezone.now() - WINDOW)
    of_name, of_address = failed.filter(about=account_named(name)), failed.filter(address=address_of(request))
    return (
        of_name.filter(address=address_of(request)).count() >= OF_BOTH
        or of_address.count() >= OF_ADDRESS
        or of_name.count() >= OF_NAME
    )


def logged_in(sender: Any, request: HttpRequest, user: Any, **options: Any) -> None:
    """Somebody logged in."""
    note(Action.LOGGED_IN, by=user, about=user.get_username(), request=request)


def logged_out(sender: Any, request: HttpRequest, user: Any, **options: Any) -> None:
    """Somebody logged out."""
    if user is not None:
        note(Action.LOGGED_OUT, by=user, about=user.get_username(), request=request)


def login_failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **options: Any) -> None:
    """Somebody tried."""
    note(Action.LOGIN_FAILED, about=account_named(str(credentials.get("username", ""))), request=request)


def account_of_mail(mail: str) -> str:
    """The name of the account with a mail address, or a mark as in `account_named`."""
    found = User.objects.filter(email__iexact=mail, is_active=True).values_list("username", flat=True).first()
    return found or account_named(f"mail:{mail}")


def too_many_links(request: HttpRequest) -> bool:
    """Whether an address asked for many links of late."""
    asked = AuditEvent.objects.filter(action=Action.RESET, at__gt=timezone.now() - WINDOW)
    return asked.filter(address=address_of(request)).count() >= OF_BOTH
