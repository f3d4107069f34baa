"""Tokens: how programs log in to the REST API, each for one person and for few purposes."""

from __future__ import annotations

import datetime
import hashlib
import secrets

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from products import ids

LONGEST = datetime.timedelta(days=366)
USED_EVERY = datetime.timedelta(minutes=1)  # how exactly the last use is known


class Scope(models.TextChoices):
    """What a token may be used for; `admin` contains the others."""

    READ = "read", "read everything that its owner may read"
    CLAIM = "claim", "claim known exposures and say what became of them"
    INGEST = "ingest", "put in known exposures, watches and labels"
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

    def note_use(self) -> None:
        """Write down that it was used, at most once a minute, also when many use it at once."""
        now = timezone.now()
        unused = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
        if self.last_used_at is None or self.last_used_at < now - USED_EVERY:
            ApiToken.objects.filter(unused, pk=self.pk).update(last_used_at=now)

    def revoke(self) -> None:
        """From now on it opens nothing."""
        ApiToken.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now())
