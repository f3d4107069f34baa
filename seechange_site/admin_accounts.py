"""People, groups, tokens and the record of accounts in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest

from seechange_site import audit, roles
from seechange_site.models import ApiToken, AuditEvent

Action = audit.Action
admin.site.unregister([User, Group])


@admin.register(User)
class PersonAdmin(UserAdmin):
    """Accounts; what makes a superuser, and superusers, are changed by superusers only."""

    list_display = ["username", "email", "first_name", "last_name", "role", "is_active", "is_superuser", "last_login"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="role")
    def role(self, person: User) -> str:
        """The highest role."""
        return roles.role_of(person) or "–"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = () if request.user.is_superuser else ("is_superuser", "is_staff", "user_permissions")
        return (*super().get_readonly_fields(request, obj), *fixed)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not above and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not above and super().has_delete_permission(request, obj)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """In the record of accounts too: a change of a role or a password belongs there."""
        return self._noted(Action.CHANGED, request, obj, super().log_change(request, obj, message))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """In the record of accounts too."""
        return self._noted(Action.ADDED, request, obj, super().log_addition(request, obj, message))

    def _noted(self, action: str, request: HttpRequest, person: User, entry: Any) -> Any:
        held = ", ".join(person.groups.values_list("name", flat=True)) or "no group"
        detail = f"in the admin: {entry.get_change_message()} ({held})"
        audit.note(action, by=request.user, about=person.get_username(), request=request, detail=detail)
        return entry


@admin.register(Group)
class RoleAdmin(GroupAdmin):
    """Groups; what the roles of the site hold is written in the code and shown here."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (obj is None or obj.name not in roles.NAMES) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (obj is None or obj.name not in roles.NAMES) and super().has_delete_permission(request, obj)


class LookOnly(admin.ModelAdmin):
    """Rows to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(LookOnly):
    """Tokens, without their digests; they are made on the page of one's account, and taken back here."""

    list_display = ["name", "prefix", "person", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_select_related = ["person"]
    list_filter = ["revoked_at", "expires_at"]
    search_fields = ["name", "prefix", "person__username"]
    fields = list_display
    actions = ["revoke_chosen"]

    @admin.action(description="Take the chosen tokens back", permissions=["revoke"])
    def revoke_chosen(self, request: HttpRequest, rows: QuerySet[ApiToken]) -> None:
        """From now on they open nothing."""
        number = 0
        for token in rows.select_related("person"):
            if token.revoke():
                number += 1
                audit.note(
                    Action.TOKEN_REVOKED, by=request.user, about=token.person.get_username(), request=request,
                    detail=f"in the admin: {token}",
                )  # fmt: skip
        self.message_user(request, f"{number} tokens open nothing any more.", messages.SUCCESS)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether the person may change tokens."""
        return request.user.has_perm("seechange_site.change_apitoken")


@admin.register(AuditEvent)
class AuditEventAdmin(LookOnly):
    """What was done with accounts and tokens."""

    list_display = ["at", "action", "actor", "about", "address", "detail"]
    list_filter = ["action"]
    search_fields = ["=actor", "=about", "=address"]
    actions = None
