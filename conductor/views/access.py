"""Who may see and do what; where a form leads back to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_safe

from conductor.services.moving import Moved

View = Callable[..., HttpResponse]
NAMED = 25  # known exposures that an answer names one by one


def seen_by(permission: str = "conductor.view_knownexposure") -> Callable[[View], View]:
    """A page for people with a permission; who is not logged in is asked to."""
    return lambda view: require_safe(login_required(permission_required(permission, raise_exception=True)(view)))


def done_by(permission: str) -> Callable[[View], View]:
    """A page that asks (GET) and does (POST), for people with a permission; who is not logged in is asked to."""
    return lambda view: require_http_methods(["GET", "HEAD", "POST"])(
        login_required(permission_required(permission, raise_exception=True)(view))
    )


def wants_to_do(request: HttpRequest) -> bool:
    """Whether the form was filled in; a POST without that asks only, since a choice may be too long for an address."""
    return request.method == "POST" and request.POST.get("step") == "do"


def back(request: HttpRequest, otherwise: str = "conductor") -> HttpResponseRedirect:
    """Where the person came from."""
    return redirect(next_of(request) or otherwise)


def next_of(request: HttpRequest) -> str:
    """The address in `next`, where it is one of this site."""
    address = request.POST.get("next") or request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if safe else ""


def ask(request: HttpRequest, **context: Any) -> HttpResponse:
    """The form that asks, in a page of its own or, for a dialog, alone."""
    alone = (request.POST if request.method == "POST" else request.GET).get("part") == "form"
    context |= {"next": next_of(request), "action_address": request.path, "alone": alone}
    return render(request, f"conductor/{'ask_form' if alone else 'ask'}.html", context)


def tell(request: HttpRequest, done: str, moved: Iterable[Moved]) -> None:
    """Say on the next page what became of each: those that were moved, and the others by the reason."""
    by_reason: dict[str, list[str]] = {}
    for one in moved:
        by_reason.setdefault(one.error, []).append(one.identifier)
    if names := by_reason.pop("", []):
        messages.success(request, f"{done}: {_named(names)}.")
    for reason, names in by_reason.items():
        messages.error(request, f"Left as {'it is' if len(names) == 1 else 'they are'}: {_named(names)}: {reason}.")


def _named(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
