"""What is known of a CCD between two dates: that it died, or that an amplifier was replaced."""

from __future__ import annotations

from django.db import models

from products.models.base import Identified


class SensorSection(Identified):
    """A CCD of an instrument in some period; goes before what the instrument itself says. The latest made wins."""

    instrument = models.CharField(max_length=40, help_text="Short name.")
    section = models.CharField(max_length=20, help_text="CCD.")
    valid_from = models.FloatField(null=True, blank=True, help_text="MJD (UTC); open when empty.")
    valid_to = models.FloatField(null=True, blank=True, help_text="MJD (UTC); open when empty.")
    is_usable = models.BooleanField(default=True, help_text="Whether its exposures are processed.")
    amplifiers = models.JSONField(
        default=dict,
        blank=True,
        help_text="Name of an amplifier to what it has instead of the header's: gain (electron/ADU), read_noise "
        "(electron), saturation (ADU).",
    )
    comment = models.CharField(max_length=200, blank=True, help_text="What happened.")

    class Meta:
        indexes = [models.Index(fields=["instrument", "section"], name="sensor_section_lookup")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(valid_from=None)
                | models.Q(valid_to=None)
                | models.Q(valid_from__lte=models.F("valid_to")),
                name="sensor_section_ends_after_it_begins",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.section}"
