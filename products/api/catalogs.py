"""Pieces of star catalogues in the REST API."""

from __future__ import annotations

from django.db.models import QuerySet

from products.api.base import ProductView
from products.api.files import BadnessField, FileAddressField, WithFile
from products.api.rows import RowSerializer
from products.filters.catalogs import CatalogExcerptFilter
from products.models import CatalogExcerpt


class CatalogExcerptSerializer(RowSerializer):
    """Stars of one catalogue in one HEALPix cell, or in the field of a table; the stars are in the file."""

    badness = BadnessField()
    file = FileAddressField("api-catalog-excerpt-file")

    class Meta:
        model = CatalogExcerpt
        fields = [
            "id", "origin", "epoch", "order", "cell", "is_whole", "limit", "n_stars", "filters", "brightest",
            "faintest", "ra", "dec", "radius", "corners", "badness", "provenance", "created_at", "filesize", "sha256",
            "file",
        ]  # fmt: skip


class CatalogExcerptView(WithFile, ProductView):
    """Pieces of star catalogues; they belong to no tag."""

    queryset = CatalogExcerpt.objects.none()
    serializer_class = CatalogExcerptSerializer
    filterset_class = CatalogExcerptFilter
    extra_parameters = ("calibrated",)

    def everything(self) -> QuerySet[CatalogExcerpt]:
        """All of them."""
        return CatalogExcerpt.objects.all()

    def get_queryset(self) -> QuerySet[CatalogExcerpt]:
        """All of them: what was imported or fetched serves every tag."""
        return self.everything()
