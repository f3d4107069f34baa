"""What is done on the conductor's page: moves, taking them back, pause and last step for all."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse

from conductor.asking import ASKS, Ask, ReasonForm, StepForm, form_for, move_of
from conductor.errors import BadValue
from conductor.models import ClaimEvent, KnownExposure
from conductor.movements import marked
from conductor.services import policy
from conductor.services.moving import ACTIONS, listed, move
from conductor.services.undoing import undo, with_undo
from conductor.views.access import ask, back, done_by, tell, wants_to_do
from products.views.paging import LARGEST_SIZE

WORK = "conductor.change_knownexposure"


@done_by(WORK)
def move_known_exposures(request: HttpRequest) -> HttpResponse:
    """Ask for the reason of a move (`action`) of known exposures (`id`, repeated), and do it."""
    sent = request.POST if request.method == "POST" else request.GET
    asked = ASKS.get(sent.get("action", ""))
    if asked is None:
        raise Http404("There is no such move.")
    if not request.user.has_perm(asked.permission):
        raise PermissionDenied
    keys = _ids(sent.getlist("id"))
    rows = list(KnownExposure.objects.select_related("worker").filter(pk__in=keys).order_by("-mjd", "-id"))
    if not rows:
        messages.error(request, f"Nothing was chosen to {asked.button.lower()}.")
        return back(request)
    form = form_for(asked, request.POST if wants_to_do(request) else None, rows)
    if wants_to_do(request) and form.is_valid():
        action, values = move_of(asked, form)
        try:
            moved = move(action, keys, actor=request.user.get_username(), reason=form.cleaned_data["reason"], **values)
        except BadValue as error:
            name = error.details["field"]
            form.add_error(name if name in form.fields else None, error.details["reason"])
        else:
            tell(request, ACTIONS[action].done.capitalize(), moved)
            return back(request)
    return ask(
        request,
        title=f"{asked.button}: {rows[0].identifier if len(rows) == 1 else f'{len(rows)} known exposures'}",
        sentence=asked.sentence,
        refused=_refused(asked, rows),
        form=form,
        button=asked.button,
        hidden=[("action", asked.name), *(("id", str(row.pk)) for row in rows)],
        rows=rows,
        forbidden=not asked.able(rows),
    )


def _ids(texts: Iterable[str]) -> list[uuid.UUID]:
    """The ids among the texts, at most as many as a page shows."""
    found = []
    for text in list(texts)[:LARGEST_SIZE]:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found


def _refused(asked: Ask, rows: list[KnownExposure]) -> str:
    """Which of the rows will be left as they are, if any."""
    others = sorted({row.state for row in rows if row.state not in asked.allowed})
    number = len(rows) - asked.able(rows)
    if not number:
        return ""
    which = (
        "It is" if len(rows) == 1 else "All are" if number == len(rows) else f"{number} of them will stay as they are:"
    )
    return f"{which} {listed(others)}; this is for what is {listed(asked.allowed)}."


@done_by(WORK)
def undo_events(request: HttpRequest) -> HttpResponse:
    """Take back the moves that events (`event`, repeated) tell of."""
    sent = request.POST if request.method == "POST" else request.GET
    keys = [int(text) for text in sent.getlist("event")[:LARGEST_SIZE] if text.isdecimal() and len(text) < 18]
    events = marked(with_undo(ClaimEvent.objects.filter(pk__in=keys)))
    if not events:
        raise Http404("There is no such event.")
    form = ReasonForm(request.POST if wants_to_do(request) else None)
    if wants_to_do(request) and form.is_valid():
        moved = undo(keys, actor=request.user.get_username(), reason=form.cleaned_data["reason"])
        tell(request, "Taken back", moved)
        return back(request, "claim_events")
    able = sum(event.can_be_undone for event in events)
    return ask(
        request,
        title=f"Take back: {events[0].what} by {events[0].actor}",
        sentence="What was moved is as it was before. Where something has happened since, nothing is changed.",
        refused="" if able == len(events) else f"{len(events) - able} of {len(events)} cannot be taken back any more.",
        form=form,
        button="Take back",
        hidden=[("event", str(event.pk)) for event in events],
        rows=events,
        forbidden=not able,
    )


@done_by("conductor.change_policy")
def change_policy(request: HttpRequest) -> HttpResponse:
    """Pause handing out, go on, or set the last step for all (`do`: pause, resume or through_step)."""
    sent = request.POST if request.method == "POST" else request.GET
    what = sent.get("do", "")
    if what not in POLICY:
        raise Http404("There is no such change of the policy.")
    button, sentence = POLICY[what]
    kind = StepForm if what == "through_step" else ReasonForm
    initial = {"through_step": policy.current().through_step}
    form = kind(request.POST if wants_to_do(request) else None, initial=initial)
    if wants_to_do(request) and form.is_valid():
        values = dict(form.cleaned_data)
        if what != "through_step":
            values["is_paused"] = what == "pause"
        policy.set_policy(**values, actor=request.user.get_username())
        messages.success(request, f"{button}: done.")
        return back(request)
    return ask(request, title=button, sentence=sentence, form=form, button=button, hidden=[("do", what)])


POLICY = {
    "pause": ("Pause handing out", "Nothing is handed out until somebody goes on; what runs goes on to its end."),
    "resume": ("Hand out again", "What is ready is handed out again."),
    "through_step": (
        "Last step for all",
        "Nobody goes further than this step, whatever a known exposure or a launcher says. "
        "What has been claimed already keeps the step that it was given.",
    ),
}
