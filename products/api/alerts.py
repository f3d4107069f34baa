"""Alerts in the REST API: the list that brokers poll, packets, what streams decided, schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField, ExpressionWrapper, F, QuerySet, Value
from django.db.models.functions import Now
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from products.alerts import avro, frozen
from products.alerts.packet import Packet, build_records
from products.alerts.reading import as_json
from products.api.base import ArchiveView, ReadView
from products.api.files import AsItIs
from products.api.parameters import refuse_others
from products.api.rows import RowSerializer
from products.errors import ArchiveError
from products.filters.alerts import MEASUREMENT, AlertFilter
from products.models import Alert, AlertEvent, DeepScore, KnownObjectSet, Measurement
from products.selectors import alerts as selector
from products.selectors.candidates import DIFFERENCE, TO_EXPOSURE
from products.services.resending import send_again
from products.views.alerts import avro_answer

SETTLED = timedelta(seconds=10)  # what is younger may stand beside a row that is committed later
CHOICES = {"as": ("json", "avro"), "stamps": ("yes", "no"), "version": tuple(avro.versions())}
SUBJECT = {
    "of_measurement": F("score__measurement"), "of_object": F(f"{MEASUREMENT}__object__name"),
    "of_exposure": F(f"{MEASUREMENT}__{TO_EXPOSURE}__name"), "of_section": F(f"{MEASUREMENT}__{DIFFERENCE}__section"),
    "of_mjd": F(f"{MEASUREMENT}__mjd"), "of_filter": F(f"{MEASUREMENT}__filter"), "of_score": F("score__score"),
}  # fmt: skip
AS = OpenApiParameter("as", str, enum=CHOICES["as"], description="`avro`: the bytes that brokers get.")
STAMPS = OpenApiParameter("stamps", str, enum=CHOICES["stamps"], description="`no` leaves them out of the JSON.")
VERSION = OpenApiParameter("version", str, enum=CHOICES["version"], description="Of the schema; the newest without.")
AVRO_OR_JSON = {
    (200, "application/json"): OpenApiTypes.OBJECT, (200, "application/avro"): OpenApiTypes.BINARY,
}  # fmt: skip


class EventSerializer(serializers.ModelSerializer):
    """One line of the history of an alert."""

    class Meta:
        model = AlertEvent
        fields = ["created_at", "what", "who", "where", "remark"]


class AlertSerializer(RowSerializer):
    """One alert of the ledger."""

    withheld = serializers.SerializerMethodField(help_text="What is marked as bad and keeps it back; usually empty.")
    measurement = serializers.UUIDField(source="of_measurement")
    object = serializers.CharField(source="of_object")
    exposure = serializers.CharField(source="of_exposure")
    section = serializers.CharField(source="of_section")
    mjd = serializers.FloatField(source="of_mjd")
    filter = serializers.CharField(source="of_filter")
    score = serializers.FloatField(source="of_score")

    class Meta:
        model = Alert
        fields = [
            "id", "stream", "state", "withheld", "created_at", "measurement", "object", "exposure", "section", "mjd",
            "filter", "score", "attempts", "next_try_at", "sent_at", "sent_to", "topic", "partition", "offset",
            "payload_size", "payload_sha256", "schema_version", "error",
        ]  # fmt: skip

    def get_withheld(self, row: Alert) -> str:
        """Why it is kept back."""
        return row.reasons if row.shown_state == "withheld" else ""


class WhySerializer(serializers.Serializer):
    """Why an alert is sent again."""

    why = serializers.CharField(max_length=500)


class SchemaSerializer(serializers.Serializer):
    """A schema and the versions that there are."""

    version = serializers.CharField()
    versions = serializers.ListField(child=serializers.CharField())
    schema = serializers.JSONField()


class AlertView(AsItIs, ReadView):
    """The ledger of alerts, oldest first: asked again with the last `cursor`, the list gives what came since.

    The list begins with what is ten seconds old, so that nothing that was committed late is passed over.
    """

    queryset = Alert.objects.none()  # for the document; the rows depend on the tag
    serializer_class = AlertSerializer
    filterset_class = AlertFilter
    ordering = ("created_at",)
    ordering_fields = ("created_at",)
    lookup_value_regex = "[0-9a-fA-F-]{36}"
    permissions = {"again": "products.change_alert"}
    as_it_is = ("packet",)

    @property
    def extra_parameters(self) -> tuple[str, ...]:
        """What packets and schemas take beside the filters."""
        return {"packet": ("as", "stamps"), "avro_schema": ("version",)}.get(self.action, ())

    def get_queryset(self) -> QuerySet[Alert]:
        """Those of the tag."""
        rows = selector.of_tag(self.tag).with_marks().annotate(**SUBJECT)
        settled = ExpressionWrapper(Now() - Value(SETTLED), output_field=DateTimeField())
        return rows.filter(created_at__lt=settled) if self.action == "list" else rows

    @extend_schema(parameters=[AS, STAMPS], responses=AVRO_OR_JSON)
    @action(detail=True)
    def packet(self, request: Request, pk: str) -> Response | HttpResponse:
        """The packet of an alert, as it is or was sent."""
        alert = self.get_object()
        return answer(request, lambda: frozen.packet_of(alert), f"{pk}.avro")

    @extend_schema(responses=EventSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def events(self, request: Request, pk: str) -> Response:
        """The history of an alert: every attempt, and who asked for another."""
        return Response(EventSerializer(self.get_object().events.all(), many=True).data)

    @extend_schema(request=WhySerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def again(self, request: Request, pk: str) -> Response:
        """Put an alert that was sent or given up back on the list; who and why is kept."""
        said = WhySerializer(data=request.data)
        said.is_valid(raise_exception=True)
        alert = self.get_object()
        send_again([alert.pk], who=request.user.get_username(), why=said.validated_data["why"])
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(parameters=[VERSION], responses=SchemaSerializer, filters=False)
    @action(detail=False, url_path="schema", pagination_class=None)
    def avro_schema(self, request: Request) -> Response:
        """The Avro schema of packets."""
        refuse_others(request, {"version"})
        version = chosen(request.query_params, "version", avro.VERSION)
        text = json.loads(avro.schema_text(version))
        return Response({"version": version, "versions": avro.versions(), "schema": text})


class DecisionSerializer(serializers.Serializer):
    """What a stream decided about a measurement."""

    stream = serializers.CharField()
    alert = serializers.UUIDField(source="alert.pk", default=None, allow_null=True)
    state = serializers.CharField(source="alert.shown_state", default=None, allow_null=True)
    cut = serializers.CharField(source="refusal.cut", default=None, allow_null=True)
    detail = serializers.CharField(source="refusal.detail", default=None, allow_null=True)
    provenance = serializers.CharField(source="batch.provenance_id")
    decided_at = serializers.DateTimeField(source="batch.created_at")


class DecisionView(AsItIs, ArchiveView):
    """A measurement as an alert, whether or not a stream took it."""

    queryset = Measurement.objects.none()
    serializer_class = DecisionSerializer
    as_it_is = ("packet",)

    @extend_schema(parameters=[AS, STAMPS], responses=AVRO_OR_JSON)
    def packet(self, request: Request, key: UUID) -> Response | HttpResponse:
        """The packet of a measurement by its newest score, from what is known now; of no stream."""
        refuse_others(request, {"tag", "as", "stamps"})
        scores = DeepScore.objects.filter(measurement=key).select_related("score_set")
        score = self.tag.narrow(scores, "score_set__provenance").order_by("-created_at").first()
        if score is None:
            raise NotFound("no measurement with this id was scored under the tag")
        sets = KnownObjectSet.objects.filter(measurement_set=score.score_set.measurement_set_id)
        known_set = self.tag.narrow(sets).order_by("-created_at").first()
        return answer(request, lambda: frozen.fitting(build_records([score], known_set)[score.pk]), f"{key}.avro")

    @extend_schema(responses=DecisionSerializer(many=True))
    def decisions(self, request: Request, key: UUID) -> Response:
        """What every stream decided about a measurement, and which cut kept it back."""
        refuse_others(request, {"tag"})
        found = selector.decisions(get_object_or_404(Measurement, pk=key), self.tag)
        return Response(DecisionSerializer(found, many=True).data)


def answer(request: Request, make: Any, name: str) -> Response | HttpResponse:
    """A packet in the form that was asked for; 404 where there is none."""
    form, stamps = chosen(request.query_params, "as", "json"), chosen(request.query_params, "stamps", "yes")
    try:
        packet: Packet | None = make()
    except (ArchiveError, OSError) as error:
        raise NotFound(f"there is no packet: {error}") from error
    if packet is None:
        raise NotFound("there is no packet: the measurement does not fit the schema")
    if form == "avro":
        return avro_answer(avro.encode(packet), name)
    return Response(as_json(packet, stamps=stamps == "yes"))


def chosen(query: Mapping[str, str], name: str, usual: str) -> str:
    """The value of a parameter with few values; 400 for another."""
    value = query.get(name, usual)
    if value not in CHOICES[name]:
        raise ValidationError({name: [f"one of {', '.join(CHOICES[name])}"]})
    return value
