"""Exposures: the list, and one with its CCDs."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from products.filters.exposures import ExposureFilter
from products.models import Exposure, Report
from products.selectors import exposures as selector
from products.selectors import fakes, states
from products.selectors.tags import ChosenTag, chosen_tag
from products.selectors.trace import exposure_by_name
from products.views.focal_plane import focal_plane
from products.views.paging import ordering, page_of, sort_of

SORTS = {
    "name": "name",
    "mjd": "mjd",
    "target": "target",
    "time": "exposure_time",
    "airmass": "airmass",
    "project": "project",
}
FIGURES = ("seeing", "limit", "detected", "kept")  # sorted by only when asked: they are sums over CCDs


@require_safe
def exposure_list(request: HttpRequest) -> HttpResponse:
    """Exposures by what their headers say and what came of them."""
    tag = chosen_tag(request)
    everything = tag.narrow(Exposure.objects.defer(*selector.NOT_LISTED))
    found = ExposureFilter(request.GET, queryset=everything, request=request)
    sort = sort_of(request, {*SORTS, *FIGURES}, "-mjd")
    state, band = found.wanted.get("state", ""), found.wanted.get("filter", "")
    choices = states.choices(in_order(found.without("state", "filter"), sort, tag), tag, state, band)
    page = page_of(request, choices.keys, 25)
    rows = everything.in_bulk(page.object_list)
    return render(
        request,
        "products/exposures.html",
        {
            "form": found.form,
            "sort": sort,
            "page": page,
            "rows": selector.overview([rows[key] for key in page.object_list], tag),
            "total": everything.count(),
            "states": [(name, choices.states[name], name == state) for name in states.STATES],
            "filters": [
                (name, choices.filters[name], name == band) for name in sorted({*choices.filters, band} - {""})
            ],
            "projects": names_of(everything, "project"),
            "instruments": names_of(everything, "instrument"),
            "asked": found.is_narrowed,
            "nearest": [] if page.object_list else selector.nearest(everything, found.wanted),
        },
    )


def in_order(rows: QuerySet[Exposure], sort: str, tag: ChosenTag) -> QuerySet[Exposure]:
    """Sorted by a column of the table."""
    name = sort.removeprefix("-")
    if name in FIGURES:
        return states.with_figures(rows, tag, name).order_by(*ordering(sort, name))
    return rows.order_by(*ordering(sort, SORTS[name]))


def names_of(rows: QuerySet[Exposure], field: str) -> list[str]:
    """What stands in a column, each once."""
    return list(rows.exclude(**{field: ""}).order_by(field).values_list(field, flat=True).distinct())


def exposure_or_404(name: str, tag: ChosenTag) -> Exposure:
    """The exposure called `name`."""
    found = exposure_by_name(name, tag)
    if found is None:
        raise Http404(f"There is no exposure called {name}.")
    return found


@require_safe
def exposure(request: HttpRequest, name: str) -> HttpResponse:
    """One exposure: facts, focal plane, CCDs, attempts."""
    tag = chosen_tag(request)
    found = exposure_or_404(name, tag)
    rows = selector.ccds(found, tag)
    by = request.GET.get("by", "state")
    (row,) = selector.overview([found], tag)
    before, after = selector.neighbours(found, tag)
    attempts = Report.objects.filter(exposure=found).defer("traceback", "error_details")
    return render(
        request,
        "products/exposure.html",
        {
            "exposure": found,
            "row": row,
            "ccds": rows,
            "plane": focal_plane(rows, by),
            "by": by,
            "before": before,
            "after": after,
            "fakes": fakes.of_exposure(found, tag),
            "attempts": attempts.order_by("-started_at")[:100],
            "header": sorted(found.header.items()),
        },
    )
