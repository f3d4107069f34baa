"""Frames and tables that calibrate raw exposures."""

from __future__ import annotations

from django.db import models
from django.utils.text import slugify

from products.models.base import FileProduct, Identified
from products.models.files import Plane


class DataFile(FileProduct):
    """A table that calibrates, e.g. for linearity or crosstalk."""

    UNITS = {"adu": "adu", "linear_adu": "adu"}

    name = models.CharField(max_length=200, help_text="Of the file.")
    raw_exposures = models.ManyToManyField(
        "products.Exposure", related_name="tables", blank=True, help_text="Raw frames that it was measured on."
    )
    calibrators = models.ManyToManyField(
        "products.CalibratorFile", related_name="tables", blank=True, help_text="What was applied to them before."
    )

    table = Plane("TABLE", table=True, help="Columns as the kind of calibrator needs them.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "provenance"], name="one_data_file")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def upstream_paths(cls) -> list[str]:
        return [*super().upstream_paths(), "calibrators__image", "calibrators__data_file"]

    def file_stem(self) -> str:
        return f"calibrators/tables/{slugify(self.name)}"


class CalibratorFile(Identified):
    """Says which frame calibrates which CCD, and when."""

    class Kind(models.TextChoices):
        BIAS = "bias", "bias"
        DARK = "dark", "dark"
        FLAT = "flat", "flat"
        FRINGE = "fringe", "fringe pattern"
        ILLUMINATION = "illumination", "illumination"
        LINEARITY = "linearity", "linearity table"
        BAD_PIXELS = "bad_pixels", "bad-pixel mask"
        CROSSTALK = "crosstalk", "crosstalk coefficients"

    class Set(models.TextChoices):
        SUPPLIED = "supplied", "supplied from outside"
        GENERAL = "general", "made here, long-lived"
        NIGHTLY = "nightly", "made here, of one night"

    class FlatType(models.TextChoices):
        DOME = "dome", "of a screen in the dome"
        SKY = "sky", "of the sky at night"
        TWILIGHT = "twilight", "of the sky at twilight"

    kind = models.CharField(max_length=12, choices=Kind.choices, help_text="What it corrects.")
    calibrator_set = models.CharField(
        max_length=10, choices=Set.choices, default=Set.GENERAL, help_text="Preprocessing looks in one of them."
    )
    flat_type = models.CharField(max_length=10, choices=FlatType.choices, blank=True, help_text="Light of a flat.")
    instrument = models.CharField(max_length=40, help_text="Short name.")
    section = models.CharField(max_length=20, help_text="CCD.")
    filter = models.CharField(max_length=20, blank=True, help_text="Empty when it serves every filter.")
    image = models.ForeignKey("products.Image", models.PROTECT, null=True, blank=True, related_name="calibrator_files")
    data_file = models.ForeignKey(DataFile, models.PROTECT, null=True, blank=True, related_name="calibrator_files")
    valid_from = models.FloatField(null=True, blank=True, help_text="MJD (UTC); open when empty.")
    valid_to = models.FloatField(null=True, blank=True, help_text="MJD (UTC); open when empty.")
    superseded_by = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="supersedes",
        help_text="What is chosen instead of it from now on; what used it keeps it.",
    )
    quality = models.JSONField(default=dict, blank=True, help_text="Figures that say how good it is.")
    rejected = models.JSONField(
        default=dict, blank=True, help_text="Exposures that were offered and not used: name to reason."
    )

    class Meta:
        indexes = [models.Index(fields=["instrument", "section", "kind", "filter"], name="calibrator_lookup")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(image__isnull=False) ^ models.Q(data_file__isnull=False),
                name="calibrator_has_one_file",
            ),
            models.UniqueConstraint(fields=["kind", "calibrator_set", "image"], name="one_calibrator_of_image"),
            models.UniqueConstraint(fields=["kind", "calibrator_set", "data_file"], name="one_calibrator_of_table"),
            models.CheckConstraint(
                condition=models.Q(valid_from=None)
                | models.Q(valid_to=None)
                | models.Q(valid_from__lte=models.F("valid_to")),
                name="calibrator_ends_after_it_begins",
            ),
        ]

    @property
    def file(self) -> FileProduct:
        """The frame or the table."""
        return self.image or self.data_file

    def __str__(self) -> str:
        return " ".join(filter(None, [self.instrument, self.section, self.filter, self.kind]))
