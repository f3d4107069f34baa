"""What a holder says at the end: done only when every CCD finished, tried again after passing troubles."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models.functions import Now

from conductor.errors import BadValue, LeaseLost
from conductor.models import ClaimEvent, KnownExposure
from conductor.models.known_exposures import MAX_ATTEMPTS
from conductor.services.claiming import FREE, after_a_while, held
from conductor.services.turns import in_turn
from products.models import Exposure

State = KnownExposure.State
DONE, FAILED, MISSING = "done", "failed", "missing"
Sections = Mapping[str, Mapping[str, Any]]


def finish(
    token: uuid.UUID,
    sections: Sections,
    *,
    error: str = "",
    transient: bool = False,
    exposure: Exposure | None = None,
) -> KnownExposure:
    """The holder is through: `{CCD: {"state": "done" or "failed", "error": …, "transient": …}}`.

    `error` says why there are no CCDs at all, e.g. that the raw file could not be fetched. A CCD that was named at the
    start and is not named now is missing. What failed for passing reasons only is tried again after a while. Said twice
    it counts once; LeaseLost where the claim is over.
    """
    told = _checked(sections)
    with in_turn():
        try:
            row = held(token)
        except LeaseLost:
            if before := ClaimEvent.objects.filter(token=token, what__in=("finished", "tried again")).first():
                return KnownExposure.objects.get(pk=before.known_exposure_id)
            raise
        told = {name: {"state": MISSING, "error": "nothing was said of it"} for name in row.sections} | told
        state, reason = _outcome(row, told, error, transient)
        changes = {**FREE, "state": state, "sections": told, "last_error": reason, "finished_at": Now()}
        changes |= {"exposure": exposure} if exposure else {}
        again = state == State.READY
        if again:
            changes["not_before"] = after_a_while(row)
        KnownExposure.objects.filter(pk=row.pk, lease_token=token).update(**changes)
        what = "tried again" if again else "finished"
        ClaimEvent.of(row, what, state, actor=str(row.worker or ""), reason=reason, token=token).save()
    row.refresh_from_db()
    return row


def _outcome(row: KnownExposure, told: Sections, error: str, transient: bool) -> tuple[str, str]:
    """The state that follows, and why it is not done."""
    failed = {name: said for name, said in told.items() if said["state"] != DONE}
    if told and not failed and not error:
        return State.DONE, ""
    reasons = [error] if error else []
    reasons += [f"{name}: {said['error'] or said['state']}" for name, said in sorted(failed.items())]
    if not reasons:
        reasons = ["nothing was said of any CCD"]
    passing = all(said.get("transient") for said in failed.values()) and (transient or not error)
    if passing and (failed or error) and row.attempt < MAX_ATTEMPTS:
        return State.READY, "; ".join(reasons)
    return (State.PARTIAL if len(failed) < len(told) else State.FAILED), "; ".join(reasons)


def _checked(sections: Sections) -> dict[str, dict[str, Any]]:
    """Only what is known of a CCD, with all of it there; BadValue says what is wrong."""
    found = {}
    for name, said in sections.items():
        if not isinstance(said, Mapping) or said.get("state") not in (DONE, FAILED):
            raise BadValue(field="sections", reason=f"CCD {name} needs a state, '{DONE}' or '{FAILED}'")
        error, transient = said.get("error", ""), said.get("transient", False)
        if not isinstance(error, str) or not isinstance(transient, bool):
            raise BadValue(field="sections", reason=f"CCD {name}: error is a text, transient is true or false")
        found[name] = {"state": said["state"], "error": error, "transient": transient}
    return found
