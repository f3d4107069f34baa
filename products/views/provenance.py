"""Provenances and the tags that name sets of them."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.paginator import Page
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from products.models import Provenance
from products.selectors import tags as selector
from products.selectors.trace import Graph, provenance_graph
from products.views.paging import page_of

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 132, 38, 54, 12


@require_safe
def provenance_list(request: HttpRequest) -> HttpResponse:
    """Tags, and all provenances by process."""
    rows = Provenance.objects.select_related("code_version").prefetch_related("tags")
    process = request.GET.get("process", "")
    if process:
        rows = rows.filter(process=process)
    page: Page = page_of(request, rows.order_by("process", "-created_at"), 50)
    processes = Provenance.objects.order_by("process").values_list("process").annotate(n=Count("pk"))
    context = {"tag_rows": list(selector.tag_rows()), "page": page, "processes": list(processes), "process": process}
    return render(request, "products/provenances.html", context)


@dataclass(frozen=True)
class Box:
    """A provenance in the drawing."""

    provenance: Provenance
    x: float
    y: float
    chosen: bool


@dataclass(frozen=True)
class Drawing:
    """The graph as boxes and curves."""

    boxes: list[Box]
    curves: list[str]
    width: float
    height: float


def drawing_of(graph: Graph, chosen: str) -> Drawing:
    """Columns by depth, upstream at the left."""
    first = min(node.depth for node in graph.nodes.values())
    most = max(node.row for node in graph.nodes.values()) + 1
    tall = dict.fromkeys({node.depth for node in graph.nodes.values()}, 0)
    for node in graph.nodes.values():
        tall[node.depth] = max(tall[node.depth], node.row + 1)
    places = {}
    for key, node in graph.nodes.items():
        x = (node.depth - first) * (BOX_WIDTH + GAP_X) + 2
        y = (node.row + (most - tall[node.depth]) / 2) * (BOX_HEIGHT + GAP_Y) + 2
        places[key] = (x, y)
    curves = []
    for up, down in sorted(graph.arrows):
        if up in places and down in places:
            (x1, y1), (x2, y2) = places[up], places[down]
            a, b, half = x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2, GAP_X / 2
            curves.append(f"M{a} {b}C{a + half} {b} {x2 - half} {y2 + BOX_HEIGHT / 2} {x2} {y2 + BOX_HEIGHT / 2}")
    boxes = [Box(graph.nodes[key].provenance, x, y, key == chosen) for key, (x, y) in places.items()]
    columns = max(node.depth for node in graph.nodes.values()) - first + 1
    return Drawing(boxes, curves, columns * (BOX_WIDTH + GAP_X) - GAP_X + 4, most * (BOX_HEIGHT + GAP_Y) - GAP_Y + 4)


@require_safe
def provenance(request: HttpRequest, key: str) -> HttpResponse:
    """One provenance: code, parameters, what carries it, and the graph around it."""
    found = get_object_or_404(Provenance.objects.select_related("code_version").prefetch_related("tags"), pk=key)
    return render(
        request,
        "products/provenance.html",
        {
            "provenance": found,
            "parameters": selector.flat(found.parameters),
            "products": sorted(selector.product_counts([key])[key].items()),
            "drawing": drawing_of(provenance_graph(found), key),
            "box": {"width": BOX_WIDTH, "height": BOX_HEIGHT},
        },
    )


@require_safe
def tag(request: HttpRequest, name: str) -> HttpResponse:
    """The provenances of one tag, with their parameters and how many products carry each."""
    rows = selector.contents(name)
    if not rows:
        raise Http404(f"There is no tag called {name}.")
    return render(request, "products/tag.html", {"name": name, "rows": rows, "tag_rows": list(selector.tag_rows())})


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """Two tags side by side."""
    known = [row["tag"] for row in selector.tag_rows()]
    a, b = request.GET.get("a", ""), request.GET.get("b", "")
    missing = [name for name in (a, b) if name and name not in known]
    found = selector.compare(a, b) if a and b and not missing else None
    context = {"known": known, "a": a, "b": b, "missing": missing, "found": found}
    if found:
        context["products"] = [(kind, x, y, y - x) for kind, x, y in found.products]
        context["same_all"] = all(row.same for row in found.processes)
    return render(request, "products/compare.html", context)
