"""Source lists, with the rows of their tables, and PSFs in the REST API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from products.api.base import ProductView
from products.api.files import BadnessField, FileAddressField, WithFile
from products.api.parameters import Pages, whole_number
from products.api.rows import IMAGE, OfImage, with_image
from products.errors import ArchiveError
from products.filters.images import PSFFilter, SourceListFilter
from products.models import PSF, SourceList

LAST_ROW = 10**9


class SourceListSerializer(OfImage):
    """One source list."""

    badness = BadnessField()
    file = FileAddressField("api-source-list-file")

    class Meta:
        model = SourceList
        fields = [
            *IMAGE, "kind", "n_sources", "n_stars", "aperture_radii", "best_aperture", "threshold", "quality",
            "badness", "provenance", "created_at", "filesize", "sha256", "file",
        ]  # fmt: skip


class RowsSerializer(serializers.Serializer):
    """Some rows of a table."""

    next = serializers.URLField(allow_null=True)
    total = serializers.IntegerField()
    units = serializers.DictField(child=serializers.CharField())
    results = serializers.ListField(child=serializers.DictField())


class SourceListView(WithFile, ProductView):
    """Source lists: `kind=sources` of images, `kind=detections` of differences. The tables are files."""

    queryset = SourceList.objects.none()
    serializer_class = SourceListSerializer
    filterset_class = SourceListFilter
    extra_parameters = ("start_row", "page_size", "calibrated")

    def everything(self) -> QuerySet[SourceList]:
        """The source lists of all tags."""
        return with_image(SourceList.objects.all(), "image")

    @extend_schema(
        filters=False,
        responses=RowsSerializer,
        parameters=[
            OpenApiParameter("start_row", {"type": "integer", "minimum": 0}, description="First row, counted from 0."),
            OpenApiParameter("page_size", {"type": "integer", "minimum": 1, "maximum": Pages.largest}),
            OpenApiParameter("tag", OpenApiTypes.STR, exclude=True),
        ],
    )
    @action(detail=True)
    def rows(self, request: Request, **kwargs: Any) -> Response:
        """Rows of the table: positions in pixels from 0, fluxes in electrons; `next` leads on."""
        found = self.get_object()
        start = whole_number(request, "start_row", 0, 0, LAST_ROW)
        size = whole_number(request, "page_size", Pages.page_size, 1, Pages.largest)
        try:
            table = found.table
        except (ArchiveError, OSError) as error:
            raise NotFound(f"the table cannot be read: {error}") from error
        part = [] if table is None else table[start : start + size]
        names = table.dtype.names if table is not None else ()
        total = 0 if table is None else len(table)
        address = replace_query_param(request.build_absolute_uri(), "start_row", start + size)
        return Response(
            {
                "next": address if start + size < total else None,
                "total": total,
                "units": {name: unit for name, unit in SourceList.UNITS.items() if name in names},
                "results": [dict(zip(names, (value.tolist() for value in row))) for row in part],
            }
        )


class PSFSerializer(OfImage):
    """One PSF; the planes of the model are its file."""

    badness = BadnessField()
    file = FileAddressField("api-psf-file")

    class Meta:
        model = PSF
        fields = [
            *IMAGE, "sources", "fwhm_pixels", "order", "n_stars", "chi2", "model_header", "quality", "badness",
            "provenance", "created_at", "filesize", "sha256", "file",
        ]  # fmt: skip


class PSFView(WithFile, ProductView):
    """Point spread functions."""

    queryset = PSF.objects.none()
    serializer_class = PSFSerializer
    filterset_class = PSFFilter
    extra_parameters = ("calibrated",)

    def everything(self) -> QuerySet[PSF]:
        """The PSFs of all tags."""
        return with_image(PSF.objects.all(), "sources__image")
