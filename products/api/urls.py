"""Addresses of the archive in the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from products.api import (
    alerts,
    calibrations,
    catalogs,
    exposures,
    fakes,
    images,
    labels,
    measurements,
    moving,
    objects,
    provenances,
    references,
    reports,
    sources,
    tags,
)

router = SimpleRouter()
router.register("exposures", exposures.ExposureView, basename="api-exposure")
router.register("images", images.ImageView, basename="api-image")
router.register("source-lists", sources.SourceListView, basename="api-source-list")
router.register("psfs", sources.PSFView, basename="api-psf")
router.register("world-coordinates", calibrations.WorldCoordinatesView, basename="api-world-coordinates")
router.register("zero-points", calibrations.ZeroPointView, basename="api-zero-point")
router.register("reports", reports.ReportView, basename="api-report")
router.register("measurements", measurements.MeasurementView, basename="api-measurement")
router.register("scores", measurements.ScoreView, basename="api-score")
router.register("labels", labels.LabelView, basename="api-label")
router.register("objects", objects.ObjectView, basename="api-object")
router.register("cone-search", objects.ConeView, basename="api-cone")
router.register("provenances", provenances.ProvenanceView, basename="api-provenance")
router.register("code-versions", provenances.CodeVersionView, basename="api-code-version")
router.register("tags", tags.TagView, basename="api-tag")
router.register("references", references.ReferenceView, basename="api-reference")
router.register("refsets", references.RefSetView, basename="api-refset")
router.register("calibrators", references.CalibratorView, basename="api-calibrator")
router.register("catalog-excerpts", catalogs.CatalogExcerptView, basename="api-catalog-excerpt")
router.register("fake-sets", fakes.FakeSetView, basename="api-fake-set")
router.register("fake-analyses", fakes.FakeAnalysisView, basename="api-fake-analysis")
router.register("tracklets", moving.TrackletView, basename="api-tracklet")
router.register("known-objects", moving.KnownObjectView, basename="api-known-object")
router.register("orbit-catalogs", moving.OrbitCatalogView, basename="api-orbit-catalog")
router.register("alerts", alerts.AlertView, basename="api-alert")

urlpatterns: list = [
    path("tag-comparison/", tags.CompareView.as_view(), name="api-tag-comparison"),
    path("measurements/<uuid:key>/packet/", alerts.DecisionView.as_view({"get": "packet"}), name="api-packet"),
    path("measurements/<uuid:key>/decisions/", alerts.DecisionView.as_view({"get": "decisions"}), name="api-decisions"),
    path("measurements/<uuid:pk>/stamps/<str:plane>.<str:ending>", measurements.StampView.as_view(), name="api-stamp"),
]
