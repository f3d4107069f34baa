"""Exposures in the REST API."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework import serializers

from products.api.base import ReadView
from products.filters.exposures import ExposureFilter
from products.models import Exposure


class ExposureSerializer(serializers.ModelSerializer):
    """One exposure."""

    class Meta:
        model = Exposure
        fields = [
            "id", "name", "instrument", "telescope", "kind", "mjd", "exposure_time", "filter", "filters", "ra", "dec",
            "airmass", "target", "project", "origin", "provenance", "created_at",
        ]  # fmt: skip


class ExposureView(ReadView):
    """Exposures that the archive holds."""

    queryset = Exposure.objects.none()  # for the document; the rows depend on the tag
    serializer_class = ExposureSerializer
    filterset_class = ExposureFilter
    ordering = ["-mjd"]
    ordering_fields = ("mjd", "name", "exposure_time", "created_at")
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> QuerySet[Exposure]:
        """Those of the tag."""
        return self.tag.narrow(Exposure.objects.defer("header", "companions"))
