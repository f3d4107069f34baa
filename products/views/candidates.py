"""Candidates: look through them, say what they are."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from products.forms import CandidateSearch, LabelForm
from products.models import Exposure, Label, Measurement
from products.selectors import candidates as selector
from products.selectors.tags import chosen_tag
from products.views.paging import page_of

SORTS = {
    "-mjd": "time, newest first",
    "mjd": "time, oldest first",
    "-score": "score, best first",
    "score": "score, worst first",
    "-snr": "S/N, highest first",
    "magnitude": "magnitude, brightest first",
}


@require_safe
def candidate_list(request: HttpRequest) -> HttpResponse:
    """Candidates with their stamps, filtered and sorted."""
    tag = chosen_tag(request)
    form, wanted = CandidateSearch.of(request.GET)
    show = wanted.get("show") or "kept"
    sort = request.GET.get("sort", "-mjd")
    sort = sort if sort in SORTS else "-mjd"
    person = request.user
    base = selector.labelled(selector.search(tag, wanted), wanted.get("label", ""), person)
    any_filter = base
    if wanted.get("filter"):
        any_filter = selector.labelled(selector.search(tag, wanted | {"filter": ""}), wanted.get("label", ""), person)
    shown = {"kept": {"is_bad": False}, "cut": {"is_bad": True}, "all": {}}[show]
    found = selector.counts(base, any_filter.filter(**shown))
    page = page_of(request, selector.ordered(selector.with_source(base.filter(**shown)), sort), 24)
    return render(
        request,
        "products/candidates.html",
        {
            "form": form,
            "within": Exposure.objects.filter(name=wanted.get("exposure") or "").values_list("name", flat=True).first(),
            "show": show,
            "sort": sort,
            "sorts": SORTS,
            "counts": found,
            "shows": [("kept", found.kept), ("cut", found.cut), ("all", found.kept + found.cut)],
            "page": page,
            "rows": selector.candidates(list(page.object_list), person),
            "verdicts": Label.Verdict.choices,
        },
    )


@require_POST
@login_required
def label(request: HttpRequest, key: UUID) -> HttpResponse:
    """Keep, change or take back what the person says of a measurement."""
    measurement = get_object_or_404(Measurement.objects.only("pk"), pk=key)
    form = LabelForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"error": form.errors["verdict"][0]}, status=400)
    verdict = form.cleaned_data["verdict"]
    if verdict:
        Label.objects.update_or_create(measurement=measurement, person=request.user, defaults={"verdict": verdict})
    else:
        Label.objects.filter(measurement=measurement, person=request.user).delete()
    if request.headers.get("Accept", "").startswith("application/json"):
        return JsonResponse({"verdict": verdict})
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else "candidates")
