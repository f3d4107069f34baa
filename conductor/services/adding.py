"""Make exposures known: by a page, the API, a command or a watch. What is known already is left alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from conductor import steps
from conductor.errors import BadValue
from conductor.models import ClaimEvent, KnownExposure, Watch
from conductor.services.claiming import SCIENCE
from conductor.services.turns import in_turn
from processing.instruments.base import Instrument
from processing.instruments.offers import Offer, Unreadable
from processing.parameters import ConfigurationError

State = KnownExposure.State
FROM_OFFER = (
    "identifier", "params", "kind", "mjd", "exposure_time", "filter", "filters", "target", "project",
)  # fmt: skip


@dataclass
class Added:
    """What became of exposures that were offered."""

    new: list[KnownExposure] = field(default_factory=list)
    known: list[str] = field(default_factory=list)  # identifiers
    refused: list[Unreadable] = field(default_factory=list)  # what cannot be a row


def add(
    instrument: str,
    offers: Iterable[Offer],
    *,
    actor: str,
    hold: bool = False,
    priority: int = 0,
    through_step: str = "",
    watch: Watch | None = None,
) -> Added:
    """Make the offered exposures of an instrument known, held or ready; BadValue for an unknown instrument or step.

    What is no science exposure is held, since no launcher asks for it: nothing waits that nobody will take.
    Two that add the same exposure at once add it once: the rows that the constraint lets in are the new ones.
    """
    named_instrument(instrument)
    steps.checked(through_step)
    common = {
        "instrument": instrument, "priority": priority, "through_step": through_step, "watch": watch,
    }  # fmt: skip
    made = [_row(offer, common) for offer in offers]
    added = Added(refused=[row for row in made if isinstance(row, Unreadable)])
    rows = {row.identifier: row for row in made if isinstance(row, KnownExposure)}
    rows = [rows[name] for name in sorted(rows)]
    for row in rows:
        row.state = State.HELD if hold or row.kind not in SCIENCE else State.READY
    with in_turn():
        fresh = _insert(instrument, rows)
        ClaimEvent.objects.bulk_create(
            ClaimEvent.of(row, "added", row.state, from_state="", actor=actor, reason=_why_held(row)) for row in fresh
        )
    added.new = fresh
    ids = {row.pk for row in fresh}
    added.known = [row.identifier for row in rows if row.pk not in ids]
    return added


def _why_held(row: KnownExposure) -> str:
    return "" if row.kind in SCIENCE else f"it is a {row.kind} exposure, and launchers take those of the sky"


def _insert(instrument: str, rows: Sequence[KnownExposure]) -> list[KnownExposure]:
    """Insert what is not there; the rows that went in. Their order is that of the names, for all alike: no deadlock."""
    known = known_identifiers(instrument, [row.identifier for row in rows])
    asked = [row for row in rows if row.identifier not in known]
    KnownExposure.objects.bulk_create(asked, ignore_conflicts=True)
    there = set(KnownExposure.objects.filter(pk__in=[row.pk for row in asked]).values_list("pk", flat=True))
    return [row for row in asked if row.pk in there]


def known_identifiers(instrument: str, among: Sequence[str]) -> set[str]:
    """Those of the identifiers that are known of an instrument."""
    found = KnownExposure.objects.filter(instrument=instrument, identifier__in=among)
    return set(found.values_list("identifier", flat=True))


def named_instrument(name: str) -> Instrument:
    """The instrument; BadValue lists those that there are."""
    try:
        return Instrument.member(name)()
    except ConfigurationError as error:
        raise BadValue(field="instrument", reason=str(error)) from error


def _row(offer: Offer, common: dict[str, Any]) -> KnownExposure | Unreadable:
    row = KnownExposure(**common, **{name: getattr(offer, name) for name in FROM_OFFER})
    numbers = {name: getattr(offer, name) for name in ("mjd", "exposure_time", "ra", "dec")}
    try:
        if wrong := [name for name, value in numbers.items() if value is not None and not math.isfinite(value)]:
            raise ValueError(f"{', '.join(wrong)} is not a number")
        plain = {name: getattr(row, name) for name in FROM_OFFER}
        if "\\u0000" in json.dumps(plain, allow_nan=False):
            raise ValueError("there is a NUL in it")
        row.set_position(offer.ra, offer.dec)
        row.clean_fields(exclude=["watch", "worker", "exposure"])
    except ValidationError as error:
        return Unreadable(
            offer.identifier, "; ".join(f"{name}: {said[0]}" for name, said in error.message_dict.items())
        )
    except (TypeError, ValueError) as error:
        return Unreadable(offer.identifier, str(error))
    return row
