"""The trace: what happened at a position."""

from __future__ import annotations

import math

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from products.forms import TraceForm
from products.selectors.candidates import source
from products.selectors.tags import chosen_tag
from products.selectors.trace_steps import steps
from products.selectors.tracing import Place, trace_at, verdict

DEFAULT_RADIUS = 2.0  # arcsec
MOST_SHOWN = 200  # images in the table


@require_safe
def trace(request: HttpRequest) -> HttpResponse:
    """Which images cover a position, what each saw there, and what stopped it."""
    tag = chosen_tag(request)
    form, wanted = TraceForm.of(request.GET)
    context: dict[str, object] = {"form": form, "radius": wanted.get("radius") or DEFAULT_RADIUS}
    if wanted.get("position"):
        start, end = wanted.get("start"), wanted.get("end")
        if wanted.get("night") is not None:
            start = math.floor(wanted["night"]) + 0.5
            end = start + 1
        place = Place(*wanted["position"], context["radius"], start, end)
        found = trace_at(place, tag)
        one = found.chosen(request.GET.get("image", "")[:200])
        headline, more = verdict(found)
        row = one.nearest if one else None
        context |= {
            "place": place, "trace": found, "shown": found.coverings[:MOST_SHOWN], "chosen": one,
            "steps": steps(one, place, tag) if one else [], "headline": headline, "more": more, "row": row,
            "source": source(row) if row else None, "is_told": bool(one and one.is_told),
        }  # fmt: skip
    return render(request, "products/trace.html", context)
