"""Stamps around what was detected."""

from __future__ import annotations

from django.db import models

from products.models.base import FileProduct
from products.models.files import Plane


class Cutouts(FileProduct):
    """Stamps of new, reference and difference, one of each a detection, in the order of the detections."""

    sources = models.ForeignKey(
        "products.SourceList", models.PROTECT, related_name="cutouts", help_text="The detections."
    )
    n_cutouts = models.PositiveIntegerField(help_text="Stamps of each kind.")
    size = models.PositiveSmallIntegerField(help_text="Pixels on a side, odd.")

    new = Plane("NEW", unit="electron", compression="none", help="(n, size, size) float32, background subtracted.")
    reference = Plane(
        "REF",
        unit="electron",
        compression="none",
        help="The same of the reference, in electrons of the new image.",
    )
    difference = Plane("DIFF", unit="electron", compression="none", help="The same of the difference.")
    flags = Plane("FLAGS", compression="none", help="(n, size, size) uint16, of new and reference together.")
    centres = Plane("CENTRES", compression="none", help="(n, 2) int32, x and y of the middle pixels.")

    class Meta:
        verbose_name_plural = "cutouts"
        constraints = [models.UniqueConstraint(fields=["sources", "provenance"], name="one_cutouts")]

    def file_stem(self) -> str:
        return f"cutouts/{int(self.sources.image.mjd)}/{self.sources.image.section}_cutouts"

    def counts(self) -> dict[str, int | float]:
        return {"cutouts": self.n_cutouts}
