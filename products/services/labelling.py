"""Labels: what people say that measurements are. One a person and measurement; who says it again changes it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from products.models import Label, Measurement


def say(person: User, measurements: Sequence[UUID], verdict: str, remark: str = "") -> int:
    """Label measurements, in one statement; an empty verdict takes labels back. How many measurements there were."""
    known = set(Measurement.objects.filter(pk__in=measurements).values_list("pk", flat=True))
    if not verdict:
        Label.objects.filter(measurement__in=known, person=person).delete()
        return len(known)
    now = timezone.now()
    rows = [Label(measurement_id=key, person=person, verdict=verdict, remark=remark, changed_at=now) for key in known]
    Label.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["measurement", "person"],
        update_fields=["verdict", "remark", "changed_at"],
    )
    return len(known)
