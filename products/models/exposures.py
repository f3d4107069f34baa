"""Exposures: everything that one opening of the shutter recorded, in one raw file."""

from __future__ import annotations

from pathlib import Path

from django.db import models

from products import storage
from products.models.badness import IMAGE
from products.models.base import FileProduct
from products.models.position import SkyPosition


class Exposure(FileProduct, SkyPosition):
    """One exposure of all CCDs, with its raw file."""

    ALLOWED_BADNESS = IMAGE

    class Kind(models.TextChoices):
        SCIENCE = "science", "the sky"
        BIAS = "bias", "no exposure time"
        DARK = "dark", "shutter closed"
        FLAT = "flat", "even illumination"

    name = models.CharField(max_length=120, help_text="As the instrument names it: the raw file's name without ending.")
    kind = models.CharField(
        max_length=10, choices=Kind.choices, default=Kind.SCIENCE, db_index=True, help_text="What it was taken for."
    )
    instrument = models.CharField(max_length=40, db_index=True, help_text="Short name, e.g. demo.")
    telescope = models.CharField(
        max_length=60, blank=True, db_index=True, help_text="As the raw file names it, or the instrument."
    )
    mjd = models.FloatField("MJD", db_index=True, help_text="Start of the exposure, UTC, days.")
    exposure_time = models.FloatField(help_text="Seconds.")
    filter = models.CharField(max_length=20, blank=True, db_index=True, help_text="Short name; empty when it varies.")
    filters = models.JSONField(
        default=dict, blank=True, help_text="Short name of the filter of each section, if they differ."
    )
    airmass = models.FloatField(null=True, blank=True, help_text="At the start; 1 is the zenith.")
    origin = models.CharField(
        "origin identifier",
        max_length=200,
        blank=True,
        db_index=True,
        help_text="What the archive or camera that it came from calls it.",
    )
    project = models.CharField(max_length=100, blank=True, db_index=True, help_text="Proposal or survey.")
    target = models.CharField(max_length=100, blank=True, db_index=True, help_text="What was looked at.")
    header = models.JSONField(default=dict, blank=True, help_text="Selected keywords of the raw header.")
    companions = models.JSONField(
        default=dict,
        blank=True,
        help_text="Further files that belong to it (weight, flags, …): role to path and checksum.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instrument", "name", "provenance"], name="one_exposure"),
            models.CheckConstraint(condition=models.Q(exposure_time__gte=0), name="exposure_time_from_0"),
        ]
        ordering = ["-mjd"]

    def __str__(self) -> str:
        return self.name

    @property
    def mjd_middle(self) -> float:
        """MJD (UTC) of the middle of the exposure."""
        return self.mjd + self.exposure_time / 2 / 86400

    def companion_paths(self) -> dict[str, Path]:
        """Local paths of the companion files by role."""
        return {role: storage.fetch(found["path"], found["sha256"]) for role, found in self.companions.items()}
