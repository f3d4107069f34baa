"""Provenances and the tags that name sets of them."""

from __future__ import annotations

from collections.abc import Mapping
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
LANE = 7  # between arrows that run above the boxes
Arrow = tuple[str, str]  # provenance ids, upstream first


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
    """Columns by depth, upstream at the left; arrows that pass a column run above the boxes, which would hide them."""
    first = min(node.depth for node in graph.nodes.values())
    most = max(node.row for node in graph.nodes.values()) + 1
    tall = dict.fromkeys({node.depth for node in graph.nodes.values()}, 0)
    for node in graph.nodes.values():
        tall[node.depth] = max(tall[node.depth], node.row + 1)
    arrows = sorted((up, down) for up, down in graph.arrows if up in graph.nodes and down in graph.nodes)
    lanes = lanes_of({pair: (graph.nodes[pair[0]].depth, graph.nodes[pair[1]].depth) for pair in arrows})
    head = LANE * (max(lanes.values(), default=-1) + 1)
    places = {}
    for key, node in graph.nodes.items():
        x = (node.depth - first) * (BOX_WIDTH + GAP_X) + 2
        y = (node.row + (most - tall[node.depth]) / 2) * (BOX_HEIGHT + GAP_Y) + 2 + head
        places[key] = (x, y)
    curves = [
        _curve(places[up], places[down], head - LANE * (lanes[up, down] + 0.5) if (up, down) in lanes else None)
        for up, down in arrows
    ]
    boxes = [Box(graph.nodes[key].provenance, x, y, key == chosen) for key, (x, y) in places.items()]
    columns = max(node.depth for node in graph.nodes.values()) - first + 1
    return Drawing(
        boxes, curves, columns * (BOX_WIDTH + GAP_X) - GAP_X + 4, most * (BOX_HEIGHT + GAP_Y) - GAP_Y + 4 + head
    )


def lanes_of(arrows: Mapping[Arrow, tuple[int, int]]) -> dict[Arrow, int]:
    """Arrow (with the columns of its ends) → number of its lane above the boxes, for those that pass a column."""
    far = sorted((ends[1] - ends[0], ends, pair) for pair, ends in arrows.items() if ends[1] - ends[0] > 1)
    taken: list[list[tuple[int, int]]] = []
    lanes: dict[Arrow, int] = {}
    for _, (begin, end), pair in far:
        free = (i for i, lane in enumerate(taken) if all(end <= a or b <= begin for a, b in lane))
        lane = next(free, len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((begin, end))
        lanes[pair] = lane
    return lanes


def _curve(up: tuple[float, float], down: tuple[float, float], lane: float | None) -> str:
    """The path from the right side of a box to the left side of another, along the height `lane` where one is given."""
    a, b, c, d, half = up[0] + BOX_WIDTH, up[1] + BOX_HEIGHT / 2, down[0], down[1] + BOX_HEIGHT / 2, GAP_X / 2
    if lane is None:
        return f"M{a} {b}C{a + half} {b} {c - half} {d} {c} {d}"
    rise, fall = (
        f"C{a + half} {b} {a + half / 2} {lane} {a + GAP_X} {lane}",
        f"C{c - half / 2} {lane} {c - half} {d} {c} {d}",
    )
    return f"M{a} {b}{rise}H{c - GAP_X}{fall}"


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
