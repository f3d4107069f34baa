"""What exposures can be searched by."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from products.filters.base import ArchiveFilter, ChoiceFilter, DateFilter, PositionFilter, TextFilter
from products.models import Exposure, Image
from products.selectors.exposures import images_covering


class ExposureFilter(ArchiveFilter):
    """Exposures by name, date, position, target, project, filter, kind and instrument."""

    name = TextFilter(lookup_expr="icontains", label="name")
    start = DateFilter("mjd", lookup_expr="gte", label="from (date or MJD)")
    end = DateFilter("mjd", lookup_expr="lt", label="to", ends=True)
    position = PositionFilter(method="covering", label="covers the position (RA Dec, or a name)")
    target = TextFilter(lookup_expr="icontains", label="target")
    project = TextFilter(lookup_expr="icontains", label="project")
    filter = TextFilter(method="of_filter", label="filter")
    kind = ChoiceFilter(choices=[(kind, kind) for kind in Exposure.Kind.values], label="kind")
    instrument = TextFilter(label="instrument")

    class Meta:
        model = Exposure
        fields: list[str] = []

    def covering(self, rows: QuerySet, name: str, place: tuple[float, float]) -> QuerySet:
        """Exposures of which a processed CCD covers the position."""
        found = images_covering(self.tag.narrow(Image.objects.filter(kind=Image.Kind.SCIENCE)), *place, "exposure_id")
        return rows.filter(pk__in={row["exposure_id"] for row in found})

    def of_filter(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Exposures with that filter, in front of all CCDs or of some."""
        return rows.filter(Q(filter=value) | Q(images__filter=value)).distinct()
