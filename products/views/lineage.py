"""One product of any kind: what it was made of, up to raw exposures, and what was made of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth import get_permission_codename
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from products.models import Exposure, FakeAnalysis, Image, Measurement, Provenance, Reference
from products.models.badness import HasBadness
from products.selectors import lineage as selector
from products.selectors.lineage import Lineage, Relative
from products.views.graphs import Cell, Drawing, drawing_of

LISTED = 6  # products of one kind and generation that are named in the table


@dataclass(frozen=True)
class Group:
    """The relatives of one kind in one generation."""

    kind: str
    generation: int
    rows: list[Relative]

    @property
    def bad(self) -> int:
        """How many are bad, by themselves or by what they were made of."""
        return sum(bool(row.own or row.inherited) for row in self.rows)

    @property
    def listed(self) -> list[Relative]:
        """The first ones."""
        return self.rows[:LISTED]


def groups_of(found: Lineage) -> list[Group]:
    """The relatives by generation and kind."""
    groups: dict[tuple[int, str], list[Relative]] = {}
    for row in found.relatives:
        groups.setdefault((row.generation, row.kind), []).append(row)
    return [Group(kind, generation, rows) for (generation, kind), rows in groups.items()]


def graph_of(found: Lineage) -> Drawing:
    """Few products of a kind as a box each, many as one box with their number."""
    cells: dict[Hashable, Cell] = {}
    box_of: dict[tuple[Any, UUID], Hashable] = {}

    def put(row: Relative, *, is_chosen: bool = False) -> None:
        state = "bad" if row.own else "inherits" if row.inherited else ""
        hint, address = f"{row.kind} {row.name}", reverse("product", args=[row.slug, row.pk])
        key = (row.model, row.pk)
        cells[key] = Cell(row.kind, row.short_name, row.generation, address, hint, state, is_chosen)
        box_of[key] = key

    put(found.centre, is_chosen=True)
    for group in groups_of(found):
        if len(group.rows) <= selector.SINGLES:
            for row in group.rows:
                put(row)
            continue
        key = (group.generation, group.kind)
        text = f"{group.bad} bad" if group.bad else "listed below"
        anchor = f"#g{group.generation}-{slugify(group.kind)}"
        state = "inherits" if group.bad else ""
        cells[key] = Cell(f"{len(group.rows)} × {group.kind}", text, group.generation, anchor, "", state)
        box_of |= {(row.model, row.pk): key for row in group.rows}
    arrows = {(box_of[up], box_of[down]) for up, down in found.arrows if up in box_of and down in box_of}
    return drawing_of(cells, arrows)


@require_safe
def product(request: HttpRequest, kind: str, key: UUID) -> HttpResponse:
    """Where a product stands between the raw exposures and the alerts."""
    row = product_or_404(kind, key)
    found = selector.lineage(row)
    groups = groups_of(found)
    provenances = {one.facts.get("provenance") for one in [found.centre, *found.relatives]} - {None}
    bad = Provenance.objects.filter(is_bad=True, pk__in=provenances)
    return render(
        request,
        "products/product.html",
        {
            "row": row,
            "found": found,
            "counts": row.counts() if hasattr(row, "counts") else {},
            "provenance": Provenance.objects.filter(pk=found.centre.facts.get("provenance")).first(),
            "above": [group for group in reversed(groups) if group.generation < 0],
            "below": [group for group in groups if group.generation > 0],
            "drawing": graph_of(found),
            "bad_provenances": list(bad),
            "own_page": own_page(row),
            "may_mark": may_mark(request.user, row),
        },
    )


def product_or_404(kind: str, key: UUID) -> HasBadness:
    """The product of this kind with this id."""
    model = selector.kinds().get(kind)
    if model is None:
        raise Http404(f"There is no kind of product called {kind[:40]}.")
    return get_object_or_404(model._base_manager.all(), pk=key)


def may_mark(person: Any, row: HasBadness) -> bool:
    """Whether somebody may say that a product is bad."""
    return person.has_perm(f"products.{get_permission_codename('change', row._meta)}")


def own_page(row: HasBadness) -> str:
    """The page that shows the product itself; empty where there is none."""
    if isinstance(row, Exposure):
        return reverse("exposure", args=[row.name])
    if isinstance(row, Image):
        return reverse("image", args=[row.pk])
    if isinstance(row, Reference):
        return reverse("reference", args=[row.pk])
    if isinstance(row, FakeAnalysis):
        return reverse("fakes_of_image", args=[row.pk])
    return reverse("object", args=[row.object.name]) if isinstance(row, Measurement) else ""
