"""What known exposures and their events can be searched by, on pages and in the REST API."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import django_filters
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from conductor.models import ClaimEvent, KnownExposure
from products import sky
from products.filters.base import ArchiveFilter, ChoiceFilter, DateFilter, MomentFilter, PositionFilter, TextFilter
from products.models import Exposure
from products.selectors.nights import night_now


class KnownExposureFilter(ArchiveFilter):
    """Known exposures by state, name, date, place, purpose, and who has them."""

    q = TextFilter(method="anywhere", label="identifier, target, project, cluster, or last error")
    state = django_filters.MultipleChoiceFilter(choices=KnownExposure.State.choices, label="state")
    instrument = TextFilter(label="instrument")
    identifier = TextFilter(lookup_expr="icontains", label="identifier")
    start = DateFilter("mjd", lookup_expr="gte", label="from (date or MJD)")
    end = DateFilter("mjd", lookup_expr="lt", label="to", ends=True)
    nights = django_filters.NumberFilter(
        method="since_nights", min_value=1, max_value=10_000, label="of so many nights, tonight's included"
    )
    target = TextFilter(lookup_expr="icontains", label="target")
    project = TextFilter(lookup_expr="icontains", label="project")
    filter = TextFilter(method="of_filter", label="filter")
    kind = ChoiceFilter(choices=[(kind, kind) for kind in Exposure.Kind.values], label="image type")
    min_exposure_time = django_filters.NumberFilter(
        "exposure_time", lookup_expr="gte", min_value=0, max_value=1e6, label="exposure time at least (s)"
    )
    position = PositionFilter(method="near", label="around (RA Dec, or a name)")
    radius = django_filters.NumberFilter(method="leave", min_value=0.001, max_value=30, label="within (°)")
    cluster = TextFilter("worker__cluster", label="cluster")
    watch = TextFilter("watch__name", label="watch")
    error = TextFilter("last_error", lookup_expr="icontains", label="last error")

    class Meta:
        model = KnownExposure
        fields: list[str] = []

    def anywhere(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Known exposures of which a name or the last error has the text in it."""
        worker = Q(worker__cluster__icontains=value) | Q(worker__node__icontains=value)
        named = Q(identifier__icontains=value) | Q(target__icontains=value) | Q(project__icontains=value)
        return rows.filter(named | worker | Q(last_error__icontains=value))

    def since_nights(self, rows: QuerySet, name: str, value: Decimal) -> QuerySet:
        """Known exposures of the last nights; a night runs from noon to noon."""
        return rows.filter(mjd__gte=night_now() - math.ceil(value) + 1.5)

    def of_filter(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Known exposures with that filter, in front of all CCDs or of some."""
        plain = rows.alias(filters_as_text=Cast("filters", TextField()))
        return plain.filter(Q(filter=value) | Q(filters_as_text__contains=f": {json.dumps(value)}"))

    def near(self, rows: QuerySet, name: str, place: tuple[float, float]) -> QuerySet:
        """Known exposures that point at most `radius` (1° without one) from there."""
        radius = float(self.wanted.get("radius", 1.0))
        found = rows.filter(sky.cone(*place, radius))
        return rows.filter(
            pk__in=[
                pk
                for pk, ra, dec in found.order_by().values_list("pk", "ra", "dec")
                if sky.separation(*place, ra, dec) <= radius
            ]
        )


class ClaimEventFilter(ArchiveFilter):
    """Events by known exposure, time, what happened and who did it."""

    known_exposure = django_filters.UUIDFilter("known_exposure_id", label="id of the known exposure")
    instrument = TextFilter(label="instrument")
    identifier = TextFilter(lookup_expr="icontains", label="identifier")
    what = TextFilter(label="what happened")
    actor = TextFilter(lookup_expr="icontains", label="who")
    since = MomentFilter("at", lookup_expr="gte", label="since (UTC)")
    until = MomentFilter("at", lookup_expr="lt", label="until (UTC)")

    class Meta:
        model = ClaimEvent
        fields: list[str] = []
