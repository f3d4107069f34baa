"""The policy: pause, and how far anybody goes."""

from __future__ import annotations

from conductor import steps
from conductor.models import ClaimEvent, Policy
from conductor.services.turns import in_turn

SUBJECT = "handing out"  # what its events are about


def current() -> Policy:
    """The policy; before anybody set one, nothing is paused and nothing is cut short."""
    return Policy.objects.first() or Policy()


def set_policy(
    *, is_paused: bool | None = None, through_step: str | None = None, actor: str = "", reason: str = ""
) -> Policy:
    """Change what is given of the policy, and leave the rest. BadValue for an unknown step."""
    changes: dict[str, object] = {}
    if is_paused is not None:
        changes["is_paused"] = is_paused
    if through_step is not None:
        changes["through_step"] = steps.checked(through_step)
    with in_turn():
        before = current()
        row, _ = Policy.objects.update_or_create(pk=Policy.ONLY, defaults=changes)
        if row.is_paused != before.is_paused:
            ClaimEvent.about(SUBJECT, "paused" if row.is_paused else "resumed", actor=actor, reason=reason)
        if row.through_step != before.through_step:
            said = f"through {row.through_step or 'the last step'}"
            ClaimEvent.about(SUBJECT, "changed", actor=actor, reason="; ".join(filter(None, [said, reason])))
    return row


def last_pause() -> ClaimEvent | None:
    """Who paused it last, and why."""
    return ClaimEvent.objects.filter(known_exposure=None, identifier=SUBJECT, what="paused").first()
