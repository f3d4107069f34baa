"""What moved: every event, with filters."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from conductor.filters import ClaimEventFilter
from conductor.models import ClaimEvent
from conductor.movements import marked
from conductor.services.moving import ACTIONS
from conductor.services.undoing import UNDONE, with_undo
from conductor.views.access import seen_by
from products.views.paging import page_of

WORDS = (
    "added", "claimed", "started", "finished", "tried again", "released", "expired",
    *sorted({action.done for action in ACTIONS.values()} - {"released", "expired"}), UNDONE,
    "paused", "resumed", "asked to look", "removed",
)  # fmt: skip


@seen_by()
def claim_events(request: HttpRequest) -> HttpResponse:
    """Events, latest first, by known exposure, time, what happened and who did it."""
    found = ClaimEventFilter(request.GET, queryset=ClaimEvent.objects.all(), request=request)
    page = page_of(request, with_undo(found.qs.order_by("-id")), 50)
    page.object_list = marked(page.object_list)
    context = {"form": found.form, "narrowed": found.is_narrowed, "page": page, "words": WORDS}
    return render(request, "conductor/events.html", context)
