"""Addresses of the archive in the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from products.api import exposures, labels, measurements, objects

router = SimpleRouter()
router.register("exposures", exposures.ExposureView, basename="api-exposure")
router.register("measurements", measurements.MeasurementView, basename="api-measurement")
router.register("scores", measurements.ScoreView, basename="api-score")
router.register("labels", labels.LabelView, basename="api-label")
router.register("objects", objects.ObjectView, basename="api-object")
router.register("cone-search", objects.ConeView, basename="api-cone")

urlpatterns: list = [
    path("measurements/<uuid:pk>/stamps/<str:plane>.<str:ending>", measurements.StampView.as_view(), name="api-stamp"),
]
