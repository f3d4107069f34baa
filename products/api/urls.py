"""Addresses of the archive in the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from products.api import exposures, fakes, provenances, references, tags

router = SimpleRouter()
router.register("exposures", exposures.ExposureView, basename="api-exposure")
router.register("provenances", provenances.ProvenanceView, basename="api-provenance")
router.register("code_versions", provenances.CodeVersionView, basename="api-code-version")
router.register("tags", tags.TagView, basename="api-tag")
router.register("references", references.ReferenceView, basename="api-reference")
router.register("refsets", references.RefSetView, basename="api-refset")
router.register("calibrators", references.CalibratorView, basename="api-calibrator")
router.register("fake_sets", fakes.FakeSetView, basename="api-fake-set")
router.register("fake_analyses", fakes.FakeAnalysisView, basename="api-fake-analysis")

urlpatterns: list = [path("tag_comparison/", tags.CompareView.as_view(), name="api-tag-comparison")]
