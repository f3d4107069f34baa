"""What happened to known exposures: written once, never changed."""

from __future__ import annotations

from typing import Any, Self

from django.core.serializers.json import DjangoJSONEncoder
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
    """One transition of a known exposure, or one change of how it is handed out. It outlives the known exposure.

    What people do with the policy, with watches and with workers is an event too, without a known exposure.
    """

    at = models.DateTimeField(db_default=Now(), db_index=True, help_text="UTC, by the clock of the database.")
    known_exposure = models.ForeignKey(
        KnownExposure, models.DO_NOTHING, db_constraint=False, related_name="events", null=True, blank=True,
        help_text="What it happened to; empty: to all of them, or to a watch or a worker.",
    )  # fmt: skip
    instrument = models.CharField(max_length=40, blank=True, help_text="Of the known exposure or the watch.")
    identifier = models.CharField(max_length=220, help_text="Of the known exposure, or what else it happened to.")
    from_state = models.CharField(max_length=10, blank=True, help_text="Empty: it was new.")
    to_state = models.CharField(max_length=10, blank=True, help_text="Empty: it was deleted.")
    what = models.CharField(max_length=20, db_index=True, help_text="What happened, in a word.")
    actor = models.CharField(max_length=210, db_index=True, help_text="User, watch, or cluster and node.")
    reason = models.TextField(blank=True, help_text="Why, for people.")
    attempt = models.PositiveIntegerField(help_text="The attempt that it belongs to.")
    move = models.UUIDField(
        null=True, blank=True, editable=False, db_index=True, help_text="The same for all that was moved at once."
    )
    before = models.JSONField(
        default=dict, blank=True, editable=False, encoder=DjangoJSONEncoder,
        help_text="What a move changed, as it was before: what undoing it needs.",
    )  # fmt: skip
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

    @classmethod
    def about(cls, what_it_is: str, what: str, *, actor: str, reason: str = "", instrument: str = "") -> Self:
        """Write down what was done with the policy, a watch or a worker."""
        found = cls(identifier=what_it_is, instrument=instrument, what=what, actor=actor, reason=reason, attempt=0)
        found.save()
        return found

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("claim events are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("claim events are never deleted")
