"""Pages of people: who has an account, what each may do, and the record of what was done with accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from products.views.paging import page_of
from seechange_site import audit, passwords, roles
from seechange_site.forms import AuditSearch, PeopleSearch, PersonForm, RoleForm
from seechange_site.models import AuditEvent

Action = audit.Action
SORTS = ("username", "last_login", "date_joined", "n_tokens")


def needs(permission: str) -> Callable[[Any], Any]:
    """A view for those with a permission: strangers are led to the log-in, others are refused."""
    return lambda view: login_required(permission_required(permission, raise_exception=True)(view))


@needs("auth.change_user")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def people(request: HttpRequest) -> HttpResponse:
    """Everybody with an account; POST makes another."""
    form = PersonForm(request.user, request.POST if request.method == "POST" else None)
    if request.method == "POST":
        _demand(request, "auth.add_user")
        if form.is_valid():
            person = form.save(commit=False)
            person.set_unusable_password()
            person.save()
            roles.set_role(person, form.cleaned_data["role"])
            _note(request, Action.ADDED, person, form.cleaned_data["role"])
            return _invite(request, person)
    return render(request, "people.html", _listed(request) | {"person_form": form}, status=400 if form.errors else 200)


def _listed(request: HttpRequest) -> dict[str, Any]:
    """The people that the address asks for."""
    form = PeopleSearch(request.GET)
    form.is_valid()
    asked, rows = form.cleaned_data, User.objects.all()
    if text := asked.get("q"):
        words = Q(username__icontains=text) | Q(email__icontains=text)
        rows = rows.filter(words | Q(first_name__icontains=text) | Q(last_name__icontains=text))
    if asked.get("state"):
        rows = rows.filter(is_active=asked["state"] == "open")
    if role := asked.get("role"):
        rows = _with_role(rows, role)
    sort = request.GET.get("sort", "username")
    sort = sort if sort.lstrip("-") in SORTS else "username"
    valid = Q(api_tokens__revoked_at=None, api_tokens__expires_at__gt=timezone.now())
    rows = rows.annotate(n_tokens=Count("api_tokens", filter=valid)).prefetch_related("groups").order_by(sort, "pk")
    page = page_of(request, rows, 50)
    members = dict(Group.objects.filter(name__in=roles.NAMES).annotate(n=Count("user")).values_list("name", "n"))
    return {
        "form": form,
        "page": page,
        "rows": [(person, roles.role_of(person)) for person in page],
        "sort": sort,
        "total": User.objects.count(),
        "roles": [(role, members.get(role.name, 0)) for role in roles.ROLES],
        "without": roles.WITHOUT,
    }


def _with_role(rows: QuerySet[User], role: str) -> QuerySet[User]:
    """Those whose highest role it is."""
    higher = roles.NAMES[roles.NAMES.index(role) + 1 :] if role in roles.NAMES else roles.NAMES
    rows = rows.exclude(pk__in=User.objects.filter(groups__name__in=higher).values("pk"))
    if role == roles.ADMIN:
        return rows.filter(Q(is_superuser=True) | Q(pk__in=User.objects.filter(groups__name=role).values("pk")))
    rows = rows.exclude(is_superuser=True)
    return rows.filter(groups__name=role) if role in roles.NAMES else rows


@needs("auth.change_user")
@never_cache
@require_safe
def person(request: HttpRequest, name: str) -> HttpResponse:
    """One account: facts, role, tokens, what was done with it."""
    return _person(request, get_object_or_404(User, username=name))


def _person(request: HttpRequest, found: User, **context: object) -> HttpResponse:
    role = roles.role_of(found)
    usual = {
        "person": found,
        "role": role,
        "allowed": roles.allowed(role),
        "form": RoleForm(request.user, initial={"role": role}),
        "may_change": _may_change(request.user, found),
        "tokens": found.api_tokens.all(),
        "events": AuditEvent.objects.filter(about=found.username)[:20],
        "groups": [group for group in found.groups.all() if group.name not in roles.NAMES],
    }
    return render(request, "person.html", usual | context)


@needs("auth.change_user")
@never_cache
@require_POST
def change_person(request: HttpRequest, name: str, what: str) -> HttpResponse:
    """Give a role, close or open the account, or make a link to set a password."""
    found = get_object_or_404(User, username=name)
    if not _may_change(request.user, found):
        raise PermissionDenied("Nobody changes an account that may do more than their own, or their own role.")
    if what == "link":
        return _invite(request, found)
    if what == "role":
        form, before = RoleForm(request.user, request.POST), roles.role_of(found)
        if not form.is_valid():
            return _person(request, found, form=form)
        role = form.cleaned_data["role"]
        roles.set_role(found, role)
        _note(request, Action.CHANGED, found, f"role {before or 'none'} → {role}")
    else:
        found.is_active = what == "open"
        found.save(update_fields=["is_active"])
        _note(request, Action.CHANGED, found, "opened" if found.is_active else "closed")
    messages.success(request, "Kept.")
    return redirect("person", name=found.username)


def _may_change(by: Any, found: User) -> bool:
    """Nobody changes their own role, nor an account that may do more than they may themselves."""
    if found == by or not by.has_perm("auth.change_user"):
        return False
    if by.is_superuser or found.is_superuser:
        return by.is_superuser
    held = Permission.objects.filter(Q(user=found) | Q(group__user=found))  # also those of a closed account
    return by.has_perms([f"{app}.{name}" for app, name in held.values_list("content_type__app_label", "codename")])


def _invite(request: HttpRequest, found: User) -> HttpResponse:
    """A link to set a password: by mail where the site sends mail and knows where to, shown otherwise."""
    link = passwords.link_for(found, request)
    by_mail = bool(found.email) and passwords.sends_mail()
    if by_mail:
        try:
            passwords.mail_link(found, link)
        except OSError as error:
            messages.error(request, f"The mail could not be sent: {error}.")
            by_mail = False
    _note(request, Action.LINK, found, f"sent to {found.email}" if by_mail else "shown")
    if by_mail:
        messages.success(request, f"A link to set the password was sent to {found.email}.")
        return redirect("person", name=found.username)
    return _person(request, found, link=link)


def _demand(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied(f"your account lacks the permission {permission}")


def _note(request: HttpRequest, action: str, found: User, detail: str) -> None:
    audit.note(action, by=request.user, about=found.username, request=request, detail=detail)


@needs("seechange_site.view_auditevent")
@require_safe
def record(request: HttpRequest) -> HttpResponse:
    """What was done with accounts and tokens, newest first."""
    form = AuditSearch(request.GET)
    form.is_valid()
    asked, rows = form.cleaned_data, AuditEvent.objects.all()
    if asked.get("q"):
        rows = rows.filter(Q(about=asked["q"]) | Q(actor=asked["q"]))
    for field in ("action", "address"):
        if asked.get(field):
            rows = rows.filter(**{field: asked[field]})
    page = page_of(request, rows, 100)
    return render(request, "audit.html", {"form": form, "page": page, "total": AuditEvent.objects.count()})
