"""What pieces of star catalogues can be searched by."""

from __future__ import annotations

import django_filters
import numpy as np
from django.db.models import QuerySet

from products.filters.base import ArchiveFilter, PositionFilter, TextFilter
from products.models import CatalogExcerpt
from products.sky import cone


class CatalogExcerptFilter(ArchiveFilter):
    """Excerpts by catalogue, by place, and by what was compared with them."""

    origin = TextFilter(label="star catalogue")
    position = PositionFilter(method="covering", label="covers the position (RA Dec, or a name)")
    world_coordinates = django_filters.UUIDFilter("world_coordinates", label="id of a solution that used them")
    zero_point = django_filters.UUIDFilter("zero_points", label="id of a zero point that used them")

    class Meta:
        model = CatalogExcerpt
        fields: list[str] = []

    def covering(self, rows: QuerySet, name: str, place: tuple[float, float]) -> QuerySet:
        """Excerpts that have the stars of a position."""
        ra, dec = (np.array([value]) for value in place)
        near = rows.filter(cone(*place, CatalogExcerpt.objects.reach()))
        return rows.filter(pk__in=[row.pk for row in near if row.covers(ra, dec)[0]])
