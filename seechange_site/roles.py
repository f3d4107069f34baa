"""Roles: four groups with the permissions that this file gives them, each with those of the one before it.

Code asks for permissions and never for a role. The groups follow this file after every `migrate`; other groups, and
permissions that a person has besides, are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import Group, Permission, User
from django.db import models, router

from products.models.badness import HasBadness

ARCHIVE = ("products", "processing", "conductor")
PEOPLE = ("auth", "seechange_site")


@dataclass(frozen=True)
class Role:
    """A group of the site, and what it allows in words."""

    name: str
    allows: str


WITHOUT = "read the archive, on its pages and with a token in the REST API"  # what every account may
ROLES = (
    Role("viewer", "read everything: known exposures, workers, watches and the queue too"),
    Role("scanner", "say what is real and what is bogus, ask for forced photometry"),
    Role("operator", "move known exposures, watches and workers, mark products as bad, send alerts again"),
    Role("admin", "choose what provenance tags hold, give accounts, roles and tokens, use the admin"),
)
NAMES = tuple(role.name for role in ROLES)
ADMIN = "admin"


def permissions_of(role: str, app: str) -> set[str]:
    """Code names of the permissions that a role has on the models of an app."""
    level, found = NAMES.index(role), set()
    for model in apps.get_app_config(app).get_models():
        known = _known(model)
        if app in PEOPLE:
            found |= known if role == ADMIN else set()
            continue
        found |= known & {get_permission_codename("view", model._meta)}
        if level >= NAMES.index("scanner") and model._meta.label in ("products.Label", "products.ForcedRequest"):
            found |= known & {get_permission_codename("add", model._meta)}  # one's own; those of others are deleted
        if level >= NAMES.index("operator"):
            found |= known if app == "conductor" else known & {_change_by_operators(model)}
        if role == ADMIN:
            found |= known
    return found


def _known(model: type[models.Model]) -> set[str]:
    """All permissions on a model."""
    meta = model._meta
    return {get_permission_codename(action, meta) for action in meta.default_permissions} | {
        name for name, _ in meta.permissions
    }


def _change_by_operators(model: type[models.Model]) -> str:
    """The permission to change what can be bad, objects and alerts; an empty string for other models."""
    changed = issubclass(model, HasBadness) or model._meta.label in ("products.Object", "products.Alert")
    return get_permission_codename("change", model._meta) if changed else ""


def keep_roles(sender: Any, using: str, **options: Any) -> None:
    """After the migrations of an app: the roles have exactly these permissions on its models."""
    label = sender.label
    if label not in (*ARCHIVE, *PEOPLE) or not router.allow_migrate_model(using, Group):
        return
    if "group" not in options.get("apps", apps).all_models["auth"]:  # the migrations of accounts were taken back
        return
    for role in NAMES:
        group, _ = Group.objects.using(using).get_or_create(name=role)
        wanted = set(
            Permission.objects.using(using)
            .filter(content_type__app_label=label, codename__in=permissions_of(role, label))
            .values_list("pk", flat=True)
        )
        held = set(group.permissions.filter(content_type__app_label=label).values_list("pk", flat=True))
        group.permissions.add(*wanted - held)
        group.permissions.remove(*held - wanted)


def keep_staff(sender: Any, instance: Any, action: str, reverse: bool, **options: Any) -> None:
    """Whoever joins the admins is of the staff, whoever leaves them is not, unless a superuser."""
    if action not in ("post_add", "post_remove", "pre_clear"):
        return
    admin = Group.objects.filter(name=ADMIN).values_list("pk", flat=True).first()
    people, groups = User.objects.filter(pk=instance.pk), options["pk_set"]
    if reverse:
        people = User.objects.filter(pk__in=options["pk_set"] or instance.user_set.values("pk"))
        groups = {instance.pk}
    elif action == "pre_clear":
        groups = set(instance.groups.values_list("pk", flat=True))
    if admin in groups:
        people.filter(is_superuser=False).update(is_staff=action == "post_add")


def role_of(person: Any) -> str:
    """The highest role of a person; `admin` for superusers, an empty string for nobody's."""
    if getattr(person, "is_superuser", False):
        return ADMIN
    held = {group.name for group in person.groups.all()}
    return next((name for name in reversed(NAMES) if name in held), "")


def allowed(role: str) -> list[str]:
    """What a role allows in words, with what those below it and every account may; an empty string is no role."""
    return [WITHOUT, *(one.allows for one in ROLES[: NAMES.index(role) + 1 if role else 0])]


def may_give(giver: Any, roles: Iterable[str]) -> bool:
    """Whether somebody has every permission of these roles: nobody gives what they do not have."""
    wanted = {
        f"{app}.{name}"
        for role in roles
        if role in NAMES
        for app in (*ARCHIVE, *PEOPLE)
        for name in permissions_of(role, app)
    }
    return giver.has_perms(wanted)


def set_role(person: User, role: str) -> None:
    """Give a person this role and no other; other groups are left alone."""
    person.groups.remove(*Group.objects.filter(name__in=NAMES).exclude(name=role))
    if role:
        person.groups.add(Group.objects.get(name=role))
    person.refresh_from_db(fields=["is_staff"])
