"""The policy: pause, and how far anybody goes."""

from __future__ import annotations

from conductor import steps
from conductor.models import Policy


def current() -> Policy:
    """The policy; before anybody set one, nothing is paused and nothing is cut short."""
    return Policy.objects.first() or Policy()


def set_policy(*, is_paused: bool | None = None, through_step: str | None = None) -> Policy:
    """Change what is given of the policy, and leave the rest. BadValue for an unknown step."""
    changes: dict[str, object] = {}
    if is_paused is not None:
        changes["is_paused"] = is_paused
    if through_step is not None:
        changes["through_step"] = steps.checked(through_step)
    row, _ = Policy.objects.update_or_create(pk=Policy.ONLY, defaults=changes)
    return row
