"""The queue of tasks, to look at: nothing can be changed here."""

from __future__ import annotations

from django import forms
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from processing.queue import reading
from products.forms import Search
from products.views.paging import page_of

SHOWN = 20  # tasks in the queue; the head says how many there are
STATES = [("", "all"), ("failed", "failed"), ("done", "done")]


class TaskSearch(Search):
    """Fields of the list of tasks that ended."""

    name = forms.CharField(required=False, max_length=100, label="name or function")
    state = forms.ChoiceField(required=False, choices=STATES)


@require_safe
@login_required
@permission_required("conductor.view_knownexposure", raise_exception=True)
def queue(request: HttpRequest) -> HttpResponse:
    """Clusters that live, what waits and runs, and what ended, with the reason where it failed."""
    form, wanted = TaskSearch.of(request.GET)
    rows = reading.ended()
    if name := wanted.get("name"):
        rows = rows.filter(name__icontains=name) | rows.filter(func__icontains=name)
    if state := wanted.get("state"):
        rows = rows.filter(success=state == "done")
    page = page_of(request, rows, 25)
    tasks = list(page.object_list)
    reasons = reading.reasons(tasks)
    return render(
        request,
        "conductor/queue.html",
        {
            "form": form,
            "page": page,
            "tasks": [(task, *parts(reasons.get(task.pk, ""))) for task in tasks],
            "waiting": reading.described(reading.in_queue()[:SHOWN]),
            "numbers": reading.numbers(),
            "clusters": reading.clusters(),
            "asked": any(wanted.values()),
        },
    )


def parts(reason: str) -> tuple[str, str]:
    """What a reason says in one line, and its traceback where it has one."""
    said, traceback, rest = reason.partition(" : Traceback (most recent call last):")
    return said, f"{traceback.removeprefix(' : ')}{rest}"
