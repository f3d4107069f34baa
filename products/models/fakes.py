"""Injected sources and what became of them."""

from __future__ import annotations

from django.db import models

from products.models.base import FileProduct
from products.models.files import Plane


class FakeKind(models.TextChoices):
    """What was put into an image."""

    HOSTLESS = "hostless", "hostless"
    HOSTED = "hosted", "in a galaxy"
    VARIABLE = "variable", "variable star"
    STREAK = "streak", "streak"


class FakeLoss(models.TextChoices):
    """Why a fake was not found."""

    OCCUPIED = "occupied", "something was there without it"
    FAINT = "faint", "too faint"
    NOISE = "noise", "lost in the noise"
    MASKED = "masked", "on unusable pixels"
    REFERENCE = "reference", "at the edge of the reference"
    EDGE = "edge", "at the edge of the image"
    MERGED = "merged", "merged with a stronger peak"
    BLENDED = "blended", "beside a stronger peak"
    UNSAVED = "unsaved", "detected, not saved"
    HALO = "halo", "in the halo of a saturated star"
    CUT = "cut", "failed a cut"
    SCORE = "score", "score below the threshold"
    UNEXPLAINED = "unexplained", "not explained"


class FakeSet(FileProduct):
    """The sources that were injected into one image before its subtraction."""

    UNITS = {
        "x": "pix", "y": "pix", "mag": "mag", "flux": "electron", "star_flux": "electron", "length": "pix",
        "angle": "deg",
    }  # fmt: skip

    zero_point = models.ForeignKey("products.ZeroPoint", models.PROTECT, related_name="fake_sets")
    n_fakes = models.PositiveIntegerField(help_text="Rows of the table.")
    random_seed = models.BigIntegerField(help_text="The same seed gives the same fakes, with the same noise.")

    table = Plane(
        "FAKES",
        table=True,
        help="One row a fake: x, y, mag, flux (negative: a star fades), host (row of the source list, −1 without), "
        "kind, star_flux (of the star before), length and angle (of a streak).",
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["zero_point", "provenance"], name="one_fake_set")]

    def file_stem(self) -> str:
        return f"fakes/{int(self.zero_point.image.mjd)}/{self.zero_point.image.section}_fakes"

    def counts(self) -> dict[str, int | float]:
        return {"fakes": self.n_fakes}


class FakeAnalysis(FileProduct):
    """What the pipeline made of each fake."""

    UNITS = {"flux": "electron", "flux_error": "electron", "x": "pix", "y": "pix"}

    fake_set = models.ForeignKey(FakeSet, models.PROTECT, related_name="analyses")
    score_set = models.ForeignKey(
        "products.DeepScoreSet",
        models.PROTECT,
        related_name="fake_analyses",
        help_text="Of the image without fakes: says how the fakes were analysed.",
    )
    n_detected = models.PositiveIntegerField(help_text="Fakes that were detected and measured.")
    n_kept = models.PositiveIntegerField(help_text="Detected and passed every cut.")
    n_passed = models.PositiveIntegerField(default=0, help_text="Kept, with a score above the threshold.")
    outcomes = models.JSONField(
        default=dict,
        blank=True,
        help_text="What an efficiency needs, by kind: `mag`, `stage` (0 missed, 1 detected, 2 kept, 3 passed the "
        "score), `ratio` (measured over injected flux), `pull`, "
        "`offset` (px), `expected` (S/N). Fakes where something was before are left out.",
    )
    losses = models.JSONField(
        default=list, blank=True, help_text="Every fake that did not come through, why, and the figures of the run."
    )

    table = Plane(
        "RECOVERY",
        table=True,
        help="One row a fake, in the order of the fakes: what was measured, `expected_snr`, `response` (part of its "
        "light that PSF photometry measures), `was_there` (something was detected there without it), `reason`.",
    )

    new = Plane(
        "NEW",
        unit="electron",
        compression="none",
        help="(n, size, size) float32, background subtracted: the image around the fakes in `losses`, with them in it.",
    )
    difference = Plane("DIFF", unit="electron", compression="none", help="The same of the difference.")

    class Meta:
        verbose_name_plural = "fake analyses"
        constraints = [
            models.UniqueConstraint(fields=["fake_set", "score_set", "provenance"], name="one_fake_analysis")
        ]

    def file_stem(self) -> str:
        return f"fakes/{int(self.fake_set.zero_point.image.mjd)}/{self.fake_set.zero_point.image.section}_recovery"

    def counts(self) -> dict[str, int | float]:
        return {"fakes_detected": self.n_detected, "fakes_kept": self.n_kept, "fakes_passed": self.n_passed}
