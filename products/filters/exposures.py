"""What exposures can be searched by."""

from __future__ import annotations

from django.db.models import QuerySet

from products.filters.base import ArchiveFilter, ChoiceFilter, DateFilter, FloatFilter, PositionFilter, TextFilter
from products.models import Exposure, Image
from products.selectors import states
from products.selectors.exposures import images_covering


class ExposureFilter(ArchiveFilter):
    """Exposures by what their headers say, and by what came of them under the tag."""

    name = TextFilter(lookup_expr="icontains", label="name")
    start = DateFilter("mjd", lookup_expr="gte", label="from (date or MJD)")
    end = DateFilter("mjd", lookup_expr="lt", label="to", ends=True)
    position = PositionFilter(method="covering", label="covers the position (RA Dec, or a name)")
    target = TextFilter(lookup_expr="icontains", label="target")
    project = TextFilter(label="project")
    instrument = TextFilter(label="instrument")
    filter = TextFilter(method="of_filter", label="filter")
    kind = ChoiceFilter(choices=[(kind, kind) for kind in Exposure.Kind.values], label="kind")
    max_airmass = FloatFilter("airmass", lookup_expr="lte", label="airmass at most", min_value=1)
    max_seeing = FloatFilter(method="sharper", label="seeing at most (″)", min_value=0)
    min_limit = FloatFilter(method="deeper", label="limit at least (mag)")
    state = ChoiceFilter(choices=[(state, state) for state in states.STATES], method="in_state", label="state")

    class Meta:
        model = Exposure
        fields: list[str] = []

    def covering(self, rows: QuerySet, name: str, place: tuple[float, float]) -> QuerySet:
        """Exposures of which a processed CCD covers the position."""
        found = images_covering(self.tag.narrow(Image.objects.filter(kind=Image.Kind.SCIENCE)), *place, "exposure_id")
        return rows.filter(pk__in={row["exposure_id"] for row in found})

    def of_filter(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Exposures with that filter, in front of all CCDs or of some."""
        return states.with_filter(rows, value)

    def sharper(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """Exposures with no more seeing, in the mean of their CCDs."""
        return states.with_figures(rows, self.tag, "seeing").filter(seeing__lte=value)

    def deeper(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """Exposures at least that deep, in the mean of their CCDs."""
        return states.with_figures(rows, self.tag, "limit").filter(limit__gte=value)

    def in_state(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Science exposures in that state under the tag."""
        return states.with_state(rows, self.tag).filter(kind=Exposure.Kind.SCIENCE, state=value)
