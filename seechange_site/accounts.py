"""The page of one's own account, and its tokens."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from seechange_site import audit, roles
from seechange_site.forms import AccountForm, TokenForm
from seechange_site.models import ApiToken

Action = audit.Action


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """Who one is here, what one may do, and one's tokens."""
    form = AccountForm(request.POST if request.method == "POST" else None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        if form.changed_data:
            audit.note(
                Action.CHANGED, by=request.user, about=request.user.get_username(), request=request,
                detail=", ".join(form.changed_data),
            )  # fmt: skip
        messages.success(request, "Kept.")
        return redirect("account")
    return _page(request, form=form)


def _page(request: HttpRequest, status: int = 200, **context: object) -> HttpResponse:
    person = request.user
    role = roles.role_of(person)
    usual = {
        "form": AccountForm(instance=person),
        "token_form": TokenForm(person),
        "tokens": person.api_tokens.all(),
        "role": role,
        "allowed": roles.allowed(role),
        "groups": [group for group in person.groups.all() if group.name not in roles.NAMES],
    }
    return render(request, "account.html", usual | context, status=status)


@login_required
@never_cache
@require_POST
def make_token(request: HttpRequest) -> HttpResponse:
    """Make a token; its key is in this answer and nowhere else."""
    form = TokenForm(request.user, request.POST)
    if not form.is_valid():
        return _page(request, token_form=form, status=400)
    asked = form.cleaned_data
    token, key = ApiToken.issue(request.user, asked["name"], asked["scopes"], asked["days"])
    _note(request, Action.TOKEN_MADE, token)
    return _page(request, made=token, key=key)


@login_required
@require_POST
def revoke_token(request: HttpRequest, key: UUID) -> HttpResponse:
    """Take a token of one's own back; those of others with the permission to change tokens."""
    rows = ApiToken.objects.select_related("person")
    if not request.user.has_perm("seechange_site.change_apitoken"):
        rows = rows.filter(person=request.user)
    token = get_object_or_404(rows, pk=key)
    if token.revoke():
        _note(request, Action.TOKEN_REVOKED, token)
        messages.success(request, f"The token {token.name} opens nothing any more.")
    if token.person == request.user:
        return redirect("account")
    return redirect("person", name=token.person.get_username())


def _note(request: HttpRequest, action: str, token: ApiToken) -> None:
    detail = f"{token} for {', '.join(token.scopes)}, until {token.expires_at:%Y-%m-%d}"
    audit.note(action, by=request.user, about=token.person.get_username(), request=request, detail=detail)
