"""What the queue does by itself, again and again: as the settings say, whatever the table of schedules held before."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone
from django_q.models import Schedule


def keep_schedules(**signal: Any) -> None:
    """One row for each of QUEUE_SCHEDULES, and no other; the results of those tasks are kept only where they failed."""
    Schedule.objects.exclude(name__in=settings.QUEUE_SCHEDULES).delete()
    for name, (function, minutes) in settings.QUEUE_SCHEDULES.items():
        wanted = {
            "func": function,
            "hook": None,
            "args": None,
            "kwargs": str({"q_options": {"save": False}}),
            "schedule_type": Schedule.MINUTES,
            "minutes": minutes,
            "repeats": -1,
            "cluster": None,
        }
        if not Schedule.objects.filter(name=name).update(**wanted):
            Schedule.objects.create(name=name, next_run=timezone.now(), **wanted)
