"""Injected sources and what became of them in the REST API."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from products.api.base import ReadView
from products.api.files import BadnessField
from products.api.rows import IMAGE, OfImage, with_image
from products.errors import ArchiveError
from products.filters.fakes import FakeAnalysisFilter, FakeSetFilter
from products.models import FakeAnalysis, FakeSet
from products.recovery import fakes_of


class FakeSetSerializer(OfImage):
    """The sources that were injected into one image."""

    badness = BadnessField()

    class Meta:
        model = FakeSet
        fields = [*IMAGE, "zero_point", "n_fakes", "random_seed", "badness", "provenance", "created_at"]


class FakeSetView(ReadView):
    """Sets of injected sources, one an image and provenance."""

    queryset = FakeSet.objects.none()
    serializer_class = FakeSetSerializer
    filterset_class = FakeSetFilter
    ordering = ["-created_at"]
    ordering_fields = ("created_at", "n_fakes")

    def get_queryset(self) -> QuerySet[FakeSet]:
        """Those of the tag."""
        return self.tag.narrow(with_image(FakeSet.objects.all(), FakeSetFilter.to_image))


class FakeAnalysisSerializer(OfImage):
    """What the pipeline made of the fakes of one image."""

    limiting_magnitude = serializers.FloatField(source="fake_set.zero_point.limiting_magnitude", allow_null=True)
    n_fakes = serializers.IntegerField(source="fake_set.n_fakes")
    badness = BadnessField()

    class Meta:
        model = FakeAnalysis
        fields = [
            *IMAGE, "limiting_magnitude", "fake_set", "score_set", "n_fakes", "n_detected", "n_kept", "badness",
            "provenance", "created_at",
        ]  # fmt: skip


class FakeSerializer(serializers.Serializer):
    """One injected source."""

    index = serializers.IntegerField()
    x = serializers.FloatField(help_text="Pixels from 0.")
    y = serializers.FloatField(help_text="Pixels from 0.")
    magnitude = serializers.FloatField(help_text="As injected, AB mag.")
    has_host = serializers.BooleanField(help_text="Put into a galaxy.")
    is_detected = serializers.BooleanField()
    is_kept = serializers.BooleanField()
    residual = serializers.FloatField(allow_null=True, help_text="Measured minus injected, mag.")
    residual_error = serializers.FloatField(allow_null=True, help_text="mag")
    score = serializers.FloatField(allow_null=True)
    expected_snr = serializers.FloatField(allow_null=True, help_text="S/N that the noise at its place allows.")
    reason = serializers.CharField(help_text="Why it is missing; empty where it was kept.")


class FakeAnalysisView(ReadView):
    """How many of the injected sources came back, image by image."""

    queryset = FakeAnalysis.objects.none()
    serializer_class = FakeAnalysisSerializer
    filterset_class = FakeAnalysisFilter
    ordering = ["-created_at"]
    ordering_fields = ("created_at", "n_detected", "n_kept")

    def get_queryset(self) -> QuerySet[FakeAnalysis]:
        """Those of the tag."""
        rows = with_image(FakeAnalysis.objects.all(), FakeAnalysisFilter.to_image)
        return self.tag.narrow(rows.select_related("fake_set__zero_point"))

    @extend_schema(responses=FakeSerializer(many=True), filters=False)
    @action(detail=True, filterset_class=None, pagination_class=None)
    def fakes(self, request: Request, pk: str) -> Response:
        """Every fake of an image: where, how bright, whether it was found, and why not."""
        rows = self.get_object()
        try:
            found = fakes_of(rows)
        except (ArchiveError, OSError) as error:
            raise NotFound(f"its files cannot be read: {error}") from error
        return Response(FakeSerializer(found, many=True).data)
