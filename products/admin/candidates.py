"""Cutouts, measurements, scores, objects, labels and alerts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from products.admin.base import RowAdmin, on_site
from products.admin.marking import MarkableAdmin, ProductAdmin
from products.models import (
    Alert,
    AlertBatch,
    AlertEvent,
    Cutouts,
    DeepScore,
    DeepScoreSet,
    ForcedFlux,
    ForcedRequest,
    Label,
    Measurement,
    MeasurementSet,
    Object,
    ObjectName,
    ObjectPosition,
)

IMAGE_OF_SET = "cutouts__sources__image"


@admin.register(Cutouts)
class CutoutsAdmin(ProductAdmin):
    image_path = "sources__image"
    list_display = ["short_id", "of_image", "n_cutouts", "size", "provenance", "badness_shown"]


@admin.register(MeasurementSet)
class MeasurementSetAdmin(ProductAdmin):
    image_path = IMAGE_OF_SET
    list_display = ["short_id", "of_image", "n_measured", "n_saved", "n_kept", "provenance", "badness_shown"]


@admin.register(Measurement)
class MeasurementAdmin(MarkableAdmin):
    image_path = f"measurement_set__{IMAGE_OF_SET}"
    list_display = ["short_id", "object", "filter", "mjd", "magnitude", "snr", "bad", "of_image", "badness_shown"]
    list_filter = ["is_bad"]
    list_select_related = ["object"]
    search_fields = ["object__name"]


@admin.register(DeepScoreSet)
class DeepScoreSetAdmin(ProductAdmin):
    image_path = f"measurement_set__{IMAGE_OF_SET}"
    list_display = ["short_id", "of_image", "algorithm", "threshold", "n_real", "provenance", "badness_shown"]
    list_filter = ["algorithm"]


@admin.register(DeepScore)
class DeepScoreAdmin(RowAdmin):
    image_path = f"score_set__measurement_set__{IMAGE_OF_SET}"
    list_display = ["short_id", "score", "of_object", "of_image"]
    list_select_related = ["measurement__object"]
    search_fields = ["measurement__object__name"]

    @admin.display(description="object")
    def of_object(self, row: DeepScore) -> Object:
        """The object that the measurement is of."""
        return row.measurement.object


@admin.register(Object)
class ObjectAdmin(RowAdmin):
    """People may say that nothing is there; the rest comes from the measurements."""

    editable = ("is_bad", "remark")
    list_display = ["name", "ra", "dec", "n_measurements", "first_seen", "last_seen", "bad", "is_test"]
    list_filter = ["is_bad", "is_test"]
    search_fields = ["name"]
    view_on_site = on_site("object", "name")


@admin.register(ObjectPosition)
class ObjectPositionAdmin(RowAdmin):
    list_display = ["object", "n_measurements", "ra", "dec", "ra_error", "dec_error", "mjd_last", "provenance"]
    list_select_related = ["object", "provenance"]
    search_fields = ["object__name"]


@admin.register(ObjectName)
class ObjectNameAdmin(RowAdmin):
    list_display = ["year", "used"]


@admin.register(ForcedFlux)
class ForcedFluxAdmin(MarkableAdmin):
    image_path = "image"
    list_display = ["short_id", "filter", "mjd", "ra", "dec", "flux", "flux_error", "bad", "of_image", "badness_shown"]
    list_filter = ["is_bad"]


@admin.register(ForcedRequest)
class ForcedRequestAdmin(RowAdmin):
    list_display = ["created_at", "object", "ra", "dec", "tag", "state", "n_images", "n_measured", "person", "error"]
    list_select_related = ["object", "person"]
    list_filter = ["state", "tag"]
    search_fields = ["object__name", "person__username"]


@admin.register(Label)
class LabelAdmin(RowAdmin):
    """What people said: staff may correct it or, with the permission, delete it."""

    editable = ("verdict", "remark")
    list_display = ["of_object", "verdict", "person", "remark", "created_at"]
    list_display_links = ["of_object", "verdict"]
    list_select_related = ["measurement__object", "person"]
    list_filter = ["verdict", ("person", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["measurement__object__name", "person__username", "remark"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("products.delete_label")

    @admin.display(description="object", ordering="measurement__object__name")
    def of_object(self, row: Label) -> Object:
        """The object that the measurement is of."""
        return row.measurement.object


@admin.register(AlertBatch)
class AlertBatchAdmin(ProductAdmin):
    image_path = f"score_set__measurement_set__{IMAGE_OF_SET}"
    list_display = ["short_id", "of_image", "n_scored", "n_alerts", "provenance", "created_at", "badness_shown"]


@admin.register(Alert)
class AlertAdmin(RowAdmin):
    list_display = ["short_id", "of_object", "stream", "state", "attempts", "sent_at", "sent_to", "error"]
    list_select_related = ["score__measurement__object"]
    list_filter = ["state", "stream"]
    search_fields = ["score__measurement__object__name", "stream", "error"]
    date_hierarchy = "created_at"
    view_on_site = on_site("alert", "pk")

    @admin.display(description="object")
    def of_object(self, row: Alert) -> Object:
        """The object that the alert is about."""
        return row.score.measurement.object


@admin.register(AlertEvent)
class AlertEventAdmin(RowAdmin):
    list_display = ["created_at", "what", "alert", "who", "where", "remark"]
    list_select_related = ["alert"]
    list_filter = ["what"]
    search_fields = ["who", "remark", "where"]
