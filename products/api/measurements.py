"""Measurements, their stamps and their scores in the REST API."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from products import rendering
from products.api.base import ReadView
from products.api.files import AsItIs, BadnessField
from products.api.parameters import ALWAYS, ShortPages, refuse_others
from products.api.rows import RowSerializer
from products.errors import ArchiveError
from products.filters.base import ArchiveFilter, FloatFilter, TextFilter
from products.filters.measurements import MeasurementFilter
from products.models import DeepScore, KnownObject, Measurement
from products.selectors.candidates import (
    DIFFERENCE,
    difference_of,
    loaded,
    measured,
    scorer_of,
    with_score,
    with_source,
)
from products.selectors.moving import with_known
from products.stamps import Stamps

PLANES = {"new": "new", "ref": "reference", "reference": "reference", "diff": "difference", "difference": "difference"}
IMAGE = DIFFERENCE.replace("__", ".")
CUT = ("name", "value", "threshold", "passed")
MEDIA = {"png": "image/png", "fits": "application/fits"}


class CutSerializer(serializers.Serializer):
    """One cut of a measurement."""

    name = serializers.CharField(help_text="Name of the diagnostic.")
    value = serializers.FloatField(allow_null=True, help_text="Its value.")
    threshold = serializers.FloatField(allow_null=True, help_text="Null: not judged.")
    passed = serializers.BooleanField(help_text="Whether it passed.")


class KnownSerializer(serializers.ModelSerializer):
    """A known body of the Solar System."""

    class Meta:
        model = KnownObject
        fields = ["name", "separation", "uncertainty", "magnitude", "rate", "position_angle"]


class MeasurementSerializer(RowSerializer):
    """One detection, measured."""

    object = serializers.CharField(source="object.name", help_text="Name of the object.")
    exposure = serializers.CharField(source=f"{IMAGE}.exposure.name", help_text="Name of the exposure.")
    section = serializers.CharField(source=f"{IMAGE}.section", help_text="CCD.")
    instrument = serializers.CharField(source=f"{IMAGE}.exposure.instrument", help_text="Short name.")
    zero_point = serializers.SerializerMethodField(help_text="AB magnitude of one electron at its place.")
    score = serializers.FloatField(allow_null=True, help_text="Of the tag's scorer: 0 (bogus) to 1 (real).")
    threshold = serializers.FloatField(allow_null=True, help_text="Score from which the scorer calls it real.")
    known_object = serializers.SerializerMethodField(help_text="Known body of the Solar System that it is of.")
    cuts = serializers.SerializerMethodField(help_text="Every cut with its value and threshold.")
    failed_cuts = serializers.ListField(child=serializers.CharField(), help_text="Names of the cuts that it failed.")
    badness = BadnessField(help_text="Marks of it and of what it was made of.")
    provenance = serializers.CharField(source="measurement_set.provenance_id", help_text="Id of its provenance.")
    stamps = serializers.SerializerMethodField(help_text="Addresses of the stamps; with .fits in place of .png too.")

    class Meta:
        model = Measurement
        fields = [
            "id", "object", "mjd", "filter", "instrument", "exposure", "section", "ra", "dec", "x", "y", "flux",
            "flux_error", "snr", "magnitude", "magnitude_error", "zero_point", "background_per_pixel", "score",
            "threshold", "known_object", "is_bad", "failed_cuts", "cuts", "badness", "index_in_sources", "provenance",
            "stamps", "created_at",
        ]  # fmt: skip

    @extend_schema_field(CutSerializer(many=True))
    def get_cuts(self, row: Measurement) -> list[dict[str, Any]]:
        """With names in place of positions."""
        return [dict(zip(CUT, cut)) for cut in row.cuts]

    @extend_schema_field(KnownSerializer(allow_null=True))
    def get_known_object(self, row: Measurement) -> dict[str, Any] | None:
        """Its designation and where it was predicted to be; null for none."""
        found = getattr(row, "known_object", None)
        return None if found is None else KnownSerializer(found).data

    def get_zero_point(self, row: Measurement) -> float:
        """Of the new image, where the measurement is."""
        return float(difference_of(row).zero_point.at(row.x, row.y))

    @extend_schema_field(serializers.DictField(child=serializers.URLField()))
    def get_stamps(self, row: Measurement) -> dict[str, str]:
        """Addresses of PNGs."""
        if not hasattr(self, "_list"):  # once a page: an address made from its pattern takes long
            self._list = reverse("api-measurement-list", request=self.context.get("request"))
        return {plane: f"{self._list}{row.pk}/stamps/{plane}.png" for plane in ("new", "ref", "diff")}


class FullMeasurementSerializer(MeasurementSerializer):
    """One detection with everything that was measured of it."""

    class Meta(MeasurementSerializer.Meta):
        fields = [
            *MeasurementSerializer.Meta.fields, "diagnostics", "flux_apertures", "flux_apertures_errors",
            "aperture_radii", "gal_lon", "gal_lat", "ecl_lon", "ecl_lat", "description",
        ]  # fmt: skip


class InTwoSteps:
    """Pages of measurements: the ids of a page first, from an index, then what it shows of them."""

    def paginate_queryset(self, queryset: QuerySet[Measurement]) -> list[Measurement]:
        """The rows of the page."""
        narrow = super().paginate_queryset(queryset.only("mjd", "snr", "ra", "dec", "created_at"))
        return loaded([row.pk for row in narrow], self.tag)


class MeasurementView(InTwoSteps, ReadView):
    """Measurements under the tag, kept and cut, with the score of the tag's scorer."""

    queryset = Measurement.objects.none()
    serializer_class = MeasurementSerializer
    filterset_class = MeasurementFilter
    pagination_class = ShortPages
    ordering = ["-mjd"]
    ordering_fields = ("mjd", "snr", "ra", "dec", "created_at")

    def get_queryset(self) -> QuerySet[Measurement]:
        """Those of the tag; all that one shows where one is asked for."""
        rows = measured(self.tag, is_all=set(self.request.query_params) <= ALWAYS | {"show"})
        return with_score(with_source(rows), self.tag) if self.action == "retrieve" else rows

    def get_object(self) -> Measurement:
        """One, with the known body that it is of."""
        found = super().get_object()
        with_known([found], self.tag)
        return found

    def get_serializer_class(self) -> type[serializers.Serializer]:
        """Everything for one, what one compares for many."""
        return FullMeasurementSerializer if self.action == "retrieve" else MeasurementSerializer


