"""Addresses of the archive in the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from products.api import alerts, exposures

router = SimpleRouter()
router.register("exposures", exposures.ExposureView, basename="api-exposure")
router.register("alerts", alerts.AlertView, basename="api-alert")

urlpatterns = [
    path("measurements/<uuid:key>/packet/", alerts.DecisionView.as_view({"get": "packet"}), name="api-packet"),
    path("measurements/<uuid:key>/decisions/", alerts.DecisionView.as_view({"get": "decisions"}), name="api-decisions"),
]
