"""Candidates: look through them, say what they are."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from products.filters.measurements import SAID, MeasurementFilter
from products.forms import LabelForm
from products.models import Exposure, Label, Measurement
from products.selectors import candidates as selector
from products.selectors.facets import facets
from products.selectors.tags import chosen_tag
from products.selectors.training import training_set
from products.services.labelling import say
from products.views.downloads import table_file
from products.views.paging import page_of

SORTS = {
    "-mjd": "time, newest first",
    "mjd": "time, oldest first",
    "-score": "score, best first",
    "score": "score, worst first",
    "-snr": "S/N, highest first",
    "magnitude": "magnitude, brightest first",
    "ra": "right ascension",
    "dec": "declination",
}
PER_PAGE = 24


def filtered(request: HttpRequest, **defaults: str) -> MeasurementFilter:
    """The filters of an address, with what it leaves out taken from `defaults`."""
    asked = request.GET.copy()
    for name, value in defaults.items():
        if not asked.get(name):
            asked[name] = value
    return MeasurementFilter(asked, queryset=selector.measured(chosen_tag(request)), request=request)


@require_safe
def candidate_list(request: HttpRequest) -> HttpResponse:
    """Candidates with their stamps, filtered and sorted."""
    chosen = filtered(request, show="kept")
    sort = request.GET.get("sort", "-mjd")
    sort = sort if sort in SORTS else "-mjd"
    counted = facets(chosen)
    rows = selector.InOrder(selector.ordered(chosen.qs, sort, chosen.tag), chosen.tag, counted.passing)
    page = page_of(request, rows, PER_PAGE)
    wanted = chosen.wanted
    return render(
        request,
        "products/candidates.html",
        {
            "form": chosen.form,
            "within": Exposure.objects.filter(name=wanted.get("exposure", "")).values_list("name", flat=True).first(),
            "show": wanted.get("show", "kept"),
            "sort": sort,
            "sorts": SORTS,
            "facets": counted,
            "more": any(name in wanted for name in MORE),
            "page": page,
            "rows": selector.candidates(list(page.object_list), request.user),
            "said": SAID,
            "mine": _labelled_by(request, chosen, counted.passing),
        },
    )


# Filters that stand in a fold of their own: it is open where one of them is used.
MORE = ("exposure", "section", "night", "start", "end", "position", "radius", "object", "negative", "by")


def _labelled_by(request: HttpRequest, chosen: MeasurementFilter, passing: int) -> dict[str, int] | None:
    """How many of what passes the person has labelled."""
    if not request.user.is_authenticated or not passing:
        return None
    own = Label.objects.order_by().filter(person=request.user).values("measurement")
    done = chosen.qs.filter(pk__in=own).count()
    return {"done": done, "of": passing, "percent": round(100 * done / passing)}


@require_safe
def labels(request: HttpRequest, ending: str) -> HttpResponse:
    """The labels of the chosen candidates (kept and cut ones without `show`) as a training set."""
    chosen = filtered(request)
    return table_file(training_set(chosen.qs, chosen.tag), "labels", ending)


may_label = permission_required("products.add_label", raise_exception=True)


@require_POST
@login_required
@may_label
def label(request: HttpRequest, key: UUID) -> HttpResponse:
    """Keep, change or take back what the person says of a measurement."""
    get_object_or_404(Measurement.objects.only("pk"), pk=key)
    asked = request.POST.copy()
    asked.setlist("measurement", [str(key)])
    return _say(request, asked)


@require_POST
@login_required
@may_label
def label_many(request: HttpRequest) -> HttpResponse:
    """The same of many measurements at once."""
    return _say(request, request.POST)


def _say(request: HttpRequest, asked: QueryDict) -> HttpResponse:
    form = LabelForm(asked)
    if not form.is_valid():
        name, errors = next(iter(form.errors.items()))
        return JsonResponse({"error": errors[0], "field": name}, status=400)
    verdict, keys = form.cleaned_data["verdict"], form.cleaned_data["measurement"]
    number = say(request.user, keys, verdict)
    if request.headers.get("Accept", "").startswith("application/json"):
        return JsonResponse({"verdict": verdict, "measurements": number})
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else "candidates")
