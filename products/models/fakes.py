"""Injected sources and what became of them."""

from __future__ import annotations

from django.db import models

from products.models.base import FileProduct
from products.models.files import Plane


class FakeSet(FileProduct):
    """The sources that were injected into one image before its subtraction."""

    UNITS = {"x": "pix", "y": "pix", "mag": "mag", "flux": "electron"}

    zero_point = models.ForeignKey("products.ZeroPoint", models.PROTECT, related_name="fake_sets")
    n_fakes = models.PositiveIntegerField(help_text="Rows of the table.")
    random_seed = models.BigIntegerField(help_text="The same seed gives the same fakes.")

    table = Plane(
        "FAKES",
        table=True,
        help="One row a fake: x, y, mag, flux, host (row of the source list, −1 without).",
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

    table = Plane("RECOVERY", table=True, help="One row a fake, in the order of the fakes.")

    class Meta:
        verbose_name_plural = "fake analyses"
        constraints = [
            models.UniqueConstraint(fields=["fake_set", "score_set", "provenance"], name="one_fake_analysis")
        ]

    def file_stem(self) -> str:
        return f"fakes/{int(self.fake_set.zero_point.image.mjd)}/{self.fake_set.zero_point.image.section}_recovery"

    def counts(self) -> dict[str, int | float]:
        return {"fakes_detected": self.n_detected, "fakes_kept": self.n_kept}
