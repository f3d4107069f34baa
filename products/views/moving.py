"""Tracklets: look through them, and one with what it links."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from products.dates import date_of_mjd
from products.filters.moving import TrackletFilter
from products.models import Tracklet
from products.selectors import candidates, moving
from products.selectors.tags import ChosenTag, chosen_tag
from products.views.paging import ordering, page_of, sort_of

SORTS = {
    "mjd": "mjd", "detections": "n_detections", "rate": "rate", "angle": "position_angle", "residual": "residual",
    "magnitude": "magnitude", "ra": "ra", "dec": "dec", "known": "known_as",
}  # fmt: skip


@require_safe
def tracklet_list(request: HttpRequest) -> HttpResponse:
    """Tracklets by night, motion and place."""
    everything = moving.tracklets(chosen_tag(request))
    filters = TrackletFilter(request.GET, queryset=everything, request=request)
    sort = sort_of(request, SORTS, "-mjd")
    context = {
        "filters": filters,
        "sort": sort,
        "page": page_of(request, filters.qs.order_by(*ordering(sort, SORTS[sort.removeprefix("-")])), 50),
        "total": everything.count(),
    }
    return render(request, "products/tracklets.html", context)


@require_safe
def tracklet(request: HttpRequest, key: UUID) -> HttpResponse:
    """One tracklet: how it moves, what it links, what is expected by chance."""
    found = get_object_or_404(Tracklet.objects.select_related("tracklet_set"), pk=key)
    made = found.tracklet_set
    rows = list(candidates.with_source(found.measurements.all()).order_by("mjd", "pk"))
    moving.with_known(rows, ChosenTag("", frozenset()))
    context = {
        "tracklet": found,
        "made": made,
        "night": date_of_mjd(made.night).date(),
        "hours": 24 * (found.mjd_last - found.mjd_first),
        "chance": made.chance.get(str(min(found.n_detections, max(map(int, made.chance), default=0)))),
        "members": [(row, candidates.source(row)) for row in rows],
    }
    return render(request, "products/tracklet.html", context)
