"""Workers: the launchers that ask for exposures."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class PipelineWorker(models.Model):
    """One launcher: a name on a cluster and node, and when it was heard of last."""

    cluster = models.CharField(max_length=100, help_text="As its operator calls the cluster.")
    node = models.CharField(max_length=100, blank=True, help_text="Machine, or what tells it from its neighbours.")
    process_id = models.PositiveBigIntegerField(null=True, blank=True, help_text="Of the launcher on its machine.")
    version = models.CharField(max_length=40, blank=True, help_text="Of the SeeChange that it runs.")
    started_at = models.DateTimeField(db_default=Now(), help_text="UTC, when this launcher registered.")
    last_heartbeat = models.DateTimeField(db_default=Now(), db_index=True, help_text="UTC, when it was heard of last.")
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="UTC, when it said that it ends or was taken from the list."
    )

    class Meta:
        ordering = ["cluster", "node"]
        constraints = [models.UniqueConstraint(fields=["cluster", "node"], name="one_worker")]

    def __str__(self) -> str:
        return f"{self.cluster} {self.node}".strip()
