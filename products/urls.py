"""Addresses of the archive's pages; names where a name exists."""

from django.urls import path

from products.views import (
    candidates,
    exposures,
    fakes,
    images,
    lineage,
    objects,
    pictures,
    provenance,
    references,
    tags,
)

urlpatterns = [
    path("exposures/", exposures.exposure_list, name="exposures"),
    path("exposures/<str:name>/", exposures.exposure, name="exposure"),
    path("exposures/<str:name>/<str:section>/", images.ccd, name="ccd"),
    path("exposures/<str:name>/<str:section>/report/", exposures.report, name="report"),
    path("candidates/", candidates.candidate_list, name="candidates"),
    path("candidates/<uuid:key>/label/", candidates.label, name="label"),
    path("objects/", objects.object_list, name="objects"),
    path("objects/<str:name>/", objects.thing, name="object"),
    path("objects/<str:name>/light_curve.csv", objects.light_curve, name="light_curve"),
    path("provenance/", provenance.provenance_list, name="provenances"),
    path("provenance/compare/", tags.compare, name="compare"),
    path("provenance/clone/", tags.clone, name="clone_tag"),
    path("provenance/tags/<path:name>/", tags.tag, name="tag"),
    path("provenance/product/<str:kind>/<uuid:key>/", lineage.product, name="product"),
    path("provenance/<str:key>/", provenance.provenance, name="provenance"),
    path("provenance/<str:key>/tag/", tags.change, name="change_tag"),
    path("references/", references.reference_list, name="references"),
    path("references/<uuid:key>/", references.reference, name="reference"),
    path("calibrators/", references.calibrator_list, name="calibrators"),
    path("calibrators/<uuid:key>/", references.calibrator, name="calibrator"),
    path("fakes/", fakes.fake_list, name="fakes"),
    path("fakes/<uuid:key>/", fakes.fakes_of_image, name="fakes_of_image"),
    path("fakes/<uuid:key>/<int:index>/<str:plane>.png", fakes.place, name="fake_place"),
    path("images/<uuid:key>/", images.image, name="image"),
    path("images/<uuid:key>/<str:plane>.png", pictures.preview, name="preview"),
    path("stamps/<uuid:key>/<str:plane>.png", pictures.stamp, name="stamp"),
    path("files/<uuid:key>/", pictures.fits_file, name="fits"),
]