class StampView(AsItIs, APIView):
    """A stamp of a measurement: new, ref or diff, as PNG (8-bit grey, north up) or FITS (electrons, with WCS)."""

    @extend_schema(
        operation_id="measurements_stamp",
        parameters=[
            OpenApiParameter("plane", str, OpenApiParameter.PATH, enum=list(PLANES)),
            OpenApiParameter("ending", str, OpenApiParameter.PATH, enum=list(MEDIA)),
        ],
        responses={(200, "image/png"): OpenApiTypes.BINARY, (200, "application/fits"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, pk: Any, plane: str, ending: str) -> HttpResponse:
        """The bytes of the file."""
        refuse_others(request)
        if plane not in PLANES or ending not in MEDIA:
            raise Http404(f"there is no stamp {plane}.{ending}; there are {', '.join(PLANES)} as {', '.join(MEDIA)}")
        rows = Measurement.objects.select_related(f"{DIFFERENCE}__zero_point__world_coordinates")
        row = get_object_or_404(rows, pk=pk)
        try:
            if ending == "png":
                content = rendering.stamp_png(row, PLANES[plane])
            else:
                content = Stamps(row.measurement_set.cutouts).of(row, {plane: PLANES[plane]})[plane]
        except (ArchiveError, OSError) as error:
            raise Http404(f"the stamp cannot be read: {error}") from error
        response = HttpResponse(content, content_type=MEDIA[ending])
        response["Cache-Control"] = "private, max-age=31536000, immutable"
        return response


class ScoreFilter(ArchiveFilter):
    """Scores by measurement, object and range."""

    measurement = django_filters.UUIDFilter("measurement", label="id of the measurement")
    object = TextFilter("measurement__object__name", label="object")
    exposure = TextFilter("measurement__measurement_set__cutouts__sources__image__exposure__name", label="exposure")
    min_score = FloatFilter("score", lookup_expr="gte", label="score at least", min_value=0, max_value=1)
    max_score = FloatFilter("score", lookup_expr="lte", label="score at most", min_value=0, max_value=1)

    class Meta:
        model = DeepScore
        fields: list[str] = []


class ScoreSerializer(RowSerializer):
    """How likely a measurement is of something astronomical."""

    algorithm = serializers.CharField(source="score_set.algorithm", help_text="Name of the scorer.")
    threshold = serializers.FloatField(source="score_set.threshold", help_text="Score from which it calls it real.")
    info = serializers.JSONField(help_text="What else the scorer says.")

    class Meta:
        model = DeepScore
        fields = ["id", "measurement", "score", "algorithm", "threshold", "scorer", "info", "created_at"]


class ScoreView(ReadView):
    """Scores of the tag's scorer."""

    queryset = DeepScore.objects.none()
    serializer_class = ScoreSerializer
    filterset_class = ScoreFilter
    ordering = ["-score"]
    ordering_fields = ("score", "created_at")

    def get_queryset(self) -> QuerySet[DeepScore]:
        """Those of one scorer."""
        return DeepScore.objects.filter(scorer=scorer_of(self.tag).provenance).select_related("score_set")
