"""Addresses of the engine in the REST API."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from processing.api import forced

router = SimpleRouter()
router.register("forced-photometry", forced.ForcedView, basename="api-forced-photometry")

urlpatterns: list = []
