"""Pages of lists, and rows that carry their own trouble."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
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
