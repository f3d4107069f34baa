"""Exposures: the list, one with its CCDs, and the report of a CCD."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from products.forms import ExposureSearch
from products.models import Exposure, Provenance, Report
from products.selectors import exposures as selector
from products.selectors.tags import ChosenTag, chosen_tag
from products.selectors.trace import exposure_by_name, science_image
from products.views.focal_plane import focal_plane
from products.views.paging import page_of

SORTS = {
    "name": "name",
    "mjd": "mjd",
    "target": "target",
    "time": "exposure_time",
    "airmass": "airmass",
    "project": "project",
}


@require_safe
def exposure_list(request: HttpRequest) -> HttpResponse:
    """Exposures by name, date, position, target and filter."""
    tag = chosen_tag(request)
    form, wanted = ExposureSearch.of(request.GET)
    sort = request.GET.get("sort", "-mjd")
    if sort.lstrip("-") not in SORTS:
        sort = "-mjd"
    rows = selector.search(tag, wanted).order_by(("-" if sort.startswith("-") else "") + SORTS[sort.lstrip("-")], "-pk")
    page = page_of(request, rows, 25)
    return render(
        request,
        "products/exposures.html",
        {
            "form": form,
            "sort": sort,
            "page": page,
            "rows": selector.overview(page.object_list, tag),
            "total": tag.narrow(Exposure.objects.all()).count(),
            "filters": sorted(
                set(
                    tag.narrow(Exposure.objects.exclude(filter=""))
                    .order_by()
                    .values_list("filter", flat=True)
                    .distinct()
                )
            ),
            "asked": any(value not in (None, "") for value in wanted.values()),
        },
    )


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
            "state": selector.overall(ccd.state for ccd in rows) if row.states else "ready",
            "ccds": rows,
            "plane": focal_plane(rows, by),
            "by": by,
            "before": before,
            "after": after,
            "attempts": attempts.order_by("-started_at")[:100],
            "header": sorted(found.header.items()),
        },
    )


@require_safe
def report(request: HttpRequest, name: str, section: str) -> HttpResponse:
    """What happened to a CCD: the latest attempt of the tag, or the one that the address asks for."""
    tag = chosen_tag(request)
    found = exposure_or_404(name, tag)
    attempts = list(Report.objects.filter(exposure=found, section=section).order_by("-started_at"))
    if not attempts:
        raise Http404(f"{name} {section} has not been processed.")
    asked = request.GET.get("attempt", "")
    chosen = next((row for row in attempts if str(row.attempt) == asked), None)
    if asked and chosen is None:
        raise Http404(f"{name} {section} has no attempt {asked}.")
    chosen = chosen or next((row for row in attempts if tag.owns(row)), attempts[0])
    known = set(Provenance.objects.filter(pk__in=chosen.provenances.values()).values_list("pk", flat=True))
    slowest = max((step.get("seconds") or 0 for step in chosen.steps), default=0) or 1
    steps = [
        {
            **step,
            "part": 100 * (step.get("seconds") or 0) / slowest,
            "failed": step["name"] == chosen.error_step,
            "provenance": chosen.provenances.get(step["name"], ""),
        }
        for step in chosen.steps
    ]
    return render(
        request,
        "products/report.html",
        {
            "exposure": found,
            "section": section,
            "has_image": science_image(found, section, tag) is not None,
            "report": chosen,
            "attempts": attempts,
            "steps": steps,
            "known": known,
            "ticks": selector.ticks(chosen),
            "cpu": sum(step.get("cpu_seconds") or 0 for step in chosen.steps),
            "peak": max((step.get("peak_mb") or 0 for step in chosen.steps), default=None),
            "unreached": [step for step in chosen.plan if step not in (*chosen.reached, chosen.error_step)],
            "outside": chosen.error_step and chosen.error_step not in chosen.reached,
        },
    )
