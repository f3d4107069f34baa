"""Objects: the list, and one with its light curve."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from products.forms import ObjectSearch
from products.models import Alert, DeepScore, Measurement, Object, Report
from products.selectors import candidates, lightcurves
from products.selectors.tags import ChosenTag, chosen_tag
from products.views.paging import page_of
from products.views.plotting import Frame, frame, padded

SORTS = ("name", "ra", "dec", "first_seen", "last_seen", "n_measurements")
DEFAULT_RADIUS = 5.0  # arcsec


@require_safe
def object_list(request: HttpRequest) -> HttpResponse:
    """Objects by name and by cone."""
    tag = chosen_tag(request)
    form, wanted = ObjectSearch.of(request.GET)
    rows = Object.objects.all()
    if tag.ids:
        seen = Measurement.objects.filter(object=OuterRef("pk"), measurement_set__provenance__in=tag.ids)
        rows = rows.filter(Exists(seen))
    total = rows.count()
    if wanted.get("name"):
        rows = rows.filter(name__icontains=wanted["name"])
    if wanted.get("min_count"):
        rows = rows.filter(n_measurements__gte=wanted["min_count"])
    sort = request.GET.get("sort", "-last_seen")
    sort = sort if sort.lstrip("-") in SORTS else "-last_seen"
    radius = wanted.get("radius") or DEFAULT_RADIUS
    found: Any = rows.order_by(sort, "name")
    if wanted.get("position"):
        found = rows.near(*wanted["position"], radius)
        sort = "separation"
    page = page_of(request, found, 50)
    return render(
        request,
        "products/objects.html",
        {
            "form": form,
            "wanted": wanted,
            "radius": radius,
            "sort": sort,
            "page": page,
            "rows": with_newest(list(page.object_list), tag),
            "total": total,
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


@dataclass(frozen=True)
class Mark:
    """One detection in the plot."""

    epoch: lightcurves.Epoch
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Arrow:
    """One upper limit in the plot."""

    limit: lightcurves.Limit
    x: float
    y: float


@dataclass(frozen=True)
class Plot:
    """The light curve as drawn."""

    frame: Frame
    marks: list[Mark]
    arrows: list[Arrow]
    axis: str


def plot_of(curve: lightcurves.LightCurve, flux: bool) -> Plot | None:
    """Places of detections and limits, in AB magnitudes (brighter up) or in μJy; None where nothing can be drawn."""
    epochs = [e for e in curve.epochs if flux or e.measurement.magnitude is not None]
    if not epochs:
        return None
    if flux:
        points = [(e, e.flux, e.flux_error) for e in epochs]
    else:
        points = [(e, e.measurement.magnitude, e.measurement.magnitude_error or 0.0) for e in epochs]
    limits = [] if flux else curve.limits
    ends = [value for _, y, error in points for value in (y - error, y + error)]
    times = [e.measurement.mjd for e in epochs] + [limit.mjd for limit in curve.limits]
    drawn = frame(
        padded(times, least=0.02), padded([*ends, *(limit.magnitude for limit in limits)]), upside_down=not flux
    )
    marks = [
        Mark(e, drawn.x.at(e.measurement.mjd), drawn.y.at(y), drawn.y.at(y - error), drawn.y.at(y + error))
        for e, y, error in points
    ]
    arrows = [Arrow(limit, drawn.x.at(limit.mjd), drawn.y.at(limit.magnitude)) for limit in limits]
    return Plot(drawn, marks, arrows, "flux of the difference (μJy)" if flux else "AB magnitude")


@require_safe
def thing(request: HttpRequest, name: str) -> HttpResponse:
    """One object: facts, light curve, the chosen point, every epoch."""
    tag = chosen_tag(request)
    found = object_or_404(name)
    curve = lightcurves.light_curve(found, tag)
    asked = request.GET.get("point", "")
    chosen = next((epoch for epoch in curve.epochs if str(epoch.measurement.pk) == asked), None)
    chosen = chosen or (curve.kept or curve.epochs or [None])[-1]
    flux = request.GET.get("y") == "flux"
    return render(
        request,
        "products/object.html",
        {
            "object": found,
            "curve": curve,
            "plot": plot_of(curve, flux),
            "flux": flux,
            "chosen": chosen,
            "origin": origin(chosen, request, tag) if chosen else None,
            "newest_first": list(reversed(curve.epochs)),
            "strip": curve.epochs[-40:],
            "galactic": (found.gal_lon, found.gal_lat),
        },
    )


COLUMNS = (
    "mjd", "filter", "magnitude", "magnitude_error", "is_limit", "flux_ujy", "flux_error_ujy", "snr", "score",
    "failed_cuts", "instrument", "exposure", "ccd",
)  # fmt: skip


@require_safe
def light_curve(request: HttpRequest, name: str) -> HttpResponse:
    """The light curve as CSV: detections, and 5σ limits where nothing was detected; magnitudes AB, times MJD (UTC)."""
    curve = lightcurves.light_curve(object_or_404(name), chosen_tag(request))
    rows: list[tuple[Any, ...]] = []
    for epoch in curve.epochs:
        row, place = epoch.measurement, epoch.source.exposure
        measured = (row.magnitude, row.magnitude_error, 0, epoch.flux, epoch.flux_error, row.snr, row.score)
        where = (place.instrument, place.name, epoch.source.section)
        rows.append((round(row.mjd, 6), row.filter, *measured, " ".join(row.failed_cuts), *where))
    for limit in curve.limits:
        empty = ("", 1, "", "", "", "", "", "")
        rows.append((round(limit.mjd, 6), limit.filter, limit.magnitude, *empty, limit.exposure, limit.section))
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    writer = csv.writer(response)
    writer.writerow(COLUMNS)
    writer.writerows(sorted(rows, key=lambda row: row[0]))
    return response


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
    scores = tag.narrow(DeepScore.objects.filter(measurement=row), "score_set__provenance")
    return {
        "card": candidates.candidates([row], request.user)[0],
        "report": next((report for report in reports.defer("traceback") if tag.owns(report)), None),
        "provenance": row.measurement_set.provenance_id,
        "alerts": list(Alert.objects.filter(score__in=scores)),
    }
