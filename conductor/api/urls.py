"""Addresses of the conductor in the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from conductor.api import views

router = SimpleRouter()
router.register("known-exposures", views.KnownExposureView, basename="api-known-exposure")
router.register("workers", views.WorkerView, basename="api-worker")
router.register("watches", views.WatchView, basename="api-watch")
router.register("claim-events", views.ClaimEventView, basename="api-claim-event")

urlpatterns = [path("policy/", views.PolicyView.as_view(), name="api-policy")]
