"""What references and sets of them can be searched by."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet

from products.filters.base import ArchiveFilter, BeginningFilter, PositionFilter, TextFilter
from products.models import Reference, RefSet


class ReferenceFilter(ArchiveFilter):
    """References by what they serve for. Those of the tag, unless a set or `every_tag` is asked for."""

    refset = TextFilter(method="of_set", label="set")
    instrument = TextFilter(label="instrument")
    filter = TextFilter(label="filter")
    section = TextFilter(label="CCD")
    target = TextFilter(lookup_expr="icontains", label="target")
    position = PositionFilter(method="covering", label="covers the position (RA Dec, or a name)")
    every_tag = django_filters.BooleanFilter(method="leave", label="of every tag")

    class Meta:
        model = Reference
        fields: list[str] = []

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        """The rows that match, of the tag where nothing else is asked for."""
        wanted: dict[str, Any] = self.form.cleaned_data
        if not (wanted.get("refset") or wanted.get("every_tag")):
            queryset = self.tag.narrow(queryset)
        return super().filter_queryset(queryset)

    def of_set(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """References of a named set."""
        return rows.filter(provenance__refsets__name=value)

    def covering(self, rows: QuerySet, name: str, place: tuple[float, float]) -> QuerySet:
        """References that cover the position."""
        near = Reference.objects.defer(None).only("ra", "dec", "hpx", "radius", "corners")
        return rows.filter(pk__in=[row.pk for row in near.containing(*place)])


class RefSetFilter(ArchiveFilter):
    """Sets of references by name."""

    name = TextFilter(lookup_expr="icontains", label="name")
    provenance = BeginningFilter("provenance__id", label="id of the provenance begins with")

    class Meta:
        model = RefSet
        fields: list[str] = []
