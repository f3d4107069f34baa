"""Injected sources: how many come back, image by image and together, and why the others were missed."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from products.efficiency import efficiency
from products.errors import ArchiveError
from products.filters.fakes import FakeAnalysisFilter
from products.models import FakeAnalysis
from products.recovery import Fake, fakes_of, image_of, images_of
from products.rendering import place_png
from products.selectors import fakes as selector
from products.selectors.tags import chosen_tag
from products.views.fake_plots import efficiency_plot, residual_plot
from products.views.paging import page_of
from products.views.pictures import FOR_EVER

SORTS = {
    "mjd": f"{selector.IMAGE}__mjd",
    "exposure": f"{selector.EXPOSURE}__name",
    "section": f"{selector.IMAGE}__section",
    "filter": f"{selector.IMAGE}__filter",
    "limit": selector.LIMIT,
    "fakes": "fake_set__n_fakes",
    "detected": "n_detected",
    "kept": "n_kept",
}


@require_safe
def fake_list(request: HttpRequest) -> HttpResponse:
    """The images with fakes under the tag, and the efficiency of those that match together."""
    tag = chosen_tag(request)
    rows = tag.narrow(selector.analyses())
    filters = FakeAnalysisFilter(request.GET, rows, request=request)
    found: QuerySet[FakeAnalysis] = filters.qs
    sort = request.GET.get("sort", "-mjd")
    sort = sort if sort.removeprefix("-") in SORTS else "-mjd"
    down = "-" if sort.startswith("-") else ""
    page = page_of(request, found.order_by(down + SORTS[sort.removeprefix("-")], "pk"), 25)
    bands = sorted(set(found.order_by().values_list(f"{selector.IMAGE}__filter", flat=True).distinct()))
    from_limit = request.GET.get("x", "limit" if len(bands) > 1 else "mag") == "limit"
    newest = found.order_by(f"-{selector.IMAGE}__mjd", "pk")[: selector.MOST]
    sums = selector.together(newest, from_limit=from_limit)
    sets = [("detected", sums.detected), ("kept", sums.kept)]
    return render(
        request,
        "products/fakes.html",
        {
            "filters": filters,
            "sort": sort,
            "page": page,
            "sums": sums,
            "most": selector.MOST,
            "from_limit": from_limit,
            "plot": efficiency_plot(sets, limit=sums.limit, from_limit=from_limit),
            "total": rows.count(),
        },
    )


@require_safe
def fakes_of_image(request: HttpRequest, key: UUID) -> HttpResponse:
    """The fakes of one image."""
    rows = selector.analyses().select_related("score_set__measurement_set__cutouts__sources", "provenance")
    found = get_object_or_404(rows, pk=key)
    image, limit = image_of(found), found.fake_set.zero_point.limiting_magnitude
    trouble = ""
    fakes: list[Fake] = []
    try:
        fakes = fakes_of(found)
    except (ArchiveError, OSError) as error:
        trouble = str(error)
    mags = [fake.magnitude for fake in fakes]
    detected = efficiency(mags, [fake.is_detected for fake in fakes])
    kept = efficiency(mags, [fake.is_kept for fake in fakes])
    missed = sorted((fake for fake in fakes if not fake.is_kept), key=lambda fake: fake.magnitude)
    good = [fake.residual for fake in fakes if fake.residual is not None and (fake.expected_snr or 0) > 10]
    return render(
        request,
        "products/fakes_of_image.html",
        {
            "analysis": found,
            "image": image,
            "limit": limit,
            "trouble": trouble,
            "kept": kept,
            "detected": detected,
            "missed": missed,
            "stamps": [fake for fake in missed if limit is None or fake.magnitude < limit][:24],
            "offset": float(np.median(good)) if good else None,
            "n_good": len(good),
            "plot": efficiency_plot([("detected", detected), ("kept", kept)], limit=limit),
            "residuals": residual_plot(fakes, limit),
        },
    )


@require_safe
def place(request: HttpRequest, key: UUID, index: int, plane: str) -> HttpResponse:
    """What lies where a fake was put, without the fake: a stamp of new, reference or difference."""
    analysis = get_object_or_404(selector.analyses(), pk=key)
    image = images_of(analysis).get(plane)
    if image is None:
        raise Http404(f"There is no stamp of the {plane[:20]} here.")
    try:
        fakes = analysis.fake_set.table
        if not index < len(fakes):
            raise Http404(f"There is no fake {index}.")
        picture = place_png(image.as_kind(), float(fakes["x"][index]), float(fakes["y"][index]))
    except (ArchiveError, OSError) as error:
        raise Http404(f"The stamp cannot be shown: {error}.") from error
    return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": FOR_EVER})
