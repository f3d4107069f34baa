"""Claims: hand out one exposure, hear that its holder lives, take it back. All times are those of the database.

A claim is one statement and belongs to the token that its asker drew; whoever has no such token any more is refused.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from django.db import IntegrityError, connection
from django.db.models import Expression, F
from django.db.models.functions import Now

from conductor import steps
from conductor.errors import BadValue, LeaseLost, TokenUsed
from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Policy
from conductor.models.known_exposures import MAX_ATTEMPTS
from conductor.services import policy, workers
from conductor.services.turns import in_turn
from products.models import Exposure

State = KnownExposure.State
LEASE = 120.0  # s
LONGEST_LEASE = 3600.0  # s
SCIENCE = (Exposure.Kind.SCIENCE.value,)
BACK_OFF = (60.0, 300.0)  # s before the next attempt, after the first, and after the second

# The same in both dialects but for the clock, the lock, and that SQLite, which does not know how many rows are in which
# state, must be told the index. SQLite has one writer at a time; PostgreSQL skips the rows that others are just taking.
_DIALECTS = {
    "postgresql": {
        "now": "statement_timestamp()",
        "later": "statement_timestamp() + make_interval(secs => %s)",
        "index": "",
        "lock": "FOR UPDATE SKIP LOCKED",
    },
    "sqlite": {
        "now": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
        "later": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
        "index": "INDEXED BY known_exposure_ready",
        "lock": "",
    },
}
_CLAIM = """
UPDATE conductor_knownexposure
SET state = 'claimed', attempt = attempt + 1, lease_token = %s, lease_expires = {later}, worker_id = %s,
    claimed_at = {now}, started_at = NULL, finished_at = NULL
