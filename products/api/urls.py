"""Addresses of the archive in the REST API."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from products.api import calibrations, exposures, images, reports, sources

router = SimpleRouter()
router.register("exposures", exposures.ExposureView, basename="api-exposure")
router.register("images", images.ImageView, basename="api-image")
router.register("source-lists", sources.SourceListView, basename="api-source-list")
router.register("psfs", sources.PSFView, basename="api-psf")
router.register("world-coordinates", calibrations.WorldCoordinatesView, basename="api-world-coordinates")
router.register("zero-points", calibrations.ZeroPointView, basename="api-zero-point")
router.register("reports", reports.ReportView, basename="api-report")

urlpatterns: list = []
