"""Catalogues of orbits, known bodies and tracklets."""

from __future__ import annotations

from django.contrib import admin

from products.admin.base import RowAdmin
from products.admin.candidates import IMAGE_OF_SET
from products.admin.marking import ProductAdmin
from products.models import KnownObject, KnownObjectSet, OrbitCatalog, Tracklet, TrackletSet


@admin.register(OrbitCatalog)
class OrbitCatalogAdmin(ProductAdmin):
    list_display = ["short_id", "name", "n_orbits", "n_bad", "epoch", "created_at", "badness_shown"]
    search_fields = ["name"]


@admin.register(KnownObjectSet)
class KnownObjectSetAdmin(ProductAdmin):
    image_path = f"measurement_set__{IMAGE_OF_SET}"
    list_display = ["short_id", "of_image", "source", "n_predicted", "n_matched", "provenance", "badness_shown"]
    list_filter = ["source"]


@admin.register(KnownObject)
class KnownObjectAdmin(RowAdmin):
    image_path = f"known_object_set__measurement_set__{IMAGE_OF_SET}"
    list_display = ["short_id", "name", "separation", "uncertainty", "magnitude", "rate", "of_image"]
    search_fields = ["name"]


@admin.register(TrackletSet)
class TrackletSetAdmin(ProductAdmin):
    list_display = ["short_id", "night", "n_detections", "n_tracklets", "provenance", "badness_shown"]


@admin.register(Tracklet)
class TrackletAdmin(RowAdmin):
    list_display = ["short_id", "mjd", "n_detections", "ra", "dec", "rate", "position_angle", "residual", "known_as"]
    list_select_related = ["tracklet_set"]
    search_fields = ["known_as"]
