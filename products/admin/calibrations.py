"""Astrometry, photometry, calibrator frames and fakes."""

from __future__ import annotations

from django.contrib import admin

from products.admin.base import RowAdmin
from products.admin.marking import ProductAdmin
from products.models import CalibratorFile, DataFile, FakeAnalysis, FakeSet, WorldCoordinates, ZeroPoint


@admin.register(WorldCoordinates)
class WorldCoordinatesAdmin(ProductAdmin):
    image_path = "sources__image"
    list_display = ["short_id", "of_image", "n_matches", "rms_ra", "rms_dec", "order", "catalog", "badness_shown"]
    list_filter = ["catalog"]


@admin.register(ZeroPoint)
class ZeroPointAdmin(ProductAdmin):
    image_path = "world_coordinates__sources__image"
    list_display = [
        "short_id",
        "of_image",
        "zp",
        "zp_error",
        "scatter",
        "n_stars",
        "limiting_magnitude",
        "badness_shown",
    ]
    list_filter = ["catalog"]


@admin.register(DataFile)
class DataFileAdmin(ProductAdmin):
    list_display = ["name", "provenance", "filesize", "created_at", "badness_shown"]
    search_fields = ["name"]


@admin.register(CalibratorFile)
class CalibratorFileAdmin(RowAdmin):
    """When a frame is valid may be changed; what it calibrates may not."""

    editable = ("calibrator_set", "flat_type", "valid_from", "valid_to")
    list_display = [
        "__str__", "kind", "calibrator_set", "flat_type", "instrument", "section", "filter", "valid_from", "valid_to",
        "is_superseded",
    ]  # fmt: skip
    list_filter = ["kind", "calibrator_set", "flat_type", "instrument", "filter"]
    search_fields = ["instrument", "section"]

    list_select_related = ["image__exposure", "data_file"]

    @admin.display(description="superseded", boolean=True)
    def is_superseded(self, row: CalibratorFile) -> bool:
        """Whether another one is chosen in its place."""
        return row.superseded_by_id is not None


@admin.register(FakeSet)
class FakeSetAdmin(ProductAdmin):
    image_path = "zero_point__world_coordinates__sources__image"
    list_display = ["short_id", "of_image", "n_fakes", "random_seed", "provenance", "badness_shown"]


@admin.register(FakeAnalysis)
class FakeAnalysisAdmin(ProductAdmin):
    image_path = "fake_set__zero_point__world_coordinates__sources__image"
    list_display = ["short_id", "of_image", "n_detected", "n_kept", "provenance", "badness_shown"]
