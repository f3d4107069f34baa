"""Django's admin as SeeChange's: its titles, tags on top, models in the order in which data flow."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import apps
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

# Tags first, then along the pipeline; models that are not named follow in alphabetical order.
ORDER = (
    "ProvenanceTag", "Provenance", "RefSet", "CodeVersion", "Exposure", "Report", "ProvenanceSet", "Image",
    "SourceList", "PSF", "Background", "WorldCoordinates", "ZeroPoint", "Reference", "Cutouts", "MeasurementSet",
    "Measurement", "Object", "ObjectPosition", "ObjectName", "Label", "DeepScoreSet", "DeepScore", "KnownObjectSet",
    "KnownObject", "TrackletSet", "Tracklet", "AlertBatch", "Alert", "AlertEvent", "FakeSet", "FakeAnalysis",
    "CalibratorFile", "DataFile", "CatalogExcerpt", "CatalogCell", "OrbitCatalog", "KnownExposure",
    "PipelineWorker", "Watch", "Policy", "ClaimEvent",
)  # fmt: skip
APPS = ("products", "conductor", "auth", "seechange_site")


class SeeChangeAdmin(admin.AdminSite):
    """The admin at /admin/."""

    site_header = "SeeChange administration"
    site_title = "SeeChange"
    index_title = "The archive and who may change it"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        found = super().get_app_list(request, app_label)
        for app in found:
            app["models"].sort(key=lambda model: _place(model["object_name"], ORDER))
        return sorted(found, key=lambda app: _place(app["app_label"], APPS))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one way to log in; whoever is logged in and not of the staff is told so."""
        from django.contrib.auth.views import redirect_to_login  # needs models, which are not loaded yet above

        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The index, with the tags on top for those who may see them."""
        from products.selectors.tags import tag_rows  # models are not loaded yet when this module is

        seen = request.user.has_perm("products.view_provenancetag") or request.user.has_perm(
            "products.change_provenancetag"
        )
        return super().index(
            request, {**(extra_context or {}), "tags": tag_rows().order_by("-changed", "tag") if seen else None}
        )


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)


class AdminConfig(apps.AdminConfig):
    """The admin app with this site as the default one."""

    default_site = "seechange_site.admin_site.SeeChangeAdmin"
