"""References: deep images to subtract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from products.models.badness import REFERENCE
from products.models.base import Product
from products.models.position import Footprint

if TYPE_CHECKING:
    from products.models.images import Image


class Reference(Product, Footprint):
    """A calibrated image that serves as reference for its filter and piece of sky."""

    ALLOWED_BADNESS = REFERENCE

    zero_point = models.ForeignKey("products.ZeroPoint", models.PROTECT, related_name="references")
    instrument = models.CharField(max_length=40, db_index=True, help_text="That took the images in it.")
    filter = models.CharField(max_length=20, db_index=True, help_text="Short name.")
    section = models.CharField(max_length=20, blank=True, help_text="CCD, for references of one CCD.")
    target = models.CharField(max_length=100, blank=True, help_text="What was looked at.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["zero_point", "provenance"], name="one_reference")]

    def __str__(self) -> str:
        return f"reference {self.instrument} {self.filter} {self.section}".strip()

    @property
    def image(self) -> Image:
        """The image to subtract."""
        return self.zero_point.image
