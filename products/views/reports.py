"""Reports: what happened to one CCD, and the search across all exposures."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from products.filters.reports import ReportFilter
from products.models import Provenance, Report
from products.selectors import exposures as selector
from products.selectors import reports
from products.selectors.tags import chosen_tag
from products.selectors.trace import science_image
from products.views.exposures import exposure_or_404
from products.views.paging import ordering, page_of, sort_of

SORTS = {
    "started": "started_at",
    "exposure": "exposure__name",
    "ccd": "section",
    "attempt": "attempt",
    "node": "node",
    "state": "state",
    "error": "error_type",
}
MOST_ERRORS = 24  # kinds of errors that are counted above the list


@require_safe
def report_list(request: HttpRequest) -> HttpResponse:
    """Attempts at CCDs across exposures, and how often each error stopped them."""
    found = ReportFilter(request.GET, queryset=Report.objects.all(), request=request)
    sort = sort_of(request, SORTS, "-started")
    rows = found.qs.order_by(*ordering(sort, SORTS[sort.removeprefix("-")]))
    page = page_of(request, rows.select_related("exposure").defer(*reports.NOT_LISTED), 50)
    wanted = found.wanted
    counts = reports.state_counts(found.without("state"))
    chosen = (wanted.get("step"), wanted.get("error_type"))
    errors = reports.error_counts(found.without("step", "error_type"))
    return render(
        request,
        "products/reports.html",
        {
            "form": found.form,
            "sort": sort,
            "page": page,
            "rows": [(row, selector.ticks(row)) for row in page.object_list],
            "states": [(name, counts[name], name == wanted.get("state")) for name in Report.State.values],
            "errors": [(step, error, n, (step, error) == chosen) for step, error, n in errors[:MOST_ERRORS]],
            "more_errors": max(0, len(errors) - MOST_ERRORS),
            "asked": found.is_narrowed,
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
