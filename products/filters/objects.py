"""What objects can be searched by."""

from __future__ import annotations

from django.db.models import QuerySet

from products.filters.base import ChoiceFilter, ConeFilter, DateFilter, FloatFilter, TextFilter
from products.models import Object


class ObjectFilter(ConeFilter):
    """Objects by name, place, time and number of measurements."""

    name = TextFilter(lookup_expr="icontains", label="name")
    show = ChoiceFilter(
        choices=[("kept", "kept at least once"), ("all", "all")], method="shown",
        label="kept: at least one measurement passed every cut (default of the page); all (default of the REST API)",
    )  # fmt: skip
    min_count = FloatFilter("n_measurements", lookup_expr="gte", label="kept measurements at least", min_value=0)
    start = DateFilter("last_seen", lookup_expr="gte", label="last seen from (date or MJD)")
    end = DateFilter("last_seen", lookup_expr="lt", label="last seen to", ends=True)
    bad = ChoiceFilter(choices=[("yes", "yes"), ("no", "no")], method="marked", label="people said: nothing there")

    class Meta(ConeFilter.Meta):
        model = Object

    def shown(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Those that were ever kept, or all."""
        return rows.filter(n_measurements__gte=1) if value == "kept" else rows

    def marked(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Those of which people said that nothing is there, or the others."""
        return rows.filter(is_bad=value == "yes")
