"""What was told to the world."""

from __future__ import annotations

from django.db import models

from products.models.base import Identified, Product


class AlertBatch(Product):
    """The receipt of alerting: which scores became alerts."""

    score_set = models.ForeignKey("products.DeepScoreSet", models.PROTECT, related_name="alert_batches")
    n_alerts = models.PositiveIntegerField(help_text="Alerts of all streams.")

    class Meta:
        verbose_name_plural = "alert batches"
        constraints = [models.UniqueConstraint(fields=["score_set", "provenance"], name="one_alert_batch")]

    def __init__(self, *args, **kwargs) -> None:
        rows = kwargs.pop("rows", [])
        super().__init__(*args, **kwargs)
        self.rows: list[Alert] = rows

    def counts(self) -> dict[str, int | float]:
        return {"alerts": self.n_alerts}


class Alert(models.Model):
    """One alert: an id that is the same whenever it is made again, and whether it went out."""

    class State(models.TextChoices):
        PENDING = "pending", "to be sent"
        SENT = "sent", "sent"
        DEAD = "dead", "cannot be sent"

    id = models.UUIDField(
        primary_key=True,
        editable=False,
        help_text="Of the measurement, the scorer's provenance and the stream.",
    )
    batch = models.ForeignKey(AlertBatch, models.CASCADE, related_name="alerts")
    score = models.ForeignKey("products.DeepScore", models.PROTECT, related_name="alerts")
    stream = models.CharField(max_length=60, help_text="Named stream with its own cuts and sender.")
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.PENDING, db_index=True, help_text="Whether it went out."
    )
    attempts = models.PositiveIntegerField(default=0, help_text="How often somebody tried to send it.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True, help_text="UTC.")
    sent_at = models.DateTimeField(null=True, blank=True, help_text="UTC.")
    sent_to = models.CharField(max_length=300, blank=True, help_text="Where it went.")
    error = models.TextField(blank=True, help_text="Why it did not go out.")

    class Meta:
        ordering = ["-created_at"]


class Label(Identified):
    """What a person says that a measurement is."""

    class Verdict(models.TextChoices):
        REAL = "real", "real"
        BOGUS = "bogus", "bogus"
        UNSURE = "unsure", "unsure"

    measurement = models.ForeignKey("products.Measurement", models.CASCADE, related_name="labels")
    person = models.ForeignKey("auth.User", models.PROTECT, related_name="labels")
    verdict = models.CharField(max_length=10, choices=Verdict.choices, help_text="What it is.")
    remark = models.TextField(blank=True, help_text="Why.")
    changed_at = models.DateTimeField(auto_now=True, db_index=True, help_text="UTC, when the person last said so.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["measurement", "person"], name="one_label_a_person")]
