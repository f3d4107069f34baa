"""Injected sources: how many come back, image by image and together, how well, and why the others were lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from products.errors import ArchiveError
from products.filters.fakes import EfficiencyFilter, LostFilter
from products.models import FakeAnalysis, FakeKind, FakeLoss, Image
from products.recovery import Fake, fakes_of, image_of, images_of
from products.rendering import place_png, values_png
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
    "passed": "n_passed",
}
BY = ("image", *selector.GROUPS)
SIZE = 31  # px, of stamps
SHOWN = 24  # lost fakes on a page, and on the page of an image


@require_safe
def fake_list(request: HttpRequest) -> HttpResponse:
    """Images with fakes under the tag, by image, exposure or night, and the efficiency of those that match together."""
    tag = chosen_tag(request)
    rows = tag.narrow(selector.analyses())
    filters = EfficiencyFilter(request.GET, rows, request=request)
    found: QuerySet[FakeAnalysis] = filters.qs
    kind, by = filters.wanted.get("kind", ""), filters.wanted.get("by", "image")
    bands = set(found.order_by().values_list(f"{selector.IMAGE}__filter", flat=True).distinct())
    from_limit = request.GET.get("x", "limit" if len(bands) > 1 else "mag") == "limit"
    newest = found.order_by(f"-{selector.IMAGE}__mjd", "pk")[: selector.MOST]
    sums = selector.together(newest, kind=kind, from_limit=from_limit)
    return render(
        request,
        "products/fakes.html",
        {
            "filters": filters,
            "sums": sums,
            "most": selector.MOST,
            "images": found.count(),
            "from_limit": from_limit,
            "kind": kind,
            "by": by,
            "groupings": BY,
            "plot": plot_of(sums, from_limit=from_limit),
            "total": rows.count(),
            **table_of(request, found, by, kind=kind, from_limit=from_limit),
        },
    )


def table_of(request: HttpRequest, rows: QuerySet[FakeAnalysis], by: str, **options: Any) -> dict[str, Any]:
    """A page of images, or of exposures or nights with their efficiency."""
    if by != "image":
        page = page_of(request, selector.group_keys(rows, by), 25)
        return {"page": page, "groups": selector.grouped(rows, by, [row["key"] for row in page], **options)}
    sort = request.GET.get("sort", "-mjd")
    sort = sort if sort.removeprefix("-") in SORTS else "-mjd"
    down = "-" if sort.startswith("-") else ""
    ordered = rows.defer("outcomes", "losses", *selector.LARGE).order_by(down + SORTS[sort.removeprefix("-")], "pk")
    return {"page": page_of(request, ordered, 25), "sort": sort}


def plot_of(sums: selector.Together, *, from_limit: bool = False) -> Any:
    """The efficiency after detection, cuts and score."""
    sets = [(name, sums.stage(name)) for name in selector.STAGES]
    return efficiency_plot(sets, limit=0.0 if from_limit else sums.limit, from_limit=from_limit)


@require_safe
def lost_list(request: HttpRequest) -> HttpResponse:
    """The fakes of the newest images under the tag that did not come through, with stamps and reasons."""
    rows = chosen_tag(request).narrow(selector.with_losses())
    filters = LostFilter(request.GET, rows, request=request)
    kind, reason = filters.wanted.get("kind", ""), filters.wanted.get("reason", "")
    newest = filters.qs.order_by(f"-{selector.IMAGE}__mjd", "pk")[: selector.MOST_LOST]
    found = selector.lost(newest, kind=kind, reason=reason)
    return render(
        request,
        "products/lost_fakes.html",
        {
            "filters": filters,
            "page": page_of(request, found.shown, SHOWN),
            "most": selector.MOST_LOST,
            **facets(found, kind, reason),
        },
    )


def facets(found: selector.AllLost, kind: str, reason: str) -> dict[str, Any]:
    """What can be chosen among lost fakes, and what is."""
    return {
        "kind": kind,
        "reason": reason,
        "kinds": selector.choices(found.kinds, FakeKind),
        "reasons": selector.choices(found.reasons, FakeLoss),
    }


@require_safe
def fakes_of_image(request: HttpRequest, key: UUID) -> HttpResponse:
    """The fakes of one image."""
    rows = FakeAnalysis.objects.select_related(
        selector.EXPOSURE, "score_set__measurement_set__cutouts__sources", "provenance"
    ).defer(*selector.LARGE)
    analysis = get_object_or_404(rows, pk=key)
    filters = LostFilter(request.GET, rows, request=request)
    kind, reason = filters.wanted.get("kind", ""), filters.wanted.get("reason", "")
    limit, trouble, fakes = analysis.fake_set.zero_point.limiting_magnitude, "", []
    try:
        fakes: list[Fake] = [one for one in fakes_of(analysis) if kind in ("", one.kind)]
    except (ArchiveError, OSError) as error:
        trouble = str(error)
    sums = selector.together([analysis], kind=kind)
    lost = selector.lost([analysis], kind=kind, reason=reason)
    return render(
        request,
        "products/fakes_of_image.html",
        {
            "analysis": analysis,
            "image": image_of(analysis),
            "limit": limit,
            "trouble": trouble,
            "sums": sums,
            "lost": lost.shown,
            "stamps": [one for one in lost.shown if reason or one.reason != FakeLoss.FAINT][:SHOWN],
            "plot": plot_of(sums),
            "residuals": residual_plot(fakes, limit),
            **facets(lost, kind, reason),
        },
    )


@require_safe
def place(request: HttpRequest, key: UUID, index: int, plane: str) -> HttpResponse:
    """The place of a fake in new, reference or difference: of a lost one with the fake in it, as the run saw it."""
    analysis = get_object_or_404(FakeAnalysis.objects.select_related(selector.EXPOSURE), pk=key)
    image = images_of(analysis).get(plane)
    if image is None:
        raise Http404(f"There is no stamp of the {plane[:20]} here.")
    try:
        picture = picture_of(analysis, index, plane, image.as_kind())
    except (ArchiveError, OSError) as error:
        raise Http404(f"The stamp cannot be shown: {error}.") from error
    return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": FOR_EVER})


def picture_of(analysis: FakeAnalysis, index: int, plane: str, image: Image) -> bytes:
    """The PNG of a place; Http404 for a fake that there is not."""
    fakes, lost = analysis.fake_set.table, [loss["fake"] for loss in analysis.losses]
    if not index < len(fakes):
        raise Http404(f"There is no fake {index}.")
    if plane in ("new", "difference") and index in lost:
        return values_png(getattr(analysis, plane)[lost.index(index)], image)
    return place_png(image, float(fakes["x"][index]), float(fakes["y"][index]), SIZE)
