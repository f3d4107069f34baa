"""Take moves back: what was moved by mistake is as it was before, unless something has happened to it since."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from conductor.models import ClaimEvent, KnownExposure
from conductor.services.moving import ACTIONS, Moved, as_they_are
from conductor.services.turns import in_turn
from products.ids import uuid7

UNDONE = "undone"
CAN_BE_UNDONE = (*(action.done for action in ACTIONS.values() if action.can_be_undone), UNDONE)


def with_undo(events: QuerySet[ClaimEvent]) -> QuerySet[ClaimEvent]:
    """Events with `.is_overtaken`: whether something has happened to the same known exposure since."""
    later = ClaimEvent.objects.filter(known_exposure_id=OuterRef("known_exposure_id"), id__gt=OuterRef("id"))
    return events.annotate(is_overtaken=Exists(later))


def can_be_undone(event: ClaimEvent) -> bool:
    """Whether an event of `with_undo` can be taken back."""
    return event.what in CAN_BE_UNDONE and event.known_exposure_id is not None and not event.is_overtaken


def undo(events: Iterable[int], *, actor: str, reason: str = "") -> list[Moved]:
    """Take the moves back that these events, by id, tell of; those that cannot be say why.

    Taking back is a move as well, and can be taken back.
    """
    wanted = list(ClaimEvent.objects.filter(pk__in=list(events)).exclude(known_exposure=None).order_by("pk"))
    with in_turn():
        keys = {event.known_exposure_id for event in wanted}
        locked = KnownExposure.objects.select_for_update(of=("self",)).filter(pk__in=keys).order_by("pk")
        rows = {row.pk: row for row in locked}
        fresh = with_undo(ClaimEvent.objects.filter(pk__in=[event.pk for event in wanted])).order_by("pk")
        return _undone(list(fresh), rows, actor, reason)


def _undone(events: Sequence[ClaimEvent], rows: dict[uuid.UUID, KnownExposure], actor: str, reason: str) -> list[Moved]:
    """Take back what can be, of locked rows."""
    move, answers = uuid7(), []
    for event in events:
        row = rows.get(event.known_exposure_id)
        if refusal := _refusal(event, row):
            state = row.state if row else ""
            answers.append(Moved(event.known_exposure_id, event.identifier, state, refusal))
            continue
        before = as_they_are(row, event.before)
        ClaimEvent.of(
            row, UNDONE, event.from_state, actor=actor, reason=reason or f"'{event.what}' of {event.actor}", move=move,
            before=before,
        ).save()  # fmt: skip
        KnownExposure.objects.filter(pk=row.pk, state=event.to_state).update(state=event.from_state, **_earlier(event))
        answers.append(Moved(row.pk, row.identifier, event.from_state))
    return answers


def _refusal(event: ClaimEvent, row: KnownExposure | None) -> str:
    """Why it cannot be taken back; empty where it can."""
    if row is None:
        return "it has been deleted since"
    if event.what not in CAN_BE_UNDONE:
        return f"'{event.what}' cannot be taken back"
    if event.is_overtaken:
        last = ClaimEvent.objects.filter(known_exposure_id=row.pk).first()
        return f"it was {last.what} by {last.actor} since"
    return "" if row.state == event.to_state else f"it is {row.state} now"


def _earlier(event: ClaimEvent) -> dict[str, Any]:
    """The values that the move changed, as they were before, for an update."""
    fields = {name: KnownExposure._meta.get_field(name) for name in event.before}
    return {
        field.attname: value if field.is_relation else field.to_python(value)
        for field, value in ((fields[name], event.before[name]) for name in fields)
    }
