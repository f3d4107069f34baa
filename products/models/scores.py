"""Real or bogus: one score a measurement, from one scorer."""

from __future__ import annotations

from typing import Any

from django.db import models

from products.models.base import Identified, Product


class DeepScoreSet(Product):
    """The scores of one set of measurements."""

    measurement_set = models.ForeignKey("products.MeasurementSet", models.PROTECT, related_name="score_sets")
    algorithm = models.CharField(max_length=60, help_text="Name of the scorer.")
    threshold = models.FloatField(help_text="Score from which the scorer calls something real.")
    n_real = models.PositiveIntegerField(help_text="Scores at or above the threshold.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["measurement_set", "provenance"], name="one_score_set")]

    def __init__(self, *args, **kwargs) -> None:
        rows = kwargs.pop("rows", [])
        super().__init__(*args, **kwargs)
        self.rows: list[DeepScore] = rows

    def all_rows(self) -> list[DeepScore]:
        """The scores in the order of the detections; loaded where they are not at hand."""
        if not self.rows and not self._state.adding:
            rows = self.scores.select_related("measurement").order_by("measurement__index_in_sources")
            self.rows = list(rows)
        return self.rows

    def counts(self) -> dict[str, int | float]:
        return {"scored_real": self.n_real}


class DeepScore(Identified):
    """How likely a measurement is of something astronomical."""

    score_set = models.ForeignKey(DeepScoreSet, models.CASCADE, related_name="scores")
    measurement = models.ForeignKey("products.Measurement", models.CASCADE, related_name="scores")
    score = models.FloatField(db_index=True, help_text="0 (bogus) to 1 (real).")
    info = models.JSONField(default=dict, blank=True, help_text="What else the scorer says.")
    scorer = models.CharField(
        max_length=20,
        editable=False,
        default="",
        help_text="Provenance of its set: the scores of one scorer are found beside the measurements, without a join.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["score_set", "measurement"], name="one_score"),
            models.CheckConstraint(condition=models.Q(score__range=(0, 1)), name="score_from_0_to_1"),
        ]
        indexes = [
            models.Index(fields=["measurement", "scorer", "score"], name="score_of_measurement"),
            models.Index(fields=["scorer", "score", "measurement"], name="best_scores"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.scorer = self.scorer or self.score_set.provenance_id
        super().save(*args, **kwargs)
