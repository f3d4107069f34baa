"""References, sets of them, and calibrators in the REST API."""

from __future__ import annotations

from typing import Any

from django.db.models import F, QuerySet
from rest_framework import serializers

from products.api.base import ReadView
from products.api.files import BadnessField
from products.api.parameters import ALWAYS, refuse_others
from products.api.rows import RowSerializer
from products.filters.calibrators import CalibratorFilter
from products.filters.references import ReferenceFilter, RefSetFilter
from products.models import CalibratorFile, Reference, RefSet, ZeroPoint
from products.selectors import references as selector

OF_ZERO_POINT = selector.IMAGE.removeprefix("zero_point__")


class ReferenceSerializer(RowSerializer):
    """A calibrated image to subtract."""

    image = serializers.UUIDField(source="of_image", help_text="Its image.")
    seeing = serializers.FloatField(allow_null=True, help_text="FWHM of its PSF, arcsec.")
    limiting_magnitude = serializers.FloatField(source="limit", allow_null=True, help_text="5σ, AB mag.")
    n_images = serializers.SerializerMethodField(help_text="Images in it; 1 for one that is no stack.")
    n_differences = serializers.SerializerMethodField(help_text="Difference images made with it.")
    badness = BadnessField()

    class Meta:
        model = Reference
        fields = [
            "id", "instrument", "filter", "section", "target", "ra", "dec", "corners", "image", "zero_point", "seeing",
            "limiting_magnitude", "n_images", "n_differences", "badness", "description", "provenance", "created_at",
        ]  # fmt: skip

    def get_n_images(self, row: Reference) -> int:
        """Images in it."""
        return row.n_images or 1

    def get_n_differences(self, row: Reference) -> int:
        """Differences made with it."""
        return row.n_differences or 0


class PartSerializer(serializers.ModelSerializer):
    """A calibrated image in a coadd."""

    image = serializers.UUIDField(source="image.pk")
    exposure = serializers.CharField(source="image.exposure.name")
    section = serializers.CharField(source="image.section")

    class Meta:
        model = ZeroPoint
        fields = ["id", "image", "exposure", "section", "zp", "limiting_magnitude"]


class OneReferenceSerializer(ReferenceSerializer):
    """A reference with what is in it and where it belongs."""

    refsets = serializers.SerializerMethodField(help_text="Sets that hold it.")
    parts = serializers.SerializerMethodField(help_text="Calibrated images in it; none where it is no stack.")

    class Meta(ReferenceSerializer.Meta):
        fields = [*ReferenceSerializer.Meta.fields, "refsets", "parts"]

    def get_refsets(self, row: Reference) -> list[str]:
        """Names."""
        return list(RefSet.objects.filter(provenance=row.provenance_id).order_by("name").values_list("name", flat=True))

    def get_parts(self, row: Reference) -> list[dict[str, Any]]:
        """As `PartSerializer` writes them."""
        rows = ZeroPoint.objects.filter(coadds=row.of_image).select_related(
            "world_coordinates__sources__image__exposure"
        )
        return PartSerializer(rows.order_by(f"{OF_ZERO_POINT}__mjd"), many=True).data


class ReferenceView(ReadView):
    """References of the tag; of any with `refset` or `every_tag`."""

    queryset = Reference.objects.none()
    serializer_class = ReferenceSerializer
    filterset_class = ReferenceFilter
    ordering = ["-created_at"]
    ordering_fields = ("created_at", "instrument", "filter", "section", "ra", "dec")

    def get_queryset(self) -> QuerySet[Reference]:
        """All; the filter narrows to the tag."""
        return selector.references().select_related(None).defer(None).annotate(of_image=F(selector.IMAGE))

    def get_serializer_class(self) -> type[serializers.Serializer]:
        """One row has more than a list."""
        return OneReferenceSerializer if self.action == "retrieve" else ReferenceSerializer

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        """An id names a reference whatever the tag."""
        if self.action != "retrieve":
            return super().filter_queryset(queryset)
        refuse_others(self.request, ALWAYS)
        return queryset


class RefSetSerializer(serializers.ModelSerializer):
    """A named set of references."""

    class Meta:
        model = RefSet
        fields = ["id", "name", "description", "provenance", "created_at"]


class RefSetView(ReadView):
    """Named sets of references."""

    queryset = RefSet.objects.all()
    serializer_class = RefSetSerializer
    filterset_class = RefSetFilter
    ordering = ["name"]
    ordering_fields = ("name", "created_at")
    lookup_field = "name"
    lookup_value_regex = "[^/]+"


class CalibratorSerializer(RowSerializer):
    """Which frame calibrates which CCD, and when."""

    n_frames = serializers.IntegerField(source="frames", allow_null=True, help_text="Raw frames in it.")
    n_used = serializers.IntegerField(source="used", allow_null=True, help_text="Images that it was applied to.")
    badness = serializers.SerializerMethodField(help_text="Of its frame or table: names of the bits that are set.")
    quality = serializers.SerializerMethodField(help_text="Figures that say how good it is.")

    class Meta:
        model = CalibratorFile
        fields = [
            "id", "kind", "calibrator_set", "flat_type", "instrument", "section", "filter", "image", "data_file",
            "valid_from", "valid_to", "superseded_by", "n_frames", "n_used", "quality", "rejected", "badness",
            "created_at",
        ]  # fmt: skip

    def get_quality(self, row: CalibratorFile) -> dict[str, Any]:
        """Single numbers and answers."""
        return {key: value for key, value in row.quality.items() if isinstance(value, int | float | str)}

    def get_badness(self, row: CalibratorFile) -> list[str]:
        """Own and inherited."""
        return row.file.badness.names


class CalibratorView(ReadView):
    """Master frames and tables that calibrate raw exposures."""

    queryset = CalibratorFile.objects.none()
    serializer_class = CalibratorSerializer
    filterset_class = CalibratorFilter
    ordering = ["-created_at"]
    ordering_fields = ("created_at", "kind", "instrument", "section", "filter")

    def get_queryset(self) -> QuerySet[CalibratorFile]:
        """All of them."""
        return selector.calibrators()
