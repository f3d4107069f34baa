"""Addresses of the archive in the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from products.api import alerts, exposures, fakes, provenances, references, tags

router = SimpleRouter()
router.register("exposures", exposures.ExposureView, basename="api-exposure")
router.register("provenances", provenances.ProvenanceView, basename="api-provenance")
router.register("code-versions", provenances.CodeVersionView, basename="api-code-version")
router.register("tags", tags.TagView, basename="api-tag")
router.register("references", references.ReferenceView, basename="api-reference")
router.register("refsets", references.RefSetView, basename="api-refset")
router.register("calibrators", references.CalibratorView, basename="api-calibrator")
router.register("fake-sets", fakes.FakeSetView, basename="api-fake-set")
router.register("fake-analyses", fakes.FakeAnalysisView, basename="api-fake-analysis")
router.register("alerts", alerts.AlertView, basename="api-alert")

urlpatterns: list = [
    path("tag-comparison/", tags.CompareView.as_view(), name="api-tag-comparison"),
    path("measurements/<uuid:key>/packet/", alerts.DecisionView.as_view({"get": "packet"}), name="api-packet"),
    path("measurements/<uuid:key>/decisions/", alerts.DecisionView.as_view({"get": "decisions"}), name="api-decisions"),
]
