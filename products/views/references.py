"""References, and the sets that hold them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count, F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from products.filters.references import ReferenceFilter
from products.models import Image, Provenance, Reference, RefSet, ZeroPoint
from products.reference_coverage import covers
from products.selectors import references as selector
from products.views.paging import page_of

REFERENCE_SORTS = {
    "made": "created_at", "instrument": "instrument", "filter": "filter", "section": "section", "target": "target",
    "seeing": "seeing", "limit": "limit", "images": "n_images", "differences": "n_differences", "ra": "ra",
    "dec": "dec",
}  # fmt: skip
LISTED = 50  # images that used something, on its page


def sorted_by(rows: QuerySet, asked: str, sorts: dict[str, str]) -> tuple[QuerySet, str]:
    """Rows in the order asked for, what has no value last, and the name of the order; newest first otherwise."""
    asked = asked if asked.removeprefix("-") in sorts else "-made"
    field = F(sorts[asked.removeprefix("-")])
    order = field.desc(nulls_last=True) if asked.startswith("-") else field.asc(nulls_last=True)
    return rows.order_by(order, "pk"), asked


@require_safe
def reference_list(request: HttpRequest) -> HttpResponse:
    """References that fit, and the sets."""
    filters = ReferenceFilter(request.GET, selector.references(), request=request)
    rows, sort = sorted_by(filters.qs, request.GET.get("sort", ""), REFERENCE_SORTS)
    page = page_of(request, rows, 25)
    if place := filters.form.cleaned_data.get("position") if filters.form.is_valid() else None:
        at = Reference.objects.select_related(selector.IMAGE).in_bulk([row.pk for row in page])
        for row in page:
            [row.cover] = covers([at[row.pk]], *place)
    context = {
        "filters": filters,
        "sort": sort,
        "place": place,
        "page": page,
        "refsets": with_numbers(list(RefSet.objects.select_related("provenance").order_by("name"))),
        "total": Reference.objects.count(),
    }
    return render(request, "products/references.html", context)


def with_numbers(refsets: list[RefSet]) -> list[RefSet]:
    """Sets with their number of `references`, and those per filter in `bands`; one query."""
    rows = Reference.objects.filter(provenance__in=[row.provenance_id for row in refsets]).order_by("filter")
    bands: dict[str, dict[str, int]] = {}
    for provenance, band, n in rows.values_list("provenance", "filter").annotate(n=Count("pk")):
        bands.setdefault(provenance, {})[band] = n
    for row in refsets:
        row.bands = bands.get(row.provenance_id, {})
        row.references = sum(row.bands.values())
    return refsets


@require_safe
def reference(request: HttpRequest, key: UUID) -> HttpResponse:
    """One reference: its picture, what is in it, the sets that hold it, what was made with it."""
    found = get_object_or_404(selector.references(), pk=key)
    image = found.image
    parts = ZeroPoint.objects.filter(coadds=image).select_related("world_coordinates__sources__image__exposure")
    differences = Image.objects.filter(reference=found, kind=Image.Kind.DIFFERENCE).select_related("exposure")
    quality = Image.objects.values_list("quality", flat=True).get(pk=image.pk)
    parts = list(parts.defer("world_coordinates__header").order_by("world_coordinates__sources__image__mjd"))
    for part in parts:
        part.artefact_pixels = quality.get("artefact_pixels", {}).get(str(part.image))
    context: dict[str, Any] = {
        "reference": found,
        "left_out": selector.left_out(image.pk, quality),
        "fully_covered": quality.get("fully_covered"),
        "has_coverage": "median_images" in quality,
        "image": image,
        "zero_point": found.zero_point,
        "provenance": Provenance.objects.select_related("code_version").get(pk=found.provenance_id),
        "parts": parts,
        "refsets": list(RefSet.objects.filter(provenance=found.provenance_id)),
        "used_by": list(differences.defer("wcs", "quality", "corners").order_by("-mjd")[:LISTED]),
    }
    return render(request, "products/reference.html", context)
