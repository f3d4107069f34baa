"""Provenances: all of them, and one with what it came from and what came of it."""

from __future__ import annotations

from django.core.paginator import Page
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from products.filters.provenances import ProvenanceFilter
from products.models import Provenance
from products.selectors import tags as selector
from products.selectors.provenances import bad_provenances
from products.selectors.trace import provenance_graph
from products.views.graphs import Cell, Drawing, drawing_of
from products.views.paging import page_of

SORTS = {"process": "process", "made": "created_at", "id": "pk"}


@require_safe
def provenance_list(request: HttpRequest) -> HttpResponse:
    """Tags, and provenances by process, id, tag and mark."""
    rows = Provenance.objects.select_related("code_version", "replaced_by").prefetch_related("tags")
    filters = ProvenanceFilter(request.GET, rows, request=request)
    sort = request.GET.get("sort", "process")
    sort = sort if sort.removeprefix("-") in SORTS else "process"
    field = SORTS[sort.removeprefix("-")]
    found = filters.qs.distinct().order_by(f"-{field}" if sort.startswith("-") else field, "-created_at", "pk")
    page: Page = page_of(request, found, 50)
    processes = Provenance.objects.order_by("process").values_list("process").annotate(n=Count("pk"))
    context = {
        "tag_rows": list(selector.tag_rows()),
        "filters": filters,
        "page": page,
        "sort": sort,
        "processes": list(processes),
        "process": filters.wanted.get("process", ""),
    }
    return render(request, "products/provenances.html", context)


def drawing_around(chosen: Provenance) -> Drawing:
    """Everything upstream and downstream of a provenance."""
    graph = provenance_graph(chosen)
    cells = {}
    for key, node in sorted(graph.nodes.items(), key=lambda pair: pair[1].row):
        row, version = node.provenance, node.provenance.code_version
        cells[key] = Cell(
            title=f"{row.process} {version.major}.{version.minor}",
            text=f"{key[:10]}{' outdated' if row.is_outdated else ''}",
            column=node.depth,
            address=reverse("provenance", args=[key]),
            hint=f"{row.process} {key}",
            state="bad" if row.is_bad else "",
            is_chosen=key == chosen.pk,
        )
    return drawing_of(cells, graph.arrows)


@require_safe
def provenance(request: HttpRequest, key: str) -> HttpResponse:
    """One provenance: code, parameters, what carries it, and the graph around it."""
    rows = Provenance.objects.select_related("code_version", "replaced_by").prefetch_related("tags")
    found = get_object_or_404(rows, pk=key)
    counts = selector.product_counts([key])[key]
    return render(
        request,
        "products/provenance.html",
        {
            "provenance": found,
            "parameters": selector.flat(found.parameters),
            "products": sorted(counts.items()),
            "upstreams": list(found.upstreams.select_related("code_version").order_by("process")),
            "downstreams": list(
                found.downstreams.select_related("code_version").order_by("process", "created_at")[:50]
            ),
            "bad_above": bad_provenances([key]) if not found.is_bad else [],
            "refsets": list(found.refsets.all()),
            "drawing": drawing_around(found),
        },
    )
