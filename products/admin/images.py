"""Exposures, images and what was found in them; reports of their processing."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from products.admin.base import RowAdmin, link_to, links_to, on_site
from products.admin.marking import ProductAdmin
from products.models import (
    PSF,
    Background,
    CatalogCell,
    CatalogExcerpt,
    Exposure,
    Image,
    ProvenanceSet,
    Reference,
    Report,
    SourceList,
)


@admin.register(Exposure)
class ExposureAdmin(ProductAdmin):
    list_display = ["name", "kind", "instrument", "filter", "mjd", "exposure_time", "target", "badness_shown"]
    list_filter = ["kind", "instrument", "telescope", "filter", "project"]
    search_fields = ["name", "target"]
    view_on_site = on_site("exposure", "name")


@admin.register(Image)
class ImageAdmin(ProductAdmin):
    list_display = ["__str__", "kind", "instrument", "section", "filter", "mjd", "fwhm", "badness_shown"]
    list_filter = ["kind", "instrument", "filter", "section"]
    search_fields = ["exposure__name", "section", "target"]
    readonly_fields = ["stack_of", "calibrated_with", "raw_frames"]
    list_select_related = ["exposure"]
    view_on_site = on_site("image", "pk")

    @admin.display(description="stack of")
    def stack_of(self, row: Image) -> SafeString | str:
        """The images in a coadd."""
        parts = row.components.select_related("world_coordinates__sources__image__exposure")
        return links_to_images(parts)

    @admin.display(description="calibrated with")
    def calibrated_with(self, row: Image) -> SafeString | str:
        """Bias, flat and the like that were applied."""
        return links_to(row.calibrators.order_by("kind"))

    @admin.display(description="raw frames in it")
    def raw_frames(self, row: Image) -> SafeString | str:
        """Exposures in a master frame."""
        return links_to(row.raw_exposures.order_by("mjd"))


def links_to_images(zero_points: models.QuerySet) -> SafeString | str:
    """Links to calibrated images."""
    return format_html_join(mark_safe("<br>"), "{}", ((link_to(part.image),) for part in zero_points)) or "–"


@admin.register(SourceList)
class SourceListAdmin(ProductAdmin):
    image_path = "image"
    list_display = ["short_id", "kind", "of_image", "n_sources", "n_stars", "provenance", "badness_shown"]
    list_filter = ["kind"]


@admin.register(PSF)
class PSFAdmin(ProductAdmin):
    image_path = "sources__image"
    list_display = ["short_id", "of_image", "fwhm_pixels", "n_stars", "chi2", "provenance", "badness_shown"]


@admin.register(Background)
class BackgroundAdmin(ProductAdmin):
    image_path = "sources__image"
    list_display = ["short_id", "of_image", "value", "noise", "provenance", "badness_shown"]


@admin.register(Reference)
class ReferenceAdmin(ProductAdmin):
    image_path = "zero_point__world_coordinates__sources__image"
    list_display = ["short_id", "of_image", "instrument", "filter", "section", "target", "provenance", "badness_shown"]
    list_filter = ["instrument", "filter"]
    search_fields = ["target", "section"]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [kept for kept in super().get_list_filter(request) if not str(kept).startswith(self.image_path)]


@admin.register(CatalogExcerpt)
class CatalogExcerptAdmin(ProductAdmin):
    list_display = [
        *("short_id", "origin", "place", "ra", "dec", "radius", "n_stars", "limit", "epoch", "badness_shown")
    ]
    list_filter = ["origin", "order"]
    search_fields = ["origin", "=cell"]

    @admin.display(description="cell")
    def place(self, row: CatalogExcerpt) -> str:
        """Order and number of its HEALPix cell."""
        return row.place or "–"


@admin.register(CatalogCell)
class CatalogCellAdmin(RowAdmin):
    list_display = ["short_id", "origin", "place", "limit", "node", "lease_expires", "failures", "last_error"]
    list_filter = ["origin"]
    search_fields = ["origin", "=cell", "last_error"]

    @admin.display(description="cell")
    def place(self, row: CatalogCell) -> str:
        """Order and number."""
        return f"{row.order}/{row.cell}"


@admin.register(ProvenanceSet)
class ProvenanceSetAdmin(RowAdmin):
    list_display = ["key", "members"]
    search_fields = ["key"]


@admin.register(Report)
class ReportAdmin(RowAdmin):
    list_display = [
        *("exposure", "image", "section", "attempt", "state", "error_step", "error_type", "tag", "node", "started_at")
    ]
    list_display_links = ["exposure", "image", "section"]
    list_filter = ["state", "error_step", "tag", "cluster", "exposure__instrument"]
    list_select_related = ["exposure", "image__exposure"]
    search_fields = ["exposure__name", "error_message", "error_type"]
    date_hierarchy = "started_at"
    hidden = ("steps",)
    readonly_fields = ["times"]

    @admin.display(description="steps")
    def times(self, row: Report) -> SafeString | str:
        """Name, seconds, memory and what was counted, one line a step."""
        lines = [
            (
                step.get("name", ""),
                f"{step.get('seconds', 0):.2f} s",
                f"{step.get('peak_mb') or 0:.0f} MB",
                ", ".join(f"{key} {value}" for key, value in step.get("counts", {}).items()),
                "; ".join(step.get("warnings", [])),
            )
            for step in row.steps
        ]
        cells = format_html_join("", "<tr>" + "<td>{}</td>" * 5 + "</tr>", lines)
        return format_html("<table>{}</table>", cells) if lines else "–"
