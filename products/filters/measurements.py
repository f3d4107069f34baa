"""What measurements can be searched by: one set of filters for the candidates page and the REST API."""

from __future__ import annotations

import math

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from products.filters.base import (
    ChoiceFilter,
    ConeFilter,
    DateFilter,
    FloatFilter,
    TextFilter,
)
from products.models import Label, Measurement
from products.selectors.candidates import DIFFERENCE, TO_EXPOSURE, labelled, scored, with_alert
from products.selectors.moving import is_known

YES_NO = (("yes", "yes"), ("no", "no"))
SAID = (("none", "none"), ("any", "any"), *Label.Verdict.choices, ("disagree", "disagree"))


class MeasurementFilter(ConeFilter):
    """Measurements by what became of them, where they come from, when, where on the sky, and what people say."""

    show = ChoiceFilter(
        choices=[("kept", "kept"), ("cut", "cut"), ("all", "all")], method="shown",
        label="kept: passed every cut; cut: failed at least one; all (default of the REST API)",
    )  # fmt: skip
    failed = TextFilter(method="of_cut", label="name of a cut that it failed")
    filter = TextFilter(label="filter")
    exposure = TextFilter(TO_EXPOSURE + "__name", label="exposure")
    section = TextFilter(DIFFERENCE + "__section", label="CCD")
    night = DateFilter(method="of_night", label="night (date of its evening, UT)")
    start = DateFilter("mjd", lookup_expr="gte", label="from (date or MJD)")
    end = DateFilter("mjd", lookup_expr="lt", label="to", ends=True)
    min_score = FloatFilter(method="score_from", label="score at least", min_value=0, max_value=1)
    max_score = FloatFilter(method="score_to", label="score at most", min_value=0, max_value=1)
    min_snr = FloatFilter("snr", lookup_expr="gte", label="S/N at least", min_value=0)
    max_snr = FloatFilter("snr", lookup_expr="lte", label="S/N at most", min_value=0)
    min_magnitude = FloatFilter("magnitude", lookup_expr="gte", label="magnitude at least (AB)")
    max_magnitude = FloatFilter("magnitude", lookup_expr="lte", label="magnitude at most (AB)")
    object = TextFilter("object__name", label="object")
    negative = ChoiceFilter(choices=YES_NO, method="fading", label="fainter than in the reference")
    label = ChoiceFilter(choices=SAID, method="said", label="label")
    by = TextFilter(method="leave", label="label of whom: a user name, or anybody; yours if not given")
    alert = ChoiceFilter(choices=YES_NO, method="told", label="with an alert")

    known = ChoiceFilter(choices=YES_NO, method="of_known", label="of a known moving object")

    class Meta(ConeFilter.Meta):
        model = Measurement

    def shown(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Kept, cut, or both."""
        return rows if value == "all" else rows.filter(is_bad=value == "cut")

    def of_cut(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Those that failed the cut; a list in JSON is searched as text, which both databases can do."""
        return rows.alias(failed_text=Cast("failed_cuts", TextField())).filter(failed_text__contains=f'"{value}"')

    def of_night(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """From noon to noon UT."""
        begins = math.floor(value) + 0.5
        return rows.filter(mjd__gte=begins, mjd__lt=begins + 1)

    def score_from(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """Scores of the tag's scorer."""
        return rows.filter(scored(self.tag, score__gte=value))

    def score_to(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """Scores of the tag's scorer."""
        return rows.filter(scored(self.tag, score__lte=value))

    def fading(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Negative in the difference, or not."""
        return rows.filter(flux__lt=0) if value == "yes" else rows.filter(flux__gte=0)

    def said(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """What people, or one person, said of it."""
        by, person = self.wanted.get("by", ""), self.request.user
        if value == "none":
            return rows.exclude(pk__in=labelled("any", by, person))
        return rows.filter(pk__in=labelled(value, by, person))

    def of_known(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Those of known bodies of the Solar System under the tag, or the others."""
        return rows.filter(is_known(self.tag) if value == "yes" else ~is_known(self.tag))

    def told(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """With or without an alert under the tag."""
        found = with_alert(self.tag)
        return rows.filter(pk__in=found) if value == "yes" else rows.exclude(pk__in=found)
