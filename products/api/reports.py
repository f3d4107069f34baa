"""Reports in the REST API."""

from __future__ import annotations

from django.db.models import F, QuerySet
from rest_framework import serializers

from products.api.base import ProductView
from products.api.rows import RowSerializer
from products.filters.reports import ReportFilter
from products.models import Report

LONG = ("steps", "provenances", "error_details", "traceback")


class ReportSerializer(RowSerializer):
    """One attempt at one CCD, or at a coadd."""

    exposure = serializers.CharField(source="of_exposure", allow_null=True, read_only=True)
    reached = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Report
        fields = [
            "id", "exposure", "image", "section", "attempt", "state", "started_at", "finished_at", "cluster", "node",
            "tag", "plan", "reached", "error_step", "error_type", "error_message",
        ]  # fmt: skip


class WholeReportSerializer(ReportSerializer):
    """The same with its steps: time, memory, counts and warnings of each."""

    class Meta(ReportSerializer.Meta):
        fields = [*ReportSerializer.Meta.fields, *LONG]


class ReportView(ProductView):
    """Attempts of the tag, `tags=any` those of all tags; one of them with its steps."""

    queryset = Report.objects.none()
    filterset_class = ReportFilter
    ordering = ["-started_at"]
    ordering_fields = ("started_at",)

    def get_serializer_class(self) -> type[ReportSerializer]:
        """The long one for one report."""
        return WholeReportSerializer if self.action == "retrieve" else ReportSerializer

    def get_queryset(self) -> QuerySet[Report]:
        """All; the filters leave out those of other tags."""
        rows = Report.objects.annotate(of_exposure=F("exposure__name"))
        return rows.defer("error_details", "traceback") if self.action == "list" else rows
