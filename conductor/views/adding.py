"""Add exposures by hand: raw files on the server, or a file with rows."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from conductor.forms import AddForm
from conductor.incoming import allowed_folders
from conductor.services.adding import Added, add
from conductor.views.access import NAMED, done_by
from processing.instruments.offers import Unreadable


@done_by("conductor.add_knownexposure")
def add_exposures(request: HttpRequest) -> HttpResponse:
    """The form, and what became of each exposure that was named."""
    posted = request.method == "POST"
    form = AddForm(request.POST, request.FILES) if posted else AddForm(initial=request.GET.dict())
    if posted and form.is_valid():
        values = form.cleaned_data
        unreadable = [one for one in values["found"] if isinstance(one, Unreadable)]
        added = add(
            values["instrument"],
            [one for one in values["found"] if not isinstance(one, Unreadable)],
            actor=request.user.get_username(),
            **{name: values[name] for name in ("hold", "priority", "through_step")},
        )
        added.refused = unreadable + added.refused
        _tell(request, added)
        if added.new or not added.refused:
            return redirect("conductor")
    return render(request, "conductor/add.html", {"form": form, "folders": allowed_folders()})


def _tell(request: HttpRequest, added: Added) -> None:
    if added.new:
        names = ", ".join(row.identifier for row in added.new[:NAMED])
        more = f" and {len(added.new) - NAMED} more" if len(added.new) > NAMED else ""
        messages.success(request, f"Added, {added.new[0].state}: {names}{more}.")
    if added.known:
        names = ", ".join(added.known[:NAMED])
        more = f" and {len(added.known) - NAMED} more" if len(added.known) > NAMED else ""
        messages.info(request, f"Known already, left as it was: {names}{more}.")
    for one in added.refused[:NAMED]:
        messages.error(request, f"Not added: {one.identifier}: {one.reason}")
    if (more := len(added.refused) - NAMED) > 0:
        messages.error(request, f"Not added: {more} more.")
