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
from products.filters.fakes import EfficiencyFilter, FakeAnalysisFilter, FakeSetFilter, LostFilter
from products.models import FakeAnalysis, FakeKind, FakeLoss, FakeSet
from products.recovery import fakes_of
from products.selectors import fakes as selector


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
            *IMAGE, "limiting_magnitude", "fake_set", "score_set", "n_fakes", "n_detected", "n_kept",
            "n_passed", "badness", "provenance", "created_at",
        ]  # fmt: skip


class FakeSerializer(serializers.Serializer):
    """One injected source."""

    index = serializers.IntegerField()
    kind = serializers.ChoiceField(FakeKind.choices)
    x = serializers.FloatField(help_text="Pixels from 0.")
    y = serializers.FloatField(help_text="Pixels from 0.")
    magnitude = serializers.FloatField(help_text="As injected, AB mag; of stars that vary that of the change.")
    fades = serializers.BooleanField(help_text="A star that became fainter.")
    length = serializers.FloatField(allow_null=True, help_text="Pixels, of a streak.")
    is_detected = serializers.BooleanField()
    is_kept = serializers.BooleanField(help_text="Detected, and passed every cut.")
    is_passed = serializers.BooleanField(help_text="Kept, with a score above the threshold.")
    was_there = serializers.BooleanField(help_text="Something is detected there without it: not in efficiencies.")
    residual = serializers.FloatField(allow_null=True, help_text="Measured minus injected, mag.")
    residual_error = serializers.FloatField(allow_null=True, help_text="mag")
    ratio = serializers.FloatField(allow_null=True, help_text="Measured over injected flux.")
    pull = serializers.FloatField(allow_null=True, help_text="Measured minus injected flux over its error.")
    offset = serializers.FloatField(allow_null=True, help_text="Pixels from the place of the fake.")
    score = serializers.FloatField(allow_null=True)
    expected_snr = serializers.FloatField(allow_null=True, help_text="S/N that the noise at its place allows.")
    reason = serializers.CharField(help_text="Why it was lost, in a word; empty where it passed.")
    why = serializers.CharField(help_text="The same with the figures of the run.")


class LostSerializer(serializers.Serializer):
    """A fake that did not come through."""

    analysis = serializers.UUIDField(source="analysis.pk")
    exposure = serializers.CharField(source="analysis.fake_set.zero_point.image.exposure.name")
    section = serializers.CharField(source="analysis.fake_set.zero_point.image.section")
    index = serializers.IntegerField()
    kind = serializers.ChoiceField(FakeKind.choices)
    x = serializers.FloatField(help_text="Pixels from 0.")
    y = serializers.FloatField(help_text="Pixels from 0.")
    magnitude = serializers.FloatField(help_text="As injected, AB mag.")
    below_limit = serializers.FloatField(allow_null=True, help_text="Magnitude minus the 5σ limit of its image.")
    fades = serializers.BooleanField()
    expected_snr = serializers.FloatField(allow_null=True)
    reason = serializers.ChoiceField(FakeLoss.choices)
    why = serializers.CharField(help_text="The reason with the figures of the run.")


class BinSerializer(serializers.Serializer):
    """The fakes of one range of magnitudes."""

    magnitude = serializers.FloatField(help_text="Middle of the bin.")
    n = serializers.IntegerField()
    found = serializers.IntegerField()
    low = serializers.FloatField(help_text="68 % interval of the fraction.")
    high = serializers.FloatField()


class StageSerializer(serializers.Serializer):
    """What came so far of the fakes."""

    found = serializers.IntegerField()
    half = serializers.FloatField(allow_null=True, help_text="Magnitude down to which half came so far.")
    half_error = serializers.FloatField(allow_null=True)
    ninety = serializers.FloatField(allow_null=True, help_text="The same for 90 %.")
    ninety_error = serializers.FloatField(allow_null=True)
    bins = BinSerializer(many=True)


