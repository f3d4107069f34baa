"""What calibrators can be searched by."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from products.filters.base import ArchiveFilter, ChoiceFilter, DateFilter, TextFilter
from products.models import CalibratorFile


class CalibratorFilter(ArchiveFilter):
    """Calibrators by what they correct, of which CCD, and when they hold."""

    kind = ChoiceFilter(choices=CalibratorFile.Kind.choices, label="kind")
    calibrator_set = ChoiceFilter(choices=CalibratorFile.Set.choices, label="set")
    instrument = TextFilter(label="instrument")
    section = TextFilter(label="CCD")
    filter = TextFilter(label="filter")
    flat_type = ChoiceFilter(choices=CalibratorFile.FlatType.choices, label="light of a flat")
    superseded = ChoiceFilter(
        choices=[("no", "not superseded"), ("yes", "superseded")], method="given_up", label="superseded"
    )
    valid_at = DateFilter(method="holding", label="valid at (date or MJD)")

    class Meta:
        model = CalibratorFile
        fields: list[str] = []

    def given_up(self, rows: QuerySet, name: str, which: str) -> QuerySet:
        """Those in whose place another one is, or the others."""
        return rows.filter(superseded_by__isnull=which == "no")

    def holding(self, rows: QuerySet, name: str, mjd: float) -> QuerySet:
        """Those that hold at a date."""
        begun = Q(valid_from=None) | Q(valid_from__lte=mjd)
        return rows.filter(begun, Q(valid_to=None) | Q(valid_to__gte=mjd))
