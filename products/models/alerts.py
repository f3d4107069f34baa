"""What was told to the world: receipts, alerts, what became of each, and what people say."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Self

from django.db import models
from django.db.models import Case, F, Q, When
from django.db.models.lookups import GreaterThan

from products import storage
from products.models.badness import ANY, Badness
from products.models.base import FileProduct, Identified
from products.models.provenance import Provenance

BADLY_MADE = "made with a bad provenance"
WITHHOLDS = int(ANY & ~Badness.SUPERSEDED_REFERENCE)  # what was subtracted with an older reference is still true


class AlertBatch(FileProduct):
    """The receipt of alerting: which scores became alerts and, by stream and cut, how many did not.

    Its file holds the packets as they were when the decision was made: an alert that is sent again has the same bytes.
    """

    FILE_IS_OPTIONAL = True

    score_set = models.ForeignKey("products.DeepScoreSet", models.PROTECT, related_name="alert_batches")
    known_set = models.ForeignKey(
        "products.KnownObjectSet",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="alert_batches",
        help_text="Which of the measurements are of known bodies, as far as they were looked for.",
    )
    n_alerts = models.PositiveIntegerField(help_text="Alerts of all streams.")
    n_scored = models.PositiveIntegerField(default=0, help_text="Measurements that every stream decided about.")
    refused = models.JSONField(
        default=dict,
        blank=True,
        help_text="Stream → cut → how many measurements it kept back; the first cut of each counts.",
    )

    class Meta:
        verbose_name_plural = "alert batches"
        constraints = [models.UniqueConstraint(fields=["score_set", "provenance"], name="one_alert_batch")]

    def __init__(self, *args, **kwargs) -> None:
        rows = kwargs.pop("rows", [])
        super().__init__(*args, **kwargs)
        self.rows: list[Alert] = rows

    def counts(self) -> dict[str, int | float]:
        return {"alerts": self.n_alerts}

    def file_key(self) -> str:
        image = self.score_set.measurement_set.cutouts.sources.image
        return f"alerts/{int(image.mjd)}/{image.section}_alerts_{uuid.UUID(str(self.id)).hex}.avro"

    def write_file(self) -> None:
        """Write the packets of its measurements, each once; a receipt without alerts has no file."""
        from products.alerts import frozen

        self._leave_out_told()
        if self.rows:
            records = frozen.records(self.rows)
            self.filepath = key = self.file_key()
            self.sha256, self.filesize = storage.store(key, lambda path: frozen.write(path, records))

    def _leave_out_told(self) -> None:
        """Count what an earlier receipt, of other cuts, put into the same stream: it is told once."""
        told = set(Alert.objects.filter(score__score_set=self.score_set_id).values_list("pk", flat=True))
        again = [alert for alert in self.rows if alert.pk in told]
        for alert in again:
            refused = self.refused.setdefault(alert.stream, {})
            refused["told_before"] = refused.get("told_before", 0) + 1
        self.rows = [alert for alert in self.rows if alert.pk not in told]
        self.n_alerts -= len(again)


class AlertRows(models.QuerySet):
    """Alerts, and which are kept back: something that they rest on, or how it was made, was marked as bad."""

    def bulk_create(self, objs: Iterable[Alert], *args: Any, **options: Any) -> list[Alert]:
        """Save many; each has the provenance of its receipt."""
        objs = list(objs)
        for alert in objs:
            alert.provenance_id = alert.batch.provenance_id
        return super().bulk_create(objs, *args, **options)

    def with_marks(self) -> Self:
        """Each with what keeps it back: the bits of badness as `marks`, a bad provenance as `badly_made`."""
        badly_made = Case(When(_badly_made(), then=True), default=False, output_field=models.BooleanField())
        return self.annotate(marks=_marks(), badly_made=badly_made)

    def withheld(self) -> Self:
        """Those that wait until the marks on what they rest on are cleared."""
        return self.filter(_kept_back(), state=Alert.State.PENDING)

    def may_go(self) -> Self:
        """Those that wait and are not withheld."""
        return self.filter(~_kept_back(), state=Alert.State.PENDING)


def _kept_back() -> Q:
    return Q(GreaterThan(_marks(), 0)) | _badly_made()


def _badly_made() -> Q:
    """Whether the provenance, or one that it comes from, is marked as bad."""
    return Q(provenance__in=Provenance.tainted())


def _marks() -> models.expressions.Combinable:
    bits = F("batch__badness_own").bitor(F("batch__badness_upstream"))
    for name in ("badness_own", "badness_upstream"):
        bits = bits.bitor(F(f"score__measurement__{name}"))
    return bits.bitand(WITHHOLDS)


class Alert(models.Model):
    """One alert: an id that is the same whenever it is made again, and what became of it."""

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
    provenance = models.ForeignKey(
        "products.Provenance",
        models.PROTECT,
        related_name="+",
        editable=False,
        help_text="Of the receipt; here too, because every list asks for those of a tag.",
    )
    score = models.ForeignKey("products.DeepScore", models.PROTECT, related_name="alerts")
    stream = models.CharField(max_length=60, help_text="Named stream with its own cuts and sender.")
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.PENDING, db_index=True, help_text="Whether it went out."
    )
    attempts = models.PositiveIntegerField(default=0, help_text="How often somebody tried to send it.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True, help_text="UTC.")
    next_try_at = models.DateTimeField(
        null=True, blank=True, help_text="UTC; it is not tried before. Empty: at the next occasion."
    )
    claim = models.UUIDField(null=True, blank=True, editable=False, help_text="Token of the process that sends it now.")
    claimed_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="UTC; from then on another process may send it."
    )
    sent_at = models.DateTimeField(null=True, blank=True, help_text="UTC.")
    sent_to = models.CharField(max_length=300, blank=True, help_text="Where it went.")
    topic = models.CharField(max_length=249, blank=True, help_text="Kafka topic, where it went to one.")
    partition = models.PositiveIntegerField(null=True, blank=True, help_text="Of the topic.")
    offset = models.PositiveBigIntegerField(null=True, blank=True, help_text="In the partition.")
    payload_size = models.PositiveIntegerField(null=True, blank=True, help_text="Of the Avro packet, bytes.")
    payload_sha256 = models.CharField(max_length=64, blank=True, help_text="Checksum of the Avro packet, hexadecimal.")
    schema_version = models.CharField(max_length=10, blank=True, help_text="Of the Avro schema, major.minor.")
    error = models.TextField(blank=True, help_text="Why it did not go out.")

    objects = AlertRows.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["provenance", "stream", "state"], name="alert_stream_state"),
            models.Index(
                fields=["next_try_at"], name="alert_waiting", condition=models.Q(state="pending")
            ),  # few rows wait; the others are history
        ]

    def __str__(self) -> str:
        return f"alert {str(self.pk)[:8]}"

    def save(self, *args: Any, **options: Any) -> None:
        self.provenance_id = self.provenance_id or self.batch.provenance_id
        super().save(*args, **options)

    @property
    def shown_state(self) -> str:
        """The state, or `withheld`; of rows selected by `with_marks`."""
        return "withheld" if self.state == self.State.PENDING and (self.marks or self.badly_made) else self.state

    @property
    def what_became(self) -> str:
        """The state in words, with what keeps it back; of rows selected by `with_marks`."""
        return f"withheld, {self.reasons}" if self.shown_state == "withheld" else self.get_state_display()

    @property
    def badness(self) -> Badness:
        """The bits that keep it back; of rows selected by `with_marks`."""
        return Badness(self.marks)

    @property
    def reasons(self) -> str:
        """What keeps it back, in words; of rows selected by `with_marks`."""
        return ", ".join(filter(None, [self.badness.label, self.badly_made and BADLY_MADE]))


class AlertEvent(Identified):
    """One line in the history of an alert: an attempt and its end, or what a person asked for."""

    class What(models.TextChoices):
        SENT = "sent", "sent"
        FAILED = "failed", "failed, to be tried again"
        DEAD = "dead", "given up"
        AGAIN = "again", "to be sent again"

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="events")
    what = models.CharField(max_length=10, choices=What.choices, help_text="What happened.")
    who = models.CharField(max_length=150, blank=True, help_text="The person who asked for it; empty for an attempt.")
    where = models.CharField(max_length=300, blank=True, help_text="Where it went.")
    remark = models.TextField(blank=True, help_text="The error, or why it is sent again.")

    class Meta:
        ordering = ["created_at", "pk"]


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
