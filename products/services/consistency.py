"""Hold the rows against each other: badness that was not handed on, alerts that wait."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterator

from django.apps import apps
from django.db.models import Q
from django.utils import timezone

from products.models import Alert
from products.models.badness import Badness, HasBadness
from products.services.checking import Finding, Tell, Trouble


def check_badness(tell: Tell) -> Iterator[Finding]:
    """Products whose inherited bits are not those of what they were made of.

    Only those that have inherited bits, or a parent with bits, can be wrong; the rest is not looked at.
    """
    models = [model for model in apps.get_models() if issubclass(model, HasBadness) and not model._meta.proxy]
    tick = tell("badness", len(models))
    for model in models:
        rows = model._base_manager.order_by()
        right: dict[object, int] = defaultdict(int)
        for path in model.upstream_paths():
            own, inherited = f"{path}__badness_own", f"{path}__badness_upstream"
            bad = rows.filter(Q(**{f"{own}__gt": 0}) | Q(**{f"{inherited}__gt": 0}))
            for pk, one, other in bad.values_list("pk", own, inherited).iterator():
                right[pk] |= one | other
        held = dict(rows.exclude(badness_upstream=0).values_list("pk", "badness_upstream"))
        for pk in {**held, **right}:
            if held.get(pk, 0) != right.get(pk, 0):
                detail = f"inherits {_names(held.get(pk, 0))}, should inherit {_names(right.get(pk, 0))}"
                yield Finding(Trouble.BADNESS, f"{model._meta.verbose_name} {pk}", detail, row=(model, pk))
        tick(1)


def _names(bits: int) -> str:
    return Badness(bits).label or "nothing"


def check_alerts(grace_hours: float) -> Iterator[Finding]:
    """Alerts that have waited longer than the grace time, and those that were given up."""
    before = timezone.now() - datetime.timedelta(hours=grace_hours)
    waiting = Alert.objects.filter(state=Alert.State.PENDING, created_at__lt=before)
    dead = Alert.objects.filter(state=Alert.State.DEAD)
    for trouble, rows in ((Trouble.ALERT_WAITS, waiting), (Trouble.ALERT_DEAD, dead)):
        found = rows.with_marks().only("stream", "state", "attempts", "error")
        for alert in found.iterator(chunk_size=2000):
            detail = f"stream {alert.stream}, {alert.attempts} attempts"
            why = alert.what_became if alert.shown_state == "withheld" else alert.error
            yield Finding(trouble, f"alert {alert.pk}", f"{detail}: {why}" if why else detail)
