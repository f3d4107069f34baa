"""Labels in the REST API: read those of everybody, say what one thinks, take it back."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import F, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.mixins import DestroyModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from products.api.base import ReadView
from products.api.rows import RowSerializer
from products.filters.base import ArchiveFilter, ChoiceFilter, DateFilter, TextFilter
from products.models import Label
from products.services.labelling import say

MOST_AT_ONCE = 500


class LabelSerializer(RowSerializer):
    """What a person says that a measurement is."""

    person = serializers.CharField(source="of_person", read_only=True, help_text="User name.")
    provenance = serializers.CharField(source="of_provenance", read_only=True, help_text="Of the measurement.")

    class Meta:
        model = Label
        fields = ["id", "measurement", "provenance", "verdict", "remark", "person", "created_at", "changed_at"]


class SayingSerializer(serializers.Serializer):
    """What one says of one or many measurements; what one said of them before is replaced."""

    measurements = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE, help_text="Ids of measurements."
    )
    verdict = serializers.ChoiceField(choices=Label.Verdict.choices, help_text="What they are.")
    remark = serializers.CharField(required=False, allow_blank=True, max_length=1000, help_text="Why.")


class LabelledSerializer(serializers.Serializer):
    """How many measurements were labelled."""

    labelled = serializers.IntegerField(help_text="Number of measurements.")


class LabelFilter(ArchiveFilter):
    """Labels by measurement, object, verdict, person and time."""

    measurement = django_filters.UUIDFilter("measurement", label="id of the measurement")
    object = TextFilter("measurement__object__name", label="object")
    verdict = ChoiceFilter(choices=Label.Verdict.choices, label="verdict")
    person = TextFilter("person__username", label="user name")
    start = DateFilter("measurement__mjd", lookup_expr="gte", label="measured from (date or MJD)")
    end = DateFilter("measurement__mjd", lookup_expr="lt", label="measured to", ends=True)

    class Meta:
        model = Label
        fields: list[str] = []


class LabelView(DestroyModelMixin, ReadView):
    """What people say of the measurements under the tag. Everybody writes for themselves."""

    queryset = Label.objects.none()
    serializer_class = LabelSerializer
    filterset_class = LabelFilter
    write_scope = "ingest"
    permissions = {"create": "products.add_label", "destroy": "products.add_label"}
    ordering = ["-changed_at"]
    ordering_fields = ("changed_at", "created_at")

    def get_queryset(self) -> QuerySet[Label]:
        """Those of measurements under the tag."""
        of_provenance = "measurement__measurement_set__provenance"
        rows = Label.objects.annotate(of_person=F("person__username"), of_provenance=F(of_provenance))
        return self.tag.narrow(rows, of_provenance)

    @extend_schema(request=SayingSerializer, responses={201: LabelledSerializer})
    def create(self, request: Request) -> Response:
        """Say what measurements are."""
        asked = SayingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        found: dict[str, Any] = asked.validated_data
        number = say(request.user, found["measurements"], found["verdict"], found.get("remark", ""))
        if not number:
            raise ValidationError({"measurements": ["there is no measurement with any of these ids"]})
        return Response({"labelled": number}, status=status.HTTP_201_CREATED)

    def perform_destroy(self, instance: Label) -> None:
        """One's own, or anybody's with the permission to delete labels."""
        if instance.person_id != self.request.user.pk and not self.request.user.has_perm("products.delete_label"):
            raise PermissionDenied("this label is of somebody else")
        instance.delete()