class AccuracySerializer(serializers.Serializer):
    """How well one kind is measured; `kind` is empty for all together."""

    kind = serializers.CharField()
    n = serializers.IntegerField()
    ratio = serializers.FloatField(help_text="Median of measured over injected flux.")
    ratio_error = serializers.FloatField(allow_null=True, help_text="Null of fewer than three.")
    pull = serializers.FloatField(help_text="Median pull.")
    pull_sigma = serializers.FloatField(allow_null=True, help_text="Robust scatter of the pull.")
    offset = serializers.FloatField(allow_null=True, help_text="Median distance, pixels.")


class EfficiencySerializer(serializers.Serializer):
    """The efficiency of one exposure, one night, or of all images together."""

    of = serializers.CharField(
        source="name", help_text="Name of the exposure, MJD of the noon before the night, or empty."
    )
    images = serializers.IntegerField(source="sums.images")
    without = serializers.IntegerField(
        source="sums.without", help_text="Images of an earlier version, which kept nothing to count."
    )
    n = serializers.IntegerField(source="sums.kept.n", help_text="Fakes.")
    limit = serializers.FloatField(allow_null=True, source="sums.limit", help_text="Median 5σ limit, AB mag.")
    detected = StageSerializer(source="sums.detected")
    kept = StageSerializer(source="sums.kept")
    passed = StageSerializer(source="sums.passed")
    accuracy = AccuracySerializer(many=True, source="sums.accuracy")


class FakeAnalysisView(ReadView):
    """How many of the injected sources came back, image by image."""

    queryset = FakeAnalysis.objects.none()
    serializer_class = FakeAnalysisSerializer
    filterset_class = FakeAnalysisFilter
    ordering = ["-created_at"]
    ordering_fields = ("created_at", "n_detected", "n_kept")

    def get_queryset(self) -> QuerySet[FakeAnalysis]:
        """Those of the tag."""
        if self.action in ("efficiency", "lost"):
            return self.tag.narrow(selector.analyses() if self.action == "efficiency" else selector.with_losses())
        rows = with_image(FakeAnalysis.objects.defer("outcomes"), FakeAnalysisFilter.to_image)
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

    @extend_schema(responses=EfficiencySerializer(many=True))
    @action(detail=False, filterset_class=EfficiencyFilter, pagination_class=None)
    def efficiency(self, request: Request) -> Response:
        """The part of the fakes that was found against magnitude, by exposure, by night, or of all together."""
        filters = EfficiencyFilter(request.query_params, self.get_queryset(), request=request)
        rows, wanted = self.filter_queryset(self.get_queryset()), filters.wanted
        options = {"kind": wanted.get("kind", ""), "from_limit": bool(wanted.get("from_limit"))}
        if by := wanted.get("by"):
            keys = [row["key"] for row in selector.group_keys(rows, by)[: selector.MOST_GROUPS]]
            found = selector.grouped(rows, by, keys, **options)
        else:
            newest = rows.order_by(f"-{selector.IMAGE}__mjd", "pk")[: selector.MOST]
            found = [selector.Group("", selector.together(newest, **options))]
        return Response(EfficiencySerializer(found, many=True).data)

    @extend_schema(responses=LostSerializer(many=True))
    @action(detail=False, filterset_class=LostFilter, pagination_class=None)
    def lost(self, request: Request) -> Response:
        """Fakes of the newest images that did not come through, and why; those brightest against the limit first."""
        wanted = LostFilter(request.query_params, self.get_queryset(), request=request).wanted
        rows = self.filter_queryset(self.get_queryset()).order_by(f"-{selector.IMAGE}__mjd", "pk")
        found = selector.lost(rows[: selector.MOST_LOST], kind=wanted.get("kind", ""), reason=wanted.get("reason", ""))
        return Response(LostSerializer(found.shown[: selector.MOST_SHOWN], many=True).data)
