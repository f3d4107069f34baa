"""Tokens, with which programs log in to the REST API, and the record of what was done with accounts."""

from __future__ import annotations

import datetime
import hashlib
import secrets
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from conductor.models.events import AppendOnly
from products import ids

LONGEST = datetime.timedelta(days=366)
USED_EVERY = datetime.timedelta(minutes=1)  # how exactly the last use is known


class Scope(models.TextChoices):
    """What a token may be used for; `admin` contains the others."""

    READ = "read", "read everything that its owner may read"
    CLAIM = "claim", "claim known exposures and say what became of them"
    INGEST = "ingest", "put in known exposures, watches, labels and requests for forced photometry"
    ADMIN = "admin", "everything that its owner may do"


def digest(key: str) -> str:
    """What is stored of a key: its SHA-256. A key has 256 random bits, so no salt and no slow hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


class ApiToken(models.Model):
    """A token of a person; the key itself is shown once and never stored."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens", help_text="For whom it acts."
    )
    name = models.CharField(max_length=100, help_text="What it is for, e.g. the cluster or broker that uses it.")
    prefix = models.CharField(max_length=12, help_text="Beginning of the key, to tell tokens apart.")
    digest = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the key.")
    scopes = models.JSONField(default=list, help_text="Any of read, claim, ingest, admin.")
    created_at = models.DateTimeField(auto_now_add=True, help_text="UTC.")
    expires_at = models.DateTimeField(help_text="UTC; at most a year after it was made.")
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="UTC, to the minute.")
    revoked_at = models.DateTimeField(null=True, blank=True, help_text="UTC; since when it opens nothing.")

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(cls, person: models.Model, name: str, scopes: list[str], days: float = 90) -> tuple[ApiToken, str]:
        """A new token and its key, which cannot be had again. ValueError for unknown scopes or a wrong duration."""
        if wrong := sorted(set(scopes) - set(Scope.values)):
            raise ValueError(f"there is no scope {', '.join(wrong)}; there are {', '.join(Scope.values)}")
        if not scopes:
            raise ValueError("a token without a scope opens nothing; choose at least one")
        lifetime = datetime.timedelta(days=days)
        if not datetime.timedelta(0) < lifetime <= LONGEST:
            raise ValueError(f"a token lives up to {LONGEST.days} days, not {days:g}")
        key = f"sc{secrets.token_urlsafe(32)}"
        row = cls(
            person=person, name=name, prefix=key[:8], digest=digest(key), scopes=sorted(set(scopes)),
            expires_at=timezone.now() + lifetime,
        )  # fmt: skip
        row.save(force_insert=True)
        return row, key

    @property
    def is_valid(self) -> bool:
        """Whether it opens anything now."""
        return self.revoked_at is None and self.expires_at > timezone.now() and self.person.is_active

    def allows(self, scope: str) -> bool:
        """Whether it may be used for `scope`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def note_use(self) -> bool:
        """Write down that it was used, at most once a minute; True for the first use of a day (UTC)."""
        now, before = timezone.now(), self.last_used_at
        if before is not None and before >= now - USED_EVERY:
            return False
        unused = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
        was_first = ApiToken.objects.filter(unused, pk=self.pk).update(last_used_at=now)  # of many at once, one is
        return bool(was_first) and (before is None or before.date() < now.date())

    def revoke(self) -> bool:
        """From now on it opens nothing; False where that was so before."""
        return bool(ApiToken.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now()))


class AuditEvent(models.Model):
    """What was done with an account or a token; written once, which triggers of the database see to.

    People are kept by name: the record outlives their accounts.
    """

    class Action(models.TextChoices):
        """What happened."""

        LOGGED_IN = "logged in", "logged in"
        LOGGED_OUT = "logged out", "logged out"
        LOGIN_FAILED = "log-in failed", "log-in failed"
        LOGIN_REFUSED = "log-in refused", "too many attempts to log in"
        PASSWORD = "password", "password changed"
        LINK = "link", "link to set a password made"
        RESET = "reset", "link to set a password asked for"
        TOKEN_MADE = "token made", "token made"
        TOKEN_REVOKED = "token revoked", "token revoked"
        TOKEN_USED = "token used", "token used for the first time of a day"
        ADDED = "added", "account added"
        CHANGED = "changed", "account changed"

    at = models.DateTimeField(default=timezone.now, db_index=True, editable=False, help_text="UTC.")
    action = models.CharField(max_length=20, choices=Action.choices, help_text="What happened.")
    actor = models.CharField(max_length=150, blank=True, help_text="Name of who did it; empty for a stranger.")
    about = models.CharField(max_length=150, blank=True, help_text="Name of the account that it was done with.")
    address = models.GenericIPAddressField(null=True, blank=True, help_text="From which address it was asked.")
    detail = models.CharField(max_length=300, blank=True, help_text="More of it, in words.")

    objects = AppendOnly.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["action", "at"], name="audit_action_at"),
            models.Index(fields=["about", "-id"], name="audit_about"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.about or self.actor}: {self.get_action_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Only new rows."""
        if self.pk is not None:
            raise TypeError("audit events are never changed")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Never."""
        raise TypeError("audit events are never deleted")
