"""What people do with known exposures: one or many at once, each move checked against the state and written down."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conductor import steps
from conductor.errors import BadValue, WrongState
from conductor.models import ClaimEvent, KnownExposure
from conductor.services.claiming import FREED, lose
from conductor.services.turns import in_turn
from products.ids import uuid7

State = KnownExposure.State
LEASED = tuple(KnownExposure.LEASED)
FREE_STATES = tuple(state for state in State if state not in LEASED)
AT_ONCE = 500  # rows of one transaction
_ANEW = {
    "attempt": 0, "not_before": None, "last_error": "", "worker": None, "claimed_at": None,
    "started_at": None, "finished_at": None,
}  # fmt: skip


@dataclass(frozen=True)
class Action:
    """A move: from which states, to which, and what it is called once it is done."""

    done: str
    allowed: tuple[str, ...]
    to_state: str | None  # None: it stays what it is; empty: it is gone
    help: str
    changes: Mapping[str, Any] = field(default_factory=dict)  # besides the state
    can_be_undone: bool = True


ACTIONS = {
    "hold": Action("held", (State.READY, State.PARTIAL, State.FAILED), State.HELD, "Do not hand it out."),
    "ready": Action("made ready", FREE_STATES, State.READY, "Hand it out; attempts begin at nought again.", _ANEW),
    "release": Action(
        "released", LEASED, State.READY, "Take it from its holder; the attempt does not count.", FREED, False
    ),
    "expire": Action(
        "expired", LEASED, State.READY, "Take it from a holder that is lost; the attempt counts.", {}, False
    ),
    "accept": Action("accepted", (State.PARTIAL, State.FAILED), State.DONE, "Take it as done, whatever failed."),
    "delete": Action("deleted", FREE_STATES, "", "Forget it; products and events stay.", {}, False),
    "change": Action("changed", tuple(State), None, "Set priority, not-before or through-step."),
}


@dataclass(frozen=True)
class Moved:
    """What became of one row: `error` is empty where it was moved."""

    id: uuid.UUID
    identifier: str
    state: str  # as it is now; empty: it is gone, or never was
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was moved."""
        return not self.error


def move(action: str, ids: Iterable[uuid.UUID], *, actor: str, reason: str = "", **values: Any) -> list[Moved]:
    """Do `action` with each of the known exposures, in the order of `ids`; those that cannot be moved say why.

    `values` are those of `change`: priority, not_before, through_step. BadValue where they, or the action, are wrong.
    """
    if action not in ACTIONS:
        raise BadValue(field="action", reason=f"there is no action '{action}'; there are: {', '.join(ACTIONS)}")
    _check_values(action, values)
    wanted = list(dict.fromkeys(ids))
    found: dict[uuid.UUID, Moved] = {}
    for begin in range(0, len(wanted), AT_ONCE):
        some = wanted[begin : begin + AT_ONCE]
        with in_turn():
            rows = KnownExposure.objects.select_for_update(of=("self",)).select_related("worker").filter(pk__in=some)
            for row in _moved(action, list(rows.order_by("pk")), actor, reason, values):
                found[row.id] = row
    return [found.get(pk) or Moved(pk, str(pk), "", "there is no such known exposure") for pk in wanted]


def move_one(action: str, row: KnownExposure, *, actor: str, reason: str = "", **values: Any) -> KnownExposure:
    """Do `action` with one; WrongState where its state does not allow that. The row as it is then."""
    (moved,) = move(action, [row.pk], actor=actor, reason=reason, **values)
    if not moved.ok:
        allowed = listed(ACTIONS[action].allowed)
        raise WrongState(
            identifier=row.identifier, state=moved.state or "gone", done=ACTIONS[action].done, allowed=allowed
        )
    if moved.state:
        row.refresh_from_db()
    return row


def _moved(action: str, rows: Sequence[KnownExposure], actor: str, reason: str, values: dict[str, Any]) -> list[Moved]:
    """Move locked rows."""
    what = ACTIONS[action]
    able = [row for row in rows if row.state in what.allowed]
    refused = [row for row in rows if row.state not in what.allowed]
    if action == "expire":
        lose(able, actor=actor, reason=reason or "somebody said so")
    else:
        _write(what, able, actor, reason, values)
        _change(what, able, values)
    now = dict(KnownExposure.objects.filter(pk__in=[row.pk for row in able]).values_list("pk", "state"))
    answers = [Moved(row.pk, row.identifier, now.get(row.pk, "")) for row in able]
    wrong = f"cannot be {what.done}; that is for what is {listed(what.allowed)}"
    return answers + [Moved(row.pk, row.identifier, row.state, f"it is {row.state}: it {wrong}") for row in refused]


def _write(what: Action, rows: Sequence[KnownExposure], actor: str, reason: str, values: dict[str, Any]) -> None:
    """The events of rows that are about to be moved."""
    kept = sorted({*what.changes, *values}) if what.can_be_undone else []
    move = uuid7()
    ClaimEvent.objects.bulk_create(
        ClaimEvent.of(
            row, what.done, row.state if what.to_state is None else what.to_state, actor=actor,
            reason="; ".join(filter(None, [*_changes(row, values), reason])),
            token=row.lease_token, move=move, before=as_they_are(row, kept),
        )
        for row in rows
    )  # fmt: skip


def _changes(row: KnownExposure, values: dict[str, Any]) -> Iterator[str]:
    """`priority 0 → 90`."""
    for name, value in values.items():
        yield f"{name.replace('_', ' ')} {_plain(getattr(row, name))} → {_plain(value)}"


def _plain(value: Any) -> str:
    return (
        f"{value:%Y-%m-%d %H:%M} UT"
        if isinstance(value, datetime.datetime)
        else "–"
        if value in (None, "")
        else str(value)
    )


def as_they_are(row: KnownExposure, names: Iterable[str]) -> dict[str, Any]:
    """Values of a row by the names of its fields as JSON takes them: keys of other rows, times to the microsecond."""
    found = {name: getattr(row, KnownExposure._meta.get_field(name).attname) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime.datetime) else value for name, value in found.items()}


def _change(what: Action, rows: Sequence[KnownExposure], values: dict[str, Any]) -> None:
    """The conditional update of a move."""
    chosen = KnownExposure.objects.filter(pk__in=[row.pk for row in rows], state__in=what.allowed)
    if what.to_state == "":
        chosen.delete()
    else:
        chosen.update(**what.changes, **({"state": what.to_state} if what.to_state else {}), **values)


def _check_values(action: str, values: dict[str, Any]) -> None:
    kinds = {"priority": int, "not_before": datetime.datetime | None, "through_step": str}
    if action != "change":
        if values:
            raise BadValue(field=next(iter(values)), reason=f"'{action}' takes no values")
        return
    if not values:
        raise BadValue(field="action", reason=f"'change' needs one of {', '.join(kinds)}")
    for name, value in values.items():
        if name not in kinds:
            raise BadValue(field=name, reason=f"there is no such value; there are: {', '.join(kinds)}")
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise BadValue(field=name, reason=f"{value!r} cannot be used")
    if abs(values.get("priority", 0)) > 1_000_000:
        raise BadValue(field="priority", reason="from -1000000 to 1000000 are possible")
    if (moment := values.get("not_before")) and not 1970 < moment.year < 2200:
        raise BadValue(field="not_before", reason=f"{moment.year} is not a year in which anybody waits for an exposure")
    steps.checked(values.get("through_step", ""))


def listed(states: Iterable[str]) -> str:
    """`ready, partial or failed`."""
    return " or ".join(filter(None, [", ".join([*states][:-1]), [*states][-1]]))
