"""Watches: where new exposures are looked for. The policy: what holds for all that is handed out."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q


class Watch(models.Model):
    """A folder or an archive that is looked through again and again for exposures that are not known yet."""

    name = models.CharField(max_length=60, unique=True, help_text="For people and commands.")
    instrument = models.CharField(max_length=40, help_text="Short name of the instrument that knows where to look.")
    arguments = models.JSONField(
        default=dict, blank=True, help_text='What the instrument is asked for, e.g. {"folder": "/data/raw"}.'
    )
    interval = models.PositiveIntegerField(
        default=120,
        validators=[MinValueValidator(5), MaxValueValidator(7 * 86400)],
        help_text="Seconds between two looks.",
    )
    hold = models.BooleanField(default=False, help_text="New exposures are held until somebody makes them ready.")
    is_paused = models.BooleanField(default=False, help_text="It does not look.")
    priority = models.IntegerField(default=0, help_text="Priority of what it finds; higher is handed out first.")
    through_step = models.CharField(max_length=40, blank=True, help_text="Last step for what it finds; empty: all.")

    look_at_once = models.BooleanField(
        default=False, editable=False, help_text="Somebody wants it to look now, due or not."
    )
    last_run = models.DateTimeField(null=True, blank=True, editable=False, help_text="UTC, when it last looked.")
    last_result = models.TextField(blank=True, editable=False, help_text="What it found then, for people.")
    last_counts = models.JSONField(
        default=dict, blank=True, editable=False, help_text="New, known and unreadable exposures of the last look."
    )
    last_error = models.TextField(blank=True, editable=False, help_text="Why the last look failed; empty: it did not.")
    claimed_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="UTC; a process is looking, and others leave it alone."
    )

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "watches"
        constraints = [models.CheckConstraint(condition=Q(interval__gte=1), name="watch_interval")]

    def __str__(self) -> str:
        return self.name


class Policy(models.Model):
    """What holds for everything that is handed out; there is one row."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(
        primary_key=True, default=ONLY, editable=False, help_text="Always 1: there is one policy."
    )
    is_paused = models.BooleanField(default=False, help_text="Nothing is handed out; what runs goes on.")
    through_step = models.CharField(max_length=40, blank=True, help_text="Nobody goes further; empty: to the end.")

    class Meta:
        verbose_name_plural = "policy"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_policy")]

    def __str__(self) -> str:
        return "paused" if self.is_paused else "handing out"
