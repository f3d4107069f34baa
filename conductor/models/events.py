"""What happened to known exposures: written once, never changed."""

from __future__ import annotations

from typing import Any, Self

from django.db import models
from django.db.models.functions import Now

from conductor.models.known_exposures import KnownExposure


class AppendOnly(models.QuerySet):
    """Rows that stay as they were written."""

    def update(self, **changes: Any) -> int:
        raise TypeError(f"{self.model._meta.verbose_name_plural} are never changed")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise TypeError(f"{self.model._meta.verbose_name_plural} are never deleted")


class ClaimEvent(models.Model):
    """One transition of a known exposure, or one change of how it is handed out. It outlives the known exposure."""

    at = models.DateTimeField(db_default=Now(), db_index=True, help_text="UTC, by the clock of the database.")
    known_exposure = models.ForeignKey(
        KnownExposure, models.DO_NOTHING, db_constraint=False, related_name="events", help_text="What it happened to."
    )
    instrument = models.CharField(max_length=40, help_text="Of the known exposure.")
    identifier = models.CharField(max_length=200, help_text="Of the known exposure.")
    from_state = models.CharField(max_length=10, blank=True, help_text="Empty: it was new.")
    to_state = models.CharField(max_length=10, blank=True, help_text="Empty: it was deleted.")
    what = models.CharField(max_length=20, db_index=True, help_text="What happened, in a word.")
    actor = models.CharField(max_length=210, db_index=True, help_text="User, watch, or cluster and node.")
    reason = models.TextField(blank=True, help_text="Why, for people.")
    attempt = models.PositiveIntegerField(help_text="The attempt that it belongs to.")
    token = models.UUIDField(
        null=True, blank=True, editable=False, db_index=True, help_text="Of the claim; of events of a holder only."
    )

    objects = AppendOnly.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.identifier} {self.what}"

    @classmethod
    def of(cls, row: KnownExposure, what: str, to_state: str, **fields: Any) -> Self:
        """An event about `row`, which is as it was before."""
        fields.setdefault("from_state", row.state)
        fields.setdefault("attempt", row.attempt)
        return cls(
            known_exposure_id=row.pk, instrument=row.instrument, identifier=row.identifier, what=what,
            to_state=to_state, **fields,
        )  # fmt: skip

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("claim events are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("claim events are never deleted")
