"""The button on the page of an object that asks for forced photometry."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from processing.forced_requests import REFUSALS, ask
from products.selectors.tags import chosen_tag
from products.views.objects import object_or_404


@require_POST
@login_required
@permission_required("products.add_forcedrequest", raise_exception=True)
def measure_object(request: HttpRequest, name: str) -> HttpResponse:
    """Measure the object in all images of the chosen tag; the queue does it."""
    thing, tag = object_or_404(name), chosen_tag(request).name
    try:
        ask(thing, tag, request.user)
    except REFUSALS as error:
        messages.error(request, f"Nothing is measured: {error}")
    query = f"?{urlencode({'tag': tag})}" if "tag" in request.GET else ""
    return redirect(f"{reverse('object', args=[name])}{query}#forced")
