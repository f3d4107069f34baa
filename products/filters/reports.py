"""What reports can be searched by."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from products.dates import date_of_mjd
from products.filters.base import ArchiveFilter, ChoiceFilter, DateFilter, TextFilter
from products.models import Report

FIRST, LAST = 15020.0, 88069.0  # MJD of the years 1900 and 2100: no attempt is older or younger


class ReportFilter(ArchiveFilter):
    """Attempts of the tag by exposure, CCD, place, time and error; `tags=any` asks for those of all tags."""

    exposure = TextFilter("exposure__name", lookup_expr="icontains", label="exposure")
    section = TextFilter(label="CCD")
    instrument = TextFilter("exposure__instrument", label="instrument")
    start = DateFilter("started_at", method="since", label="started from (date or MJD)")
    end = DateFilter("started_at", method="until", label="to", ends=True)
    node = TextFilter(method="at", label="cluster or node")
    step = TextFilter("error_step", label="stopped in")
    error_type = TextFilter(label="error")
    text = TextFilter(method="saying", label="text in the message")
    state = ChoiceFilter(choices=[(state, state) for state in Report.State.values], label="state")
    attempts = ChoiceFilter(choices=[("latest", "the latest of each CCD")], method="latest", label="attempts")
    tags = ChoiceFilter(choices=[("any", "any")], method="leave", label="of the tag", empty_label="chosen")

    class Meta:
        model = Report
        fields: list[str] = []

    @property
    def owned(self) -> Q:
        """Which attempts are searched at all."""
        return Q() if self.wanted.get("tags") == "any" else self.tag.attempts

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        """The attempts of the tag that match, or those of every tag."""
        return super().filter_queryset(queryset.filter(self.owned))

    def without(self, *names: str) -> QuerySet:
        """The attempts of the tag under every filter but these."""
        return super().without(*names).filter(self.owned)

    def since(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """Attempts that began at that time or later."""
        return rows.filter(**{f"{name}__gte": date_of_mjd(min(max(value, FIRST), LAST))})

    def until(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """Attempts that began before that time."""
        return rows.filter(**{f"{name}__lt": date_of_mjd(min(max(value, FIRST), LAST))})

    def at(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Attempts of a cluster, or on a machine."""
        return rows.filter(Q(cluster__icontains=value) | Q(node__icontains=value))

    def saying(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Attempts that stopped with such a message."""
        return rows.exclude(error_type="").filter(error_message__icontains=value)

    def latest(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Leave out attempts that were followed by another of the tag."""
        newer = Report.objects.filter(self.owned, exposure=OuterRef("exposure"), section=OuterRef("section"))
        return rows.exclude(section="").exclude(Exists(newer.filter(attempt__gt=OuterRef("attempt"))))
