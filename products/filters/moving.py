"""What tracklets, matches with known bodies and catalogues of orbits can be searched by."""

from __future__ import annotations

import math

import django_filters
from django.db.models import QuerySet

from products.filters.base import ArchiveFilter, ChoiceFilter, ConeFilter, DateFilter, FloatFilter, TextFilter
from products.filters.measurements import YES_NO
from products.models import KnownObject, OrbitCatalog, Tracklet
from products.selectors.candidates import TO_EXPOSURE


class TrackletFilter(ConeFilter):
    """Tracklets by night, place, motion, and whether they are of a known body."""

    night = DateFilter(method="of_night", label="night (date of its evening, UT)")
    known = ChoiceFilter(choices=YES_NO, method="of_known", label="of a known moving object")
    name = TextFilter("known_as", lookup_expr="icontains", label="designation")
    min_detections = FloatFilter("n_detections", lookup_expr="gte", label="detections at least", min_value=2)
    min_rate = FloatFilter("rate", lookup_expr="gte", label="arcsec/h at least", min_value=0)
    max_rate = FloatFilter("rate", lookup_expr="lte", label="arcsec/h at most", min_value=0)
    object = TextFilter("measurements__object__name", label="links a measurement of the object", distinct=True)
    measurement = django_filters.UUIDFilter("measurements", label="id of a measurement that it links")

    class Meta(ConeFilter.Meta):
        model = Tracklet

    def of_night(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """From noon to noon UT."""
        return rows.filter(tracklet_set__night=math.floor(value))

    def of_known(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Those that are of a known body, or the others."""
        return rows.exclude(known_as="") if value == "yes" else rows.filter(known_as="")


class KnownObjectFilter(ArchiveFilter):
    """Matches by designation, measurement and where that comes from."""

    name = TextFilter(lookup_expr="icontains", label="designation")
    measurement = django_filters.UUIDFilter("measurement", label="id of the measurement")
    object = TextFilter("measurement__object__name", label="object")
    exposure = TextFilter(f"measurement__{TO_EXPOSURE}__name", label="exposure")
    start = DateFilter("measurement__mjd", lookup_expr="gte", label="from (date or MJD)")
    end = DateFilter("measurement__mjd", lookup_expr="lt", label="to", ends=True)
    max_separation = FloatFilter("separation", lookup_expr="lte", label="arcsec at most", min_value=0)

    class Meta:
        model = KnownObject
        fields: list[str] = []


class OrbitCatalogFilter(ArchiveFilter):
    """Catalogues of orbits by name."""

    name = TextFilter(label="name")

    class Meta:
        model = OrbitCatalog
        fields: list[str] = []
