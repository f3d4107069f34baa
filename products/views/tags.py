"""Tags: what they hold, two compared, and changes to them by those who may."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from products.errors import ArchiveError
from products.forms import ComparisonSearch
from products.models import Exposure, Provenance
from products.selectors import fakes, matching
from products.selectors import tags as selector
from products.selectors.candidates import source
from products.services import tagging
from products.services.tag_log import note
from products.views.fake_plots import Plot, efficiency_plot


@require_safe
def tag(request: HttpRequest, name: str) -> HttpResponse:
    """The provenances of one tag, with their parameters and how many products carry each."""
    rows = selector.contents(name)
    if not rows:
        raise Http404(f"There is no tag called {name}.")
    history = LogEntry.objects.filter(content_type__model="provenancetag", object_id=name).select_related("user")
    context = {"name": name, "rows": rows, "tag_rows": list(selector.tag_rows()), "history": history[:10]}
    return render(request, "products/tag.html", context)


@login_required
@permission_required("products.add_provenancetag", raise_exception=True)
@require_POST
def clone(request: HttpRequest) -> HttpResponse:
    """Give the provenances of a tag a second name."""
    name, new = request.POST.get("tag", ""), request.POST.get("new_tag", "").strip()
    try:
        if new in tagging.known_tags():
            raise ArchiveError(reason=f"There is a tag '{new}' already; nothing was changed.")
        number = tagging.clone(name, new)
    except ArchiveError as error:
        messages.error(request, str(error))
        return redirect("tag", name=name) if name in tagging.known_tags() else redirect("provenances")
    note(request.user, new, f"{number} provenances were put into it, cloned from '{name}'.", ADDITION)
    messages.success(request, f"'{new}' holds the {number} provenances of '{name}'.")
    return redirect("tag", name=new)


@login_required
@permission_required("products.change_provenancetag", raise_exception=True)
@require_POST
def change(request: HttpRequest, key: str) -> HttpResponse:
    """Put one provenance into a tag, new or known, or take it out."""
    row = get_object_or_404(Provenance.objects.all(), pk=key)
    name, takes_out = request.POST.get("tag", "").strip(), request.POST.get("operation") == "untag"
    try:
        number = tagging.untag(name, [row]) if takes_out else tagging.tag_provenances(name, [row])
    except ArchiveError as error:
        messages.error(request, str(error))
        return redirect("provenance", key=key)
    if number:
        note(request.user, name, f"{row} was {'taken out of' if takes_out else 'put into'} it.", CHANGE)
    said = ("taken out of" if number else "is not in") if takes_out else ("put into" if number else "is already in")
    messages.success(request, f"{row}: {said} '{name}'.")
    return redirect("provenance", key=key)


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """Two tags side by side: how they were made, and what came out on the CCDs that both have."""
    known = tagging.known_tags()
    form, wanted = ComparisonSearch.of(request.GET)
    a, b = request.GET.get("a", ""), request.GET.get("b", "")
    missing = [name for name in (a, b) if name and name not in known]
    context: dict[str, Any] = {
        "known": known,
        "a": a,
        "b": b,
        "missing": missing,
        "form": form,
        "projects": list(
            Exposure.objects.exclude(project="").order_by("project").values_list("project", flat=True).distinct()
        ),
    }
    if a and b and not missing:
        context |= compared(a, b, wanted)
    return render(request, "products/compare.html", context)


def compared(a: str, b: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the page says of two tags that exist."""
    found = selector.compare(a, b)
    first, second = selector.of_name(a), selector.of_name(b)
    products = [*found.products]
    products.append(("failed CCDs", matching.failed_ccds(first, wanted), matching.failed_ccds(second, wanted)))
    same = matching.matched(first, second, wanted)
    return {
        "found": found,
        "products": [(kind, x, y, y - x, (y - x) / x if x else None) for kind, x, y in products],
        "differ": sum(not row.same for row in found.processes),
        "matched": same,
        "lost": [(row, source(row), why) for row, why in same.lost.shown],
        "gained": [(row, source(row), why) for row, why in same.gained.shown],
        **efficiencies(first, second, wanted),
    }


def efficiencies(first: selector.ChosenTag, second: selector.ChosenTag, wanted: dict[str, Any]) -> dict[str, Any]:
    """The efficiency of keeping fakes under both tags, over the same images."""
    rows = {}
    for name, one in (("A", first), ("B", second)):
        found = matching.narrowed(one.narrow(fakes.analyses()), fakes.EXPOSURE, wanted)
        newest = found.order_by(f"-{fakes.IMAGE}__mjd")[: fakes.MOST]
        rows[name] = {(row.fake_set.zero_point.image.pk): row for row in newest}
    common = rows["A"].keys() & rows["B"].keys()
    sums = {name: fakes.together([row for key, row in found.items() if key in common]) for name, found in rows.items()}
    kept = [(name, one.kept) for name, one in sums.items()]
    plot: Plot | None = efficiency_plot(kept, limit=sums["A"].limit, size=(420, 250))
    old, new = sums["A"].kept, sums["B"].kept
    deeper = None
    if old.half is not None and new.half is not None:
        change = new.half - old.half
        deeper = (change, (old.half_error**2 + new.half_error**2) ** 0.5, abs(change))
    return {"efficiency_plot": plot, "efficiency_a": old, "efficiency_b": new, "deeper": deeper}
