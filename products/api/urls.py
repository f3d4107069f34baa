"""Addresses of the archive in the REST API."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from products.api import exposures

router = SimpleRouter()
router.register("exposures", exposures.ExposureView, basename="api-exposure")

urlpatterns: list = []
