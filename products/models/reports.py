"""What happened when a CCD was processed."""

from __future__ import annotations

from django.db import models

from products.models.base import Identified


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
        indexes = [models.Index(fields=["exposure", "section", "-started_at"], name="report_latest")]

    @property
    def seconds(self) -> float:
        """Time of all steps, seconds."""
        return sum(step["seconds"] for step in self.steps)

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
