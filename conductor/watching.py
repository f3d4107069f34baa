"""Watches: look through a folder or an archive for exposures that are not known yet, and make them known."""

from __future__ import annotations

import datetime
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from conductor.errors import BadValue, CannotLook
from conductor.models import KnownExposure, Watch
from conductor.services.adding import add, named_instrument
from conductor.services.claiming import expire_overdue, later
from processing.errors import StepError
from processing.instruments.offers import Found, Offer, Unreadable, checked_arguments

log = logging.getLogger(__name__)
AT_ONCE = 50  # offers of one transaction, after which the watch is claimed anew
LONGEST_LOOK = 600.0  # s without a sign of life, after which another process may look
NAMED = 5  # unreadable files that the result names


@dataclass
class Look:
    """What one look of a watch found."""

    watch: str
    new: list[str] = field(default_factory=list)  # identifiers
    unreadable: list[Unreadable] = field(default_factory=list)
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return f"could not look: {self.error}"
        text = f"{len(self.new)} new"
        if self.unreadable:
            named = "; ".join(f"{one.identifier}: {one.reason}" for one in self.unreadable[:NAMED])
            more = len(self.unreadable) - NAMED
            text += f", {len(self.unreadable)} unreadable ({named}{f'; and {more} more' if more > 0 else ''})"
        return text

    def counts(self) -> dict[str, int]:
        """The numbers for the row of the watch."""
        return {"new": len(self.new), "unreadable": len(self.unreadable)}


def check_arguments(instrument: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The search arguments as the instrument wants them; BadValue names what is wrong with which."""
    member = named_instrument(instrument)
    if not isinstance(arguments, Mapping):
        raise BadValue(field="arguments", reason="names and values are needed")
    try:
        return checked_arguments(member.offers, arguments)
    except StepError as error:
        raise BadValue(field="arguments", reason=str(error)) from error


def due(watches: Iterable[Watch]) -> list[Watch]:
    """Those of the watches whose interval is over and that are not paused, and those that somebody wants to look."""
    now = timezone.now()
    return [
        watch
        for watch in watches
        if watch.look_at_once or not (watch.is_paused or (watch.last_run and watch.last_run + every(watch) > now))
    ]


def every(watch: Watch) -> datetime.timedelta:
    """The time between two looks."""
    return datetime.timedelta(seconds=watch.interval)


def look_all(watches: Sequence[Watch], *, actor: str = "") -> list[Look]:
    """Let each of the watches look, one after the other; one that fails does not keep the others from looking."""
    expire_overdue()
    return [found for watch in watches if (found := look(watch, actor=actor)) is not None]


def look(watch: Watch, *, actor: str = "") -> Look | None:
    """Let a watch look now, whether or not it is due; the result is in its row. None where another process is at it."""
    if not _claim(watch, Q(claimed_until__isnull=True) | Q(claimed_until__lt=Now())):
        return None
    found = Look(watch.name)
    try:
        _look(watch, found, actor or f"watch {watch.name}")
    except _TakenOver:
        return found
    except (StepError, CannotLook, BadValue) as error:
        found.error = str(error)
    except Exception as error:  # e.g. an archive that answers nonsense: the next look may go better
        log.exception("watch %s", watch.name)
        found.error = f"{type(error).__name__}: {error}"
    Watch.objects.filter(pk=watch.pk, claimed_until=watch.claimed_until).update(
        claimed_until=None,
        look_at_once=False,
        last_run=Now(),
        last_result="" if found.error else str(found),
        last_counts=found.counts(),
        last_error=found.error,
    )
    return found


class _TakenOver(Exception):
    """Another process looks for this watch: this one was silent for too long."""


def _claim(watch: Watch, condition: Q) -> bool:
    """Take the watch, or keep it, for a while; False where another process has it."""
    if not Watch.objects.filter(condition, pk=watch.pk).update(claimed_until=later(LONGEST_LOOK)):
        return False
    watch.refresh_from_db(fields=["claimed_until"])
    return True


def _look(watch: Watch, found: Look, actor: str) -> None:
    instrument = named_instrument(watch.instrument)
    arguments = check_arguments(watch.instrument, watch.arguments)
    known = set(KnownExposure.objects.filter(instrument=watch.instrument).values_list("identifier", flat=True))
    offers = _readable(instrument.offers(known, **arguments), found)
    while some := list(itertools.islice(offers, AT_ONCE)):
        added = add(
            watch.instrument, some, actor=actor, hold=watch.hold, priority=watch.priority,
            through_step=watch.through_step, watch=watch,
        )  # fmt: skip
        found.new += [row.identifier for row in added.new]
        found.unreadable += added.refused
        if not _claim(watch, Q(claimed_until=watch.claimed_until)):
            raise _TakenOver


def _readable(everything: Iterable[Found], found: Look) -> Iterator[Offer]:
    """The offers; what is unreadable is noted."""
    for offer in everything:
        if isinstance(offer, Unreadable):
            found.unreadable.append(offer)
        else:
            yield offer
