"""Addresses of the pages that describe the pipeline, and of those that need its algorithms."""

from django.urls import path

from processing import calibration_views, forced_views, scorer_views, views

urlpatterns = [
    path("", views.pipeline, name="pipeline"),
    path("steps/<str:name>/", views.step, name="step"),
    path("models/<str:name>/", scorer_views.model, name="scorer_model"),
]
archive_patterns = [  # beside the pages of the archive
    path("exposures/<str:name>/<str:section>/calibration/", calibration_views.ccd, name="ccd_calibration"),
    path("images/<uuid:key>/calibration/", calibration_views.image, name="image_calibration"),
    path("objects/<str:name>/forced/", forced_views.measure_object, name="measure_object"),
]
