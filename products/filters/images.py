"""What images, and what was measured on them, can be searched by."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet

from products.filters.base import ArchiveFilter, ChoiceFilter, DateFilter, FloatFilter, PositionFilter, TextFilter
from products.models import PSF, Image, SourceList, WorldCoordinates, ZeroPoint
from products.selectors.exposures import images_covering


class ImageFilter(ArchiveFilter):
    """Images of every kind by exposure, CCD, filter, date and position."""

    kind = ChoiceFilter(choices=[(kind, kind) for kind in Image.Kind.values], label="kind")
    exposure = TextFilter("exposure__name", label="name of the exposure")
    section = TextFilter(label="CCD")
    filter = TextFilter(label="filter")
    instrument = TextFilter(label="instrument")
    target = TextFilter(label="target")
    calibrator = django_filters.UUIDFilter("calibrators", label="id of a calibrator that was applied")
    start = DateFilter("mjd", lookup_expr="gte", label="from (date or MJD)")
    end = DateFilter("mjd", lookup_expr="lt", label="to", ends=True)
    position = PositionFilter(method="covering", label="covers the position (RA Dec, or a name)")

    class Meta:
        model = Image
        fields: list[str] = []

    def covering(self, rows: QuerySet, name: str, place: tuple[float, float]) -> QuerySet:
        """Images whose footprint has the position in it."""
        return rows.filter(pk__in=[row["pk"] for row in images_covering(rows, *place, "pk")])


class OfImageFilter(ArchiveFilter):
    """What was measured on an image, by the image."""

    to_image: ClassVar[str] = ""  # lookup from the rows to their image

    image = django_filters.UUIDFilter(method="on_image", label="id of the image")
    exposure = TextFilter(method="on_image", label="name of the exposure")
    section = TextFilter(method="on_image", label="CCD")
    filter = TextFilter(method="on_image", label="filter")
    instrument = TextFilter(method="on_image", label="instrument")
    start = DateFilter(method="on_image", label="image taken from (date or MJD)")
    end = DateFilter(method="on_image", label="to", ends=True)

    LOOKUPS: ClassVar[dict[str, str]] = {
        "image": "", "exposure": "__exposure__name", "section": "__section", "filter": "__filter",
        "instrument": "__instrument", "start": "__mjd__gte", "end": "__mjd__lt",
    }  # fmt: skip

    def on_image(self, rows: QuerySet, name: str, value: Any) -> QuerySet:
        """Rows of images with that value."""
        return rows.filter(**{self.to_image + self.LOOKUPS[name]: value})


class SourceListFilter(OfImageFilter):
    """Source lists."""

    to_image = "image"
    kind = ChoiceFilter(choices=[(kind, kind) for kind in SourceList.Kind.values], label="kind")

    class Meta:
        model = SourceList
        fields: list[str] = []


class PSFFilter(OfImageFilter):
    """PSFs."""

    to_image = "sources__image"

    class Meta:
        model = PSF
        fields: list[str] = []


class WorldCoordinatesFilter(OfImageFilter):
    """Astrometric solutions."""

    to_image = "sources__image"
    catalog = TextFilter(label="star catalogue")
    catalog_excerpt = django_filters.UUIDFilter("catalog_excerpts", label="id of a piece of a catalogue")

    class Meta:
        model = WorldCoordinates
        fields: list[str] = []


class ZeroPointFilter(OfImageFilter):
    """Photometric solutions."""

    to_image = "world_coordinates__sources__image"
    catalog = TextFilter(label="star catalogue")
    catalog_excerpt = django_filters.UUIDFilter("catalog_excerpts", label="id of a piece of a catalogue")
    min_limit = FloatFilter("limiting_magnitude", lookup_expr="gte", label="limit at least (mag)")

    class Meta:
        model = ZeroPoint
        fields: list[str] = []
