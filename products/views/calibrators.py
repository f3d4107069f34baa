"""Calibrators: the list, and one with its figures, its picture, what it was made of and what used it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from products.calibrator_figures import figures_of
from products.errors import ArchiveError
from products.figures import pixel_figures
from products.filters.calibrators import CalibratorFilter
from products.models import CalibratorFile
from products.selectors import references as selector
from products.views.calibrator_plots import coefficients, linearity_plot
from products.views.paging import page_of
from products.views.references import LISTED, sorted_by

SORTS = {
    "made": "created_at", "kind": "kind", "set": "calibrator_set", "instrument": "instrument", "section": "section",
    "filter": "filter", "from": "valid_from", "to": "valid_to", "frames": "frames", "used": "used",
}  # fmt: skip
SHOWN = 200  # rows of a table of coefficients


@require_safe
def calibrator_list(request: HttpRequest) -> HttpResponse:
    """Calibrators that fit."""
    filters = CalibratorFilter(request.GET, selector.calibrators(), request=request)
    rows, sort = sorted_by(filters.qs, request.GET.get("sort", ""), SORTS)
    page = page_of(request, rows, 50)
    for row in page:
        row.n_frames = row.frames or row.quality.get("frames")  # tables have no list of their frames
    context = {"filters": filters, "sort": sort, "page": page}
    return render(request, "products/calibrators.html", context)


@require_safe
def calibrator(request: HttpRequest, key: UUID) -> HttpResponse:
    """One calibrator."""
    found = get_object_or_404(
        selector.calibrators().select_related("image__provenance", "data_file__provenance", "superseded_by"), pk=key
    )
    image = found.image
    used_by = found.images.select_related("exposure").defer("wcs", "quality", "corners")
    context = {
        "calibrator": found,
        "image": image,
        "file": found.file,
        "quality": figures_of(found.kind, found.quality),
        "rejected": sorted(found.rejected.items()),
        "raw": list(found.file.raw_exposures.order_by("mjd").defer("header")[:LISTED]),
        "used_by": list(used_by.order_by("-mjd")[:LISTED]),
        "supersedes": list(found.supersedes.order_by("-created_at")[:10]),
        "successors": list(selector.successors(found)[:10]) if found.superseded_by_id is None else [],
        **_contents(found),
    }
    return render(request, "products/calibrator.html", context)


def _contents(row: CalibratorFile) -> dict[str, Any]:
    """Numbers and plots from the file; the reason where it cannot be read."""
    try:
        if row.image is not None:
            return {"figures": pixel_figures(row.image.as_kind())}
        table = row.data_file.table
        if table is None:
            return {}
        if row.kind == CalibratorFile.Kind.LINEARITY:
            return {"plot": linearity_plot(table, row.quality)}
        if row.kind == CalibratorFile.Kind.CROSSTALK:
            return {"coefficients": coefficients(table)[:SHOWN], "n_coefficients": len(table)}
    except (ArchiveError, OSError, KeyError) as error:
        return {"trouble": f"its file cannot be shown: {error}"}
    return {}
