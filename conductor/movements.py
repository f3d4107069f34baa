"""What moved: events as pages show them, those that one move made together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import Count, Max, Q

from conductor.models import ClaimEvent, KnownExposure
from conductor.services.undoing import can_be_undone, with_undo

LOOKED_AT = 60  # events among which the latest moves are looked for
RECENT = 5000  # events of all kinds that are not too old for that: where nothing goes wrong, most are usual
USUAL = Q(what__in=["added", "claimed", "started"]) | Q(what="finished", to_state=KnownExposure.State.DONE)


@dataclass
class Movement:
    """One event, or all that one move made."""

    first: ClaimEvent  # the latest of them
    count: int = 1
    undo: list[int] = field(default_factory=list)  # events of it, among those looked at, that can be taken back


def latest(number: int) -> list[Movement]:
    """The latest movements, newest first, but for the usual way of an exposure that ends well."""
    found: dict[object, Movement] = {}
    last = ClaimEvent.objects.aggregate(last=Max("pk"))["last"] or 0
    for event in with_undo(ClaimEvent.objects.filter(pk__gt=last - RECENT).exclude(USUAL))[:LOOKED_AT]:
        key = event.move or event.pk
        if key not in found and len(found) == number:
            break
        movement = found.setdefault(key, Movement(event))
        if can_be_undone(event):
            movement.undo.append(event.pk)
    moves = [movement.first.move for movement in found.values() if movement.first.move]
    counted = ClaimEvent.objects.filter(move__in=moves).order_by().values_list("move").annotate(n=Count("pk"))
    for move, number_of in counted if moves else ():
        found[move].count = number_of
    return list(found.values())


def marked(events: Iterable[ClaimEvent]) -> list[ClaimEvent]:
    """Events of `with_undo` as a list, each with `.can_be_undone` and `.is_there`: whether its known exposure is."""
    rows = list(events)
    keys = {event.known_exposure_id for event in rows} - {None}
    there = set(KnownExposure.objects.filter(pk__in=keys).values_list("pk", flat=True)) if keys else set()
    for event in rows:
        event.can_be_undone = can_be_undone(event)
        event.is_there = event.known_exposure_id in there
    return rows


def reasons_of_holds(rows: Sequence[KnownExposure]) -> dict[object, ClaimEvent]:
    """Who held each of the rows that are held, and why: the event by the key of the row."""
    held = [row.pk for row in rows if row.state == KnownExposure.State.HELD]
    if not held:
        return {}
    told = ClaimEvent.objects.filter(known_exposure_id__in=held, to_state=KnownExposure.State.HELD)
    return {event.known_exposure_id: event for event in told.exclude(what="changed").order_by("id")}
