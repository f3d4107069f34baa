"""Addresses of the archive's pages; names where a name exists."""

from django.urls import path

from products.views import candidates, exposures, images, objects, pictures, provenance, reports

urlpatterns = [
    path("exposures/", exposures.exposure_list, name="exposures"),
    path("exposures/<str:name>/", exposures.exposure, name="exposure"),
    path("exposures/<str:name>/<str:section>/", images.ccd, name="ccd"),
    path("exposures/<str:name>/<str:section>/report/", reports.report, name="report"),
    path("reports/", reports.report_list, name="reports"),
    path("candidates/", candidates.candidate_list, name="candidates"),
    path("candidates/<uuid:key>/label/", candidates.label, name="label"),
    path("objects/", objects.object_list, name="objects"),
    path("objects/<str:name>/", objects.thing, name="object"),
    path("objects/<str:name>/light_curve.csv", objects.light_curve, name="light_curve"),
    path("provenance/", provenance.provenance_list, name="provenances"),
    path("provenance/compare/", provenance.compare, name="compare"),
    path("provenance/tags/<path:name>/", provenance.tag, name="tag"),
    path("provenance/<str:key>/", provenance.provenance, name="provenance"),
    path("images/<uuid:key>/", images.image, name="image"),
    path("images/<uuid:key>/<str:plane>.png", pictures.preview, name="preview"),
    path("stamps/<uuid:key>/<str:plane>.png", pictures.stamp, name="stamp"),
    path("files/<uuid:key>/", pictures.fits_file, name="fits"),
]
