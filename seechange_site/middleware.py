"""What is refused before any page sees it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def refuse_nul(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer 400 to an address with a NUL character: no name has one, and databases refuse it."""

    def answer(request: HttpRequest) -> HttpResponse:
        values = (value for values in request.GET.lists() for value in (values[0], *values[1]))
        if "\0" in request.path or any("\0" in value for value in values):
            return render(request, "400.html", status=400)
        return get_response(request)

    return answer
