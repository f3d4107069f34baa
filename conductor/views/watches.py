"""Watches are made, changed, paused, asked to look and deleted here, and workers that are gone removed."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from conductor.asking import ReasonForm
from conductor.errors import StillThere
from conductor.forms import WatchForm, instruments
from conductor.incoming import allowed_folders
from conductor.models import PipelineWorker, Watch
from conductor.services import watches, workers
from conductor.views.access import ask, back, done_by, wants_to_do
from processing.instruments.base import Instrument

MOVES = {
    "pause": ("Pause", "It does not look until somebody lets it go on.", "conductor.change_watch"),
    "resume": ("Go on", "It looks again, as often as it is told to.", "conductor.change_watch"),
    "look": ("Look now", "It looks as soon as a process that watches is free.", "conductor.change_watch"),
    "delete": ("Delete", "What it found stays known; nothing new is looked for.", "conductor.delete_watch"),
}


@done_by("conductor.add_watch")
def add_watch(request: HttpRequest) -> HttpResponse:
    """A new watch of the instrument in the address; without one, the instruments to choose from."""
    name = request.GET.get("instrument", "")
    if name not in Instrument.members():
        return render(request, "conductor/watch.html", {"instruments": instruments()})
    return _form(request, Watch(instrument=name))


@done_by("conductor.change_watch")
def change_watch(request: HttpRequest, key: int) -> HttpResponse:
    """A watch, to be changed."""
    return _form(request, get_object_or_404(Watch, pk=key))


def _form(request: HttpRequest, watch: Watch) -> HttpResponse:
    form = WatchForm(
        request.POST if request.method == "POST" else None,
        instance=watch,
        person=request.user,
    )
    if form.is_bound and form.is_valid():
        watches.save(form.instance, actor=request.user.get_username(), reason=form.cleaned_data["reason"])
        messages.success(request, f"Watch {form.instance.name}: kept.")
        return redirect("conductor")
    return render(request, "conductor/watch.html", {"form": form, "watch": watch, "folders": allowed_folders()})


@done_by("conductor.change_watch")
def move_watch(request: HttpRequest, key: int) -> HttpResponse:
    """Pause a watch, let it go on or look now, or delete it (`do`)."""
    watch = get_object_or_404(Watch, pk=key)
    what = (request.POST if request.method == "POST" else request.GET).get("do", "")
    if what not in MOVES:
        raise Http404("There is no such move of a watch.")
    button, sentence, permission = MOVES[what]
    if not request.user.has_perm(permission):
        raise PermissionDenied
    form = ReasonForm(request.POST if wants_to_do(request) else None)
    if wants_to_do(request) and form.is_valid():
        said = {"actor": request.user.get_username(), "reason": form.cleaned_data["reason"]}
        if what == "look":
            watches.look_soon(watch, **said)
        elif what == "delete":
            watches.delete(watch, **said)
        else:
            watches.pause(watch, what == "pause", **said)
        messages.success(request, f"Watch {watch.name}: {button.lower()}: done.")
        return back(request)
    title = f"{button}: watch {watch.name}"
    return ask(request, title=title, sentence=sentence, form=form, button=button, hidden=[("do", what)])


@done_by("conductor.delete_pipelineworker")
def remove_worker(request: HttpRequest, key: int) -> HttpResponse:
    """Take a worker from the list that was not heard of for a while."""
    worker = get_object_or_404(PipelineWorker, pk=key, ended_at=None)
    form = ReasonForm(request.POST if wants_to_do(request) else None)
    if wants_to_do(request) and form.is_valid():
        try:
            workers.remove(worker, actor=request.user.get_username(), reason=form.cleaned_data["reason"])
        except StillThere as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"Worker {worker}: removed.")
        return back(request)
    sentence = "It is taken from the list. What it holds is handed out again when its lease runs out."
    return ask(request, title=f"Remove: worker {worker}", sentence=sentence, form=form, button="Remove")
