"""Pages of lists, and rows that carry their own trouble."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import F
from django.db.models.expressions import OrderBy
from django.http import HttpRequest

LARGEST_SIZE = 200


def page_of(request: HttpRequest, rows: Any, size: int, pages: type[Paginator] = Paginator) -> Page:
    """The page that the address asks for; a number beyond the end gives the last."""
    asked = request.GET.get("size", "")
    size = min(int(asked), LARGEST_SIZE) if asked.isdecimal() and len(asked) < 6 and int(asked) > 0 else size
    paginator = pages(rows, size)
    page = paginator.get_page(request.GET.get("page"))
    page.shown_pages = list(paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1))
    return page


def sort_of(request: HttpRequest, known: Container[str], usual: str) -> str:
    """The column to sort by that the address asks for, with a minus for descending; `usual` where it is not known."""
    asked = request.GET.get("sort", usual)
    return asked if asked.removeprefix("-") in known else usual


def ordering(sort: str, field: str) -> list[OrderBy | str]:
    """Sort by `field`, what has no value last; ties by id, so that pages do not overlap."""
    down = sort.startswith("-")
    first = F(field).desc(nulls_last=True) if down else F(field).asc(nulls_last=True)
    return [first, "-pk"]
