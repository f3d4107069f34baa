"""What people do with watches, each written down as an event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Max

from conductor.models import ClaimEvent, Watch
from conductor.services.turns import in_turn

SET = ("name", "instrument", "arguments", "interval", "hold", "is_paused", "priority", "through_step")  # by people


def save(watch: Watch, *, actor: str, reason: str = "") -> Watch:
    """Make a watch, or change what people set of it: what a look notes meanwhile stays."""
    with in_turn():
        before = Watch.objects.filter(pk=watch.pk).first()
        watch.save(update_fields=SET if before else None)
        changed = {name for name in SET if before and getattr(before, name) != getattr(watch, name)}
        if before is None or changed - {"is_paused"}:
            _tell(watch, "changed" if before else "added", actor, reason)
        if watch.is_paused != (before is not None and before.is_paused):
            _tell(watch, "paused" if watch.is_paused else "resumed", actor, reason)
    return watch


def pause(watch: Watch, is_paused: bool, *, actor: str, reason: str = "") -> None:
    """Let it look no more, or again; nothing where that is so already."""
    _change(watch, "paused" if is_paused else "resumed", {"is_paused": is_paused}, actor, reason)


def look_soon(watch: Watch, *, actor: str, reason: str = "") -> None:
    """Let it look as soon as a process that watches is free, due or not."""
    _change(watch, "asked to look", {"look_at_once": True}, actor, reason)


def delete(watch: Watch, *, actor: str, reason: str = "") -> None:
    """Forget it; what it found stays known."""
    with in_turn():
        _tell(watch, "deleted", actor, reason)
        watch.delete()


def why_paused(watches: Iterable[Watch]) -> dict[int, ClaimEvent]:
    """Who paused each of the paused watches, and why, by the key of the watch."""
    names = {f"watch {watch.name}": watch.pk for watch in watches if watch.is_paused}
    told = ClaimEvent.objects.filter(known_exposure=None, what="paused", identifier__in=names)
    last = told.order_by().values("identifier").annotate(last=Max("id")).values("last")
    return {names[event.identifier]: event for event in ClaimEvent.objects.filter(pk__in=last)} if names else {}


def _change(watch: Watch, what: str, values: dict[str, Any], actor: str, reason: str) -> None:
    with in_turn():
        if Watch.objects.filter(pk=watch.pk).exclude(**values).update(**values):
            _tell(watch, what, actor, reason)


def _tell(watch: Watch, what: str, actor: str, reason: str) -> None:
    ClaimEvent.about(f"watch {watch.name}", what, actor=actor, reason=reason, instrument=watch.instrument)
