"""What is known of a CCD between two dates: that it died, or that an amplifier was replaced."""

from __future__ import annotations

import math
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from products.models.base import Identified

VALUES = ("gain", "read_noise", "saturation")  # of an amplifier


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

    def clean(self) -> None:
        """Refuse periods that end before they begin, and amplifiers that are told in another form or cannot be."""
        if None not in (self.valid_from, self.valid_to) and self.valid_to < self.valid_from:
            raise ValidationError({"valid_to": "It is before the beginning."})
        if not isinstance(self.amplifiers, dict):
            raise ValidationError({"amplifiers": 'It must look like {"A": {"gain": 4.1, "read_noise": 7}}.'})
        for name, values in self.amplifiers.items():
            if not isinstance(values, dict) or not set(values) <= set(VALUES):
                raise ValidationError({"amplifiers": f"Of amplifier '{name}' it may say {', '.join(VALUES)}."})
            if wrong := [key for key, value in values.items() if not _is_possible(key, value)]:
                raise ValidationError({"amplifiers": f"{', '.join(wrong)} of amplifier '{name}' must be above 0."})


def _is_possible(key: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number and (value > 0 or (key == "read_noise" and value == 0))
