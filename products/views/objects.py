"""Objects: the list, and one with its light curve."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import cached_property
from django.views.decorators.http import require_POST, require_safe

from products import sky
from products.filters.objects import ObjectFilter
from products.models import Alert, DeepScore, Measurement, Object, Report
from products.selectors import candidates, forced, lightcurves, moving
from products.selectors.tags import ChosenTag, chosen_tag
from products.services.marking import mark_object
from products.views.downloads import table_file
from products.views.lightcurve_plot import numbers, plot_of
from products.views.paging import page_of

SORTS = ("name", "ra", "dec", "first_seen", "last_seen", "n_measurements")
MOST_COUNTED = 10_000  # objects; beyond it a list says "more than"
NEIGHBOURS = 30.0  # arcsec
IN_STRIP = 40


class Capped(Paginator):
    """Pages of at most MOST_COUNTED rows: nobody turns to the thousandth page, and counting all of them takes time."""

    @cached_property
    def count(self) -> int:
        return self.object_list[:MOST_COUNTED].count()


def under(tag: ChosenTag) -> QuerySet[Object]:
    """Objects with a measurement under the tag."""
    if not tag.ids:
        return Object.objects.all()
    seen = Measurement.objects.filter(object=OuterRef("pk"), measurement_set__provenance__in=tag.ids)
    return Object.objects.filter(Exists(seen))


@require_safe
def object_list(request: HttpRequest) -> HttpResponse:
    """Objects by name and by cone."""
    tag = chosen_tag(request)
    asked = request.GET.copy()
    asked["show"] = asked.get("show") or "kept"
    chosen = ObjectFilter(asked, queryset=under(tag), request=request)
    place = chosen.place
    sort = request.GET.get("sort", "separation" if place else "-last_seen")
    sort = sort if sort.lstrip("-") in SORTS or (place and sort == "separation") else "-last_seen"
    page = page_of(request, chosen.qs.order_by("haversine" if sort == "separation" else sort, "name"), 50, Capped)
    rows = list(page.object_list)
    if place:
        for row in rows:
            row.separation_arcsec = float(sky.separation(*place, row.ra, row.dec)) * 3600
    return render(
        request,
        "products/objects.html",
        {
            "form": chosen.form,
            "wanted": chosen.wanted,
            "place": place,
            "radius": chosen.radius_arcsec,
            "sort": sort,
            "page": page,
            "is_capped": page.paginator.count >= MOST_COUNTED,
            "rows": with_newest(rows, tag),
            "any": bool(rows) or under(tag).exists(),
        },
    )


def with_newest(rows: list[Object], tag: ChosenTag) -> list[Object]:
    """The objects with their newest kept measurement under the tag as `.newest`; one query."""
    found = tag.narrow(Measurement.objects.filter(object__in=rows, is_bad=False), "measurement_set__provenance")
    newest = {
        row.object_id: row
        for row in found.only("object", "mjd", "filter", "magnitude", "magnitude_error").order_by("mjd")
    }
    for row in rows:
        row.newest = newest.get(row.pk)
    return rows


@require_safe
def thing(request: HttpRequest, name: str) -> HttpResponse:
    """One object: facts, light curve, the chosen point, every epoch, forced photometry."""
    tag = chosen_tag(request)
    found = object_or_404(name)
    curve = lightcurves.light_curve(found, tag)
    asked = request.GET.get("point", "")
    chosen = next((epoch for epoch in curve.epochs if str(epoch.measurement.pk) == asked), None)
    chosen = chosen or (curve.kept or curve.epochs or [None])[-1]
    flux, off = request.GET.get("y") == "flux", [word for word in request.GET.get("off", "")[:200].split(",") if word]
    switches = [(band, n, ",".join(_switched(off, band)), band in off) for band, n in curve.filters]
    if curve.limits:
        switches.append(("limits", len(curve.limits), ",".join(_switched(off, "limits")), "limits" in off))
    if curve.forced:
        switches.append(("forced", len(curve.forced), ",".join(_switched(off, "forced")), "forced" in off))
    return render(
        request,
        "products/object.html",
        {
            "object": found,
            "curve": curve,
            "plot": plot_of(curve, flux, off),
            "numbers": numbers(curve, chosen),
            "switches": switches,
            "flux": flux,
            "chosen": chosen,
            "origin": origin(chosen, request, tag) if chosen else None,
            "newest_first": list(reversed(curve.epochs)),
            "forced": list(reversed(curve.forced)),
            "asked": forced.latest_request(found, tag),
            "stretch": f"?noise={curve.noise:.4g}" if curve.noise else "",
            "strip": curve.epochs[-IN_STRIP:],
            "tracklets": moving.tracklets_of(found, tag),
            "neighbours": [row for row in Object.objects.near(found.ra, found.dec, NEIGHBOURS) if row != found][:5],
            "other_tags": lightcurves.other_tags(found, tag),
        },
    )


def _switched(off: list[str], word: str) -> list[str]:
    return [one for one in off if one != word] if word in off else [*off, word]


@require_safe
def light_curve(request: HttpRequest, name: str, ending: str) -> HttpResponse:
    """The light curve as a table: detections, and 5σ limits where nothing was detected; times MJD (UTC)."""
    curve = lightcurves.light_curve(object_or_404(name), chosen_tag(request))
    return table_file(lightcurves.as_table(curve), name, ending)


@require_POST
@login_required
@permission_required("products.change_object", raise_exception=True)
def mark(request: HttpRequest, name: str) -> HttpResponse:
    """Say that nothing is there, or take it back, with a reason."""
    found = object_or_404(name)
    mark_object(found, request.POST.get("is_bad") == "1", request.POST.get("reason", "").strip()[:500], request.user)
    return redirect("object", name=found.name)


def object_or_404(name: str) -> Object:
    """The object called `name`."""
    found = Object.objects.filter(name=name).first()
    if found is None:
        raise Http404(f"There is no object called {name}.")
    return found


def origin(epoch: lightcurves.Epoch, request: HttpRequest, tag: ChosenTag) -> dict[str, Any]:
    """Where a point comes from: card, report, provenance, alerts."""
    row, source = epoch.measurement, epoch.source
    reports = Report.objects.filter(exposure=source.exposure, section=source.section).order_by("-started_at")
    scores = tag.narrow(DeepScore.objects.filter(measurement=row), "scorer")
    return {
        "card": candidates.candidates([row], request.user)[0],
        "report": next((report for report in reports.defer("traceback") if tag.owns(report)), None),
        "provenance": row.measurement_set.provenance_id,
        "alerts": list(Alert.objects.filter(score__in=scores).with_marks()),
    }