WHERE id = (
    SELECT id FROM conductor_knownexposure {index}
    WHERE state = 'ready' AND (not_before IS NULL OR not_before <= {now}) {only}
    ORDER BY priority DESC, mjd, id LIMIT 1 {lock}
)
RETURNING *
"""


@dataclass(frozen=True)
class Claim:
    """One exposure in the hands of one holder."""

    known_exposure: KnownExposure
    token: uuid.UUID
    lease_expires: datetime.datetime
    through_step: str  # last step to be done; empty: all


def claim(
    token: uuid.UUID,
    cluster: str,
    node: str = "",
    *,
    instrument: str = "",
    kinds: Sequence[str] = SCIENCE,
    through_step: str = "",
    lease: float = LEASE,
) -> Claim | None:
    """The next exposure for the asker: highest priority, oldest first. None where nothing waits, or all is paused.

    Asked again with the same token it gives the same exposure; TokenUsed once that claim is over.
    """
    steps.checked(through_step)
    _check_lease(lease)
    if again := _again(token, through_step, lease):
        return again
    try:
        with in_turn():
            worker, rules = workers.seen(cluster, node), policy.current()
            _expire_overdue()
            row = None if rules.is_paused else _take(token, worker, instrument, kinds, lease)
            if row is None:
                return None
            ClaimEvent.of(row, "claimed", State.CLAIMED, from_state=State.READY, actor=str(worker), token=token).save()
    except IntegrityError:  # the same asker asked twice at once: the other call has it
        if again := _again(token, through_step, lease):
            return again
        raise
    return _claim(row, rules, through_step)


def _take(
    token: uuid.UUID, worker: PipelineWorker, instrument: str, kinds: Sequence[str], lease: float
) -> KnownExposure | None:
    """The row that the claim took, as it is now."""
    only, chosen = "", []
    if instrument:
        only, chosen = " AND instrument = %s", [instrument]
    if kinds:
        only, chosen = f"{only} AND kind IN ({', '.join(['%s'] * len(kinds))})", [*chosen, *kinds]
    key = KnownExposure._meta.get_field("lease_token").get_db_prep_value(token, connection)
    found = list(KnownExposure.objects.raw(claim_statement(only), [key, lease, worker.pk, *chosen]))
    for row in found:
        row.worker = worker
    return found[0] if found else None


def claim_statement(only: str = "") -> str:
    """The one statement of a claim in the dialect of the database; `only` narrows what may be taken."""
    return _CLAIM.format(only=only, **_DIALECTS[connection.vendor])


def _again(token: uuid.UUID, through_step: str, lease: float) -> Claim | None:
    """The claim that this token made, if it made one; its lease begins anew. TokenUsed where it is over."""
    claimed = ClaimEvent.objects.filter(token=token).first()
    if claimed is None:
        return None
    lives = heartbeat(token, lease=lease)
    row = KnownExposure.objects.select_related("worker").filter(lease_token=token).first() if lives else None
    if row is None:
        raise TokenUsed(identifier=claimed.identifier)
    return _claim(row, policy.current(), through_step)


def _claim(row: KnownExposure, rules: Policy, through_step: str) -> Claim:
    through = steps.earliest(rules.through_step, row.through_step, through_step)
    return Claim(row, row.lease_token, row.lease_expires, through)


def _check_lease(lease: float) -> None:
    if not 0 < lease <= LONGEST_LEASE:
        raise BadValue(field="lease", reason=f"{lease:g} s; more than 0 and at most {LONGEST_LEASE:g} are possible")


def later(seconds: float) -> Expression:
    """An expression: so many seconds after now, by the clock of the database."""
    return Now() + datetime.timedelta(seconds=seconds)


def after_a_while(row: KnownExposure) -> Expression:
    """An expression: when what went wrong in this attempt is tried again; nothing that fails keeps others waiting."""
    return later(BACK_OFF[min(row.attempt, len(BACK_OFF)) - 1])


# What a holder says ----------------------------------------------------------------------------------------


def heartbeat(token: uuid.UUID, *, lease: float = LEASE) -> bool:
    """The holder lives: its lease begins anew. False where it is the holder no longer."""
    _check_lease(lease)
    with in_turn():
        known = KnownExposure.objects.filter(lease_token=token).update(lease_expires=later(lease))
        if known:
            PipelineWorker.objects.filter(known_exposures__lease_token=token).update(last_heartbeat=Now())
    return bool(known)


def start(token: uuid.UUID, *, exposure: Exposure | None = None, sections: Sequence[str] = ()) -> KnownExposure:
    """Processing begins; `sections` are the CCDs that must finish. LeaseLost where the claim is over."""
    with in_turn():
        row = held(token)
        changes = {"state": State.RUNNING, "started_at": Now()}
        changes |= {"exposure": exposure} if exposure else {}
        changes |= {"sections": {name: {"state": "running"} for name in sections}} if sections else {}
        KnownExposure.objects.filter(pk=row.pk, lease_token=token).update(**changes)
        if row.state != State.RUNNING:  # said twice, it began once
            ClaimEvent.of(row, "started", State.RUNNING, actor=str(row.worker or ""), token=token).save()
    row.refresh_from_db()
    return row


def release(token: uuid.UUID, reason: str = "") -> KnownExposure:
    """The holder gives it back, and the attempt does not count. LeaseLost where the claim is over."""
    with in_turn():
        row = held(token)
        mine = KnownExposure.objects.filter(pk=row.pk, lease_token=token)
        mine.update(**FREED, state=State.READY)
        ClaimEvent.of(row, "released", State.READY, actor=str(row.worker or ""), reason=reason, token=token).save()
    row.refresh_from_db()
    return row


FREE = {"lease_token": None, "lease_expires": None}
FREED = {**FREE, "attempt": F("attempt") - 1}  # given back: the attempt does not count


def held(token: uuid.UUID) -> KnownExposure:
    """The row that the token holds, locked; call it inside a transaction. LeaseLost where it holds none."""
    row = (
        KnownExposure.objects.select_for_update(of=("self",)).select_related("worker").filter(lease_token=token).first()
    )
    if row is None:
        refuse(token)
    return row


def refuse(token: uuid.UUID) -> NoReturn:
    """LeaseLost, with what became of the claim."""
    last = ClaimEvent.objects.filter(token=token).first()
    if last is None:
        raise LeaseLost(reason="nobody claimed anything with this token")
    raise LeaseLost(reason=f"{last.identifier}: {last.what} by {last.actor}, {last.at:%Y-%m-%d %H:%M:%S} UTC")


def refuse_another(token: uuid.UUID, row: KnownExposure) -> None:
    """LeaseLost where the token claimed something, but not this."""
    claimed = ClaimEvent.objects.filter(token=token).values_list("known_exposure_id", flat=True).first()
    if claimed not in (None, row.pk):
        raise LeaseLost(reason=f"the token was drawn for something else than {row.identifier}")


# What becomes of those that are heard of no more -----------------------------------------------------------


def expire_overdue() -> int:
    """Take back what lost its holder: ready after a while, or failed when its attempts are used up; how many."""
    with in_turn():
        return _expire_overdue()


def _expire_overdue() -> int:
    overdue = KnownExposure.objects.filter(lease_expires__lt=Now())
    if not overdue.exists():
        return 0
    rows = list(overdue.select_for_update(skip_locked=True, of=("self",)).select_related("worker"))
    lose(rows, actor="conductor", reason="nothing was heard of its holder for the time of its lease", at_once=False)
    return len(rows)


def lose(rows: Sequence[KnownExposure], *, actor: str, reason: str, at_once: bool = True) -> None:
    """Take leased rows, locked by the caller, from their holders; the attempt counts.

    What can be tried again waits for a while unless somebody who looked at it says `at_once`.
    """
    for row in rows:
        last = row.attempt >= MAX_ATTEMPTS
        state = State.FAILED if last else State.READY
        what = f"{row.worker or 'its holder'} was lost while it was {row.state}: {reason}"
        if last:
            what += f"; that was attempt {row.attempt}, and there are {MAX_ATTEMPTS}"
        changes = {**FREE, "state": state, "last_error": what}
        changes |= {"finished_at": Now()} if last else {} if at_once else {"not_before": after_a_while(row)}
        KnownExposure.objects.filter(pk=row.pk, lease_token=row.lease_token).update(**changes)
        ClaimEvent.of(row, "expired", state, actor=actor, reason=what, token=row.lease_token).save()
