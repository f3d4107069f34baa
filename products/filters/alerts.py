"""What alerts can be searched by."""

from __future__ import annotations

import math
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from products.filters.base import ArchiveFilter, ChoiceFilter, DateFilter, TextFilter
from products.models import Alert, DeepScore, Object
from products.selectors.candidates import DIFFERENCE, TO_EXPOSURE

LONG = timedelta(hours=1)
MEASUREMENT = "score__measurement"
STATES = [*Alert.State.choices, ("withheld", "withheld")]


class AlertFilter(ArchiveFilter):
    """Alerts by stream, state, night, exposure, object and topic, and those that want a human."""

    stream = TextFilter(label="stream")
    state = ChoiceFilter(choices=STATES, method="of_state", label="state")
    night = DateFilter(method="of_night", label="night (where it begins)")
    exposure = TextFilter(field_name=f"{MEASUREMENT}__{TO_EXPOSURE}__name", label="exposure")
    section = TextFilter(field_name=f"{MEASUREMENT}__{DIFFERENCE}__section", label="CCD")
    object = TextFilter(method="of_object", label="object")
    topic = TextFilter(lookup_expr="exact", label="topic")
    start = DateFilter(f"{MEASUREMENT}__mjd", lookup_expr="gte", label="measured from (date or MJD)")
    end = DateFilter(f"{MEASUREMENT}__mjd", lookup_expr="lt", label="to", ends=True)
    wanted_by = ChoiceFilter(choices=[("human", "want a human")], method="of_need", label="need")

    class Meta:
        model = Alert
        fields: list[str] = []

    def of_state(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Alerts in a state; those that are withheld wait too."""
        return rows.withheld() if value == "withheld" else rows.filter(state=value)

    def of_object(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Alerts about objects with that in their names."""
        things = Object.objects.filter(name__icontains=value).order_by()
        return rows.filter(score__in=DeepScore.objects.filter(measurement__object__in=things))

    def of_night(self, rows: QuerySet, name: str, mjd: float) -> QuerySet:
        """Alerts about images of the night that begins on that day, at noon UT."""
        noon = math.floor(mjd) + 0.5
        return rows.filter(**{f"{MEASUREMENT}__mjd__gte": noon, f"{MEASUREMENT}__mjd__lt": noon + 1})

    def of_need(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Alerts that were given up, and those that fail and have waited for long."""
        old = Q(state=Alert.State.PENDING, attempts__gt=0, created_at__lt=timezone.now() - LONG)
        return rows.filter(Q(state=Alert.State.DEAD) | old)
