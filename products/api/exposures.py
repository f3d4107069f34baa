"""Exposures in the REST API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from products.api.base import ProductView
from products.api.files import BadnessField, FileAddressField, WithFile
from products.api.parameters import ALWAYS, ShortPages, refuse_others
from products.api.rows import RowSerializer
from products.filters.exposures import ExposureFilter
from products.models import Exposure
from products.selectors import exposures as selector
from products.selectors import states
from products.selectors.trace import exposure_by_name


class ExposureSerializer(RowSerializer):
    """One exposure."""

    badness = BadnessField()
    file = FileAddressField("api-exposure-file", "name")

    class Meta:
        model = Exposure
        fields = [
            "id", "name", "instrument", "telescope", "kind", "mjd", "exposure_time", "filter", "filters", "ra", "dec",
            "airmass", "target", "project", "origin", "badness", "provenance", "created_at", "filesize", "sha256",
            "file",
        ]  # fmt: skip


class StateField(serializers.ChoiceField):
    """How far an exposure of the sky is; null for one that is for calibration."""

    def __init__(self, **options: Any) -> None:
        super().__init__(states.STATES, source="*", read_only=True, allow_null=True, **options)

    def to_representation(self, row: selector.ExposureRow) -> str | None:
        """The state."""
        return row.state if row.exposure.kind == Exposure.Kind.SCIENCE else None


class ProgressSerializer(serializers.Serializer):
    """What came of an exposure under the tag, over its CCDs."""

    state = StateField()
    tried = serializers.IntegerField(help_text="CCDs.")
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    seeing = serializers.FloatField(allow_null=True, help_text="Mean, arcsec.")
    limits = serializers.DictField(child=serializers.FloatField(), help_text="Filter to mean 5σ limit, AB mag.")
    detected = serializers.IntegerField(allow_null=True)
    kept = serializers.IntegerField(allow_null=True)
    errors = serializers.DictField(child=serializers.IntegerField(), help_text="Error to the number of CCDs.")


class ListedExposureSerializer(ExposureSerializer):
    """One exposure with what came of it."""

    progress = serializers.SerializerMethodField()

    class Meta(ExposureSerializer.Meta):
        fields = [*ExposureSerializer.Meta.fields, "progress"]

    @extend_schema_field(ProgressSerializer)
    def get_progress(self, row: Exposure) -> dict[str, Any]:
        """Counts under the tag."""
        return self.context["progress"][row.pk]


class CCDSerializer(serializers.Serializer):
    """One CCD of an exposure under the tag: how far it came, and its figures."""

    section = serializers.CharField()
    filter = serializers.CharField()
    state = serializers.ChoiceField(["waiting", "unused", "running", "done", "failed"])
    steps = serializers.SerializerMethodField()
    image = serializers.UUIDField(source="image.pk", default=None)
    report = serializers.UUIDField(source="report.pk", default=None)
    attempt = serializers.IntegerField(source="report.attempt", default=None)
    seeing = serializers.FloatField(allow_null=True)
    seconds = serializers.FloatField(allow_null=True)
    peak_mb = serializers.FloatField(allow_null=True)
    counts = serializers.DictField()
    error = serializers.CharField()

    def get_steps(self, row: selector.CCDRow) -> dict[str, str]:
        """Step to done, failed, running or none."""
        return dict(row.ticks)


class ExposureView(WithFile, ProductView):
    """Exposures, each with what came of it under the tag."""

    queryset = Exposure.objects.none()
    serializer_class = ListedExposureSerializer
    filterset_class = ExposureFilter
    pagination_class = ShortPages
    ordering = ["-mjd"]
    ordering_fields = ("mjd", "name", "exposure_time", "created_at")
    extra_parameters = ("calibrated",)
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    def everything(self) -> QuerySet[Exposure]:
        """The exposures of all tags."""
        return Exposure.objects.defer("header", "companions")

    def get_object(self) -> Exposure:
        """The exposure of that name: one of the tag, else the newest."""
        refuse_others(self.request, ALWAYS | set(self.extra_parameters))
        found = exposure_by_name(self.kwargs["name"], self.tag)
        if found is None:
            raise NotFound(f"there is no exposure called “{self.kwargs['name'][:120]}”")
        return found

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The exposures of a page, their figures in few queries."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self._with_progress(page))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One exposure."""
        (found,) = self._with_progress([self.get_object()])
        return Response(found)

    def _with_progress(self, rows: list[Exposure]) -> list[dict[str, Any]]:
        found = selector.overview(rows, self.tag)
        progress = dict(zip((row.exposure.pk for row in found), ProgressSerializer(found, many=True).data))
        context = self.get_serializer_context() | {"progress": progress}
        return self.get_serializer_class()(rows, many=True, context=context).data

    @extend_schema(responses=CCDSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def ccds(self, request: Request, **kwargs: Any) -> Response:
        """The CCDs that were tried, or have an image or a filter of their own, failures first."""
        return Response(CCDSerializer(selector.ccds(self.get_object(), self.tag), many=True).data)
