"""What happened when a CCD was processed."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Self

from django.db import models

from products.models.base import Identified


class ProvenanceSet(models.Model):
    """The provenances of one attempt; all attempts of one configuration share a row, so there are few.

    They say in SQL which attempts belong to a tag.
    """

    key = models.CharField(max_length=20, primary_key=True, editable=False, help_text="Hash of the members.")
    members = models.JSONField(help_text="Provenance ids, sorted.")

    def __str__(self) -> str:
        return f"{len(self.members)} provenances {self.key[:8]}"

    @classmethod
    def of(cls, ids: Any) -> Self | None:
        """The row of these provenances, made where it is missing; None without any."""
        members = sorted(set(ids))
        if not members:
            return None
        digest = hashlib.sha256(" ".join(members).encode()).digest()
        key = base64.b32encode(digest).decode()[:20]
        return cls.objects.get_or_create(key=key, defaults={"members": members})[0]


class Report(Identified):
    """One attempt at one CCD (or coadd): steps, time, memory, warnings, the error if there was one."""

    class State(models.TextChoices):
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    exposure = models.ForeignKey("products.Exposure", models.CASCADE, null=True, blank=True, related_name="reports")
    image = models.ForeignKey(
        "products.Image",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="reports",
        help_text="Of attempts at coadds, which have no exposure: the stack, where there came one.",
    )
    section = models.CharField(max_length=20, blank=True, db_index=True, help_text="CCD.")
    attempt = models.PositiveIntegerField(default=1, help_text="Counted for the exposure and section.")
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.RUNNING, db_index=True, help_text="Of the attempt."
    )
    started_at = models.DateTimeField(auto_now_add=True, db_index=True, help_text="UTC.")
    finished_at = models.DateTimeField(null=True, blank=True, help_text="UTC.")
    cluster = models.CharField(max_length=100, blank=True, help_text="Cluster that did the work.")
    node = models.CharField(max_length=100, blank=True, help_text="Machine that did the work.")
    tag = models.CharField(max_length=100, blank=True, db_index=True, help_text="Provenance tag of the run.")
    provenances = models.JSONField(default=dict, help_text="Step to provenance id.")
    provenance_set = models.ForeignKey(
        ProvenanceSet,
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="reports",
        help_text="The same without the names of the steps.",
    )
    plan = models.JSONField(
        default=list,
        blank=True,
        help_text="Names of the steps of its pipeline, in order, asked for or not.",
    )
    steps = models.JSONField(
        default=list,
        help_text="One entry a step: name, seconds, CPU seconds, peak memory (MB), made or found, counts, warnings.",
    )
    error_step = models.CharField(max_length=40, blank=True, help_text="Where it stopped; empty: before the first.")
    error_type = models.CharField(max_length=80, blank=True, help_text="Class of the error.")
    error_message = models.TextField(blank=True, help_text="What went wrong, for people.")
    error_details = models.JSONField(default=dict, blank=True, help_text="Numbers and names of an expected error.")
    traceback = models.TextField(blank=True, help_text="Of errors that nobody expected.")

    class Meta:
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["exposure", "section", "-started_at"], name="report_latest"),
            # What decides the state of an exposure and counts reports, without a look at the rows, which are long.
            models.Index(
                fields=["exposure", "section", "attempt", "state", "tag", "provenance_set", "cluster", "node"],
                name="report_states",
            ),
            models.Index(fields=["error_type", "error_step"], name="report_errors"),
        ]

    def save(self, *args: Any, **options: Any) -> None:
        if options.get("update_fields") is None:
            self.provenance_set = ProvenanceSet.of(self.provenances.values())
        super().save(*args, **options)

    @property
    def seconds(self) -> float:
        """Time of all steps, seconds."""
        return sum(step["seconds"] for step in self.steps)

    @property
    def took(self) -> float | None:
        """Time from its beginning to its end, seconds."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None

    @property
    def reached(self) -> list[str]:
        """Names of the steps that it ran or found done, the one that failed included."""
        return [step["name"] for step in self.steps]

    @property
    def came_to_the_end(self) -> bool:
        """Whether nothing of the plan is left."""
        return bool(self.plan) and set(self.plan) <= set(self.reached) and not self.error_step

    @property
    def counts(self) -> dict[str, int | float]:
        """The numbers of all steps together."""
        merged: dict[str, int | float] = {}
        for step in self.steps:
            merged |= step.get("counts", {})
        return merged
