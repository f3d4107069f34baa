"""Numbers about what changed."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from django.db import models

from products.models.badness import MEASUREMENT, HasBadness
from products.models.base import Identified, Product
from products.models.position import SkyPosition


class MeasurementSet(Product):
    """The measurements of the detections of one difference image."""

    cutouts = models.ForeignKey("products.Cutouts", models.PROTECT, related_name="measurement_sets")
    n_measured = models.PositiveIntegerField(help_text="Detections that were measured.")
    n_saved = models.PositiveIntegerField(help_text="Measurements that were saved.")
    n_kept = models.PositiveIntegerField(help_text="Saved ones that passed every cut.")
    cut_counts = models.JSONField(default=dict, help_text="How many detections failed each cut.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cutouts", "provenance"], name="one_measurement_set")]

    def __init__(self, *args, **kwargs) -> None:
        rows, radius = kwargs.pop("rows", []), kwargs.pop("association_radius", None)
        super().__init__(*args, **kwargs)
        self.rows: list[Measurement] = rows
        self.association_radius: float | None = radius  # arcsec; for a set that is not kept yet

    def all_rows(self) -> list[Measurement]:
        """The measurements in the order of the detections; loaded where they are not at hand."""
        if not self.rows and not self._state.adding:
            self.rows = list(self.measurements.order_by("index_in_sources"))
        return self.rows

    def earlier_detections(self) -> Counter[UUID]:
        """Object → how many earlier kept measurements of the same provenance it has; none of a set that is not kept."""
        rows = self.all_rows()
        if self._state.adding or not rows:
            return Counter()
        earlier = Measurement.objects.filter(
            object__in=self.measurements.order_by().values("object"),
            measurement_set__provenance=self.provenance_id,
            mjd__lt=rows[0].mjd,
            is_bad=False,
        )
        return Counter(dict(earlier.order_by().values_list("object").annotate(n=models.Count("pk"))))

    def counts(self) -> dict[str, int | float]:
        return {"measured": self.n_measured, "saved": self.n_saved, "kept": self.n_kept}


class Measurement(Identified, SkyPosition, HasBadness):
    """One detection, measured."""

    ALLOWED_BADNESS = MEASUREMENT

    measurement_set = models.ForeignKey(MeasurementSet, models.CASCADE, related_name="measurements")
    index_in_sources = models.PositiveIntegerField(help_text="Row of the detection and of its stamps.")
    object = models.ForeignKey("products.Object", models.PROTECT, related_name="measurements")
    mjd = models.FloatField("MJD", db_index=True, help_text="Middle of the exposure, UTC.")
    filter = models.CharField(max_length=20, db_index=True, help_text="Short name.")
    x = models.FloatField(help_text="Pixels from 0, on the difference image.")
    y = models.FloatField(help_text="Pixels from 0, on the difference image.")
    flux = models.FloatField(help_text="PSF flux in the difference, electrons of the new image; negative for fading.")
    flux_error = models.FloatField(help_text="Its photometric error, electrons.")
    snr = models.FloatField("S/N", db_index=True, help_text="Of the detection, all noise terms included.")
    magnitude = models.FloatField(null=True, blank=True, help_text="AB magnitude of |flux|.")
    magnitude_error = models.FloatField(null=True, blank=True, help_text="With the error of the zero point, mag.")
    flux_apertures = models.JSONField(default=list, help_text="Electrons, on the difference image.")
    flux_apertures_errors = models.JSONField(default=list, help_text="Electrons.")
    aperture_radii = models.JSONField(default=list, help_text="Pixels.")
    background_per_pixel = models.FloatField(
        null=True,
        blank=True,
        help_text="Median of the difference in a ring around it, electrons per pixel; it is not taken off the fluxes.",
    )
    diagnostics = models.JSONField(default=dict, help_text="Numbers about its shape and its score, by name.")
    cuts = models.JSONField(default=list, help_text="Each cut: name, value, threshold (null: not judged), passed.")
    failed_cuts = models.JSONField(default=list, blank=True, help_text="Names of the cuts that it failed.")
    is_bad = models.BooleanField(default=False, db_index=True, help_text="Failed at least one cut.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["measurement_set", "index_in_sources"], name="one_measurement"),
            models.UniqueConstraint(fields=["measurement_set", "object"], name="one_measurement_an_object"),
        ]
        indexes = [
            models.Index(fields=["object", "mjd"], name="measurement_light_curve"),
            models.Index(
                fields=["measurement_set", "is_bad", "filter", "failed_cuts", "snr", "magnitude", "mjd", "id"],
                name="measurement_counts",  # rows are wide; what is counted and sorted by stands in the index
            ),
        ]
        ordering = ["mjd"]

    def __str__(self) -> str:
        return f"{self.filter} {self.magnitude:.2f}" if self.magnitude is not None else self.filter

    @property
    def is_negative(self) -> bool:
        """Fainter than in the reference."""
        return self.flux < 0
