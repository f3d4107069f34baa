"""Forced photometry in the REST API: ask for it, see how far it is, read what came out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.db.models import F, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from processing.errors import NotCovered
from processing.forced_requests import ask
from products.api.base import ReadView
from products.api.forced import FluxTableSerializer
from products.api.rows import RowSerializer
from products.errors import UnknownTag
from products.exporting import as_json
from products.filters.forced import ForcedRequestFilter
from products.forms import DateField
from products.models import ForcedRequest, Object
from products.selectors import forced as selector
from products.selectors.tags import of_name, tag_or_usual
from products.sky import parse_position


class RequestThrottle(SimpleRateThrottle):
    """So many requests of one token or person: each may read hundreds of files."""

    scope = "forced"

    def get_rate(self) -> str:
        """Read at each use, so that a test or a site can change it."""
        return settings.API_FORCED_RATE

    def get_cache_key(self, request: Request, view: Any) -> str:
        """Whom to count."""
        return self.cache_format % {"scope": self.scope, "ident": (request.auth or request.user).pk}


class ForcedRequestSerializer(RowSerializer):
    """Somebody's request for forced photometry, and how far it is."""

    object = serializers.CharField(source="of_object", allow_null=True, help_text="Name; null for a position alone.")
    person = serializers.CharField(source="of_person", allow_null=True, help_text="User name.")

    class Meta:
        model = ForcedRequest
        fields = [
            "id", "object", "ra", "dec", "tag", "start", "end", "state", "n_images", "n_measured", "n_new", "failures",
            "error", "person", "created_at", "started_at", "finished_at",
        ]  # fmt: skip


class AskingSerializer(serializers.Serializer):
    """What is to be measured: an object, or a position in any notation, or ra and dec."""

    object = serializers.CharField(required=False, max_length=40, help_text="Name of an object.")
    position = serializers.CharField(required=False, max_length=100, help_text="RA Dec in any usual notation.")
    ra = serializers.FloatField(required=False, min_value=0, max_value=360, help_text="Degrees, ICRS.")
    dec = serializers.FloatField(required=False, min_value=-90, max_value=90, help_text="Degrees, ICRS.")
    tag = serializers.CharField(required=False, max_length=100, help_text="Provenance tag; `current` without one.")
    start = serializers.CharField(required=False, max_length=40, help_text="Images from this date or MJD on.")
    end = serializers.CharField(required=False, max_length=40, help_text="Images up to this date or MJD.")

    def validate_object(self, value: str) -> Object:
        """It must exist."""
        if found := Object.objects.filter(name=value).first():
            return found
        raise serializers.ValidationError(f"there is no object called {value}")

    def validate_position(self, value: str) -> tuple[float, float]:
        """In degrees."""
        try:
            return parse_position(value)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None

    def validate_start(self, value: str) -> float | None:
        """MJD."""
        return _date(value)

    def validate_end(self, value: str) -> float | None:
        """MJD."""
        return _date(value, ends=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One place, as `place`."""
        given = [name for name in ("object", "position") if name in attrs]
        given += ["ra"] if {"ra", "dec"} & attrs.keys() else []
        if len(given) != 1 or ("ra" in attrs) != ("dec" in attrs):
            raise serializers.ValidationError("say where: one of object, position, or both ra and dec")
        place = (attrs["ra"], attrs["dec"]) if given == ["ra"] else attrs[given[0]]
        dates = {name: attrs[name] for name in ("start", "end") if name in attrs}
        return {"place": place, "tag": attrs.get("tag") or tag_or_usual("").name, **dates}


def _date(text: str, *, ends: bool = False) -> float | None:
    try:
        return DateField(ends=ends).clean(text)
    except forms.ValidationError as error:
        raise serializers.ValidationError(error.messages) from None


class ForcedView(ReadView):
    """Requests for forced photometry under the tag. The queue answers them; what was measured once is found again."""

    queryset = ForcedRequest.objects.none()
    serializer_class = ForcedRequestSerializer
    filterset_class = ForcedRequestFilter
    write_scope = "ingest"
    permissions = {"create": "products.add_forcedrequest"}
    ordering = ["-created_at"]
    ordering_fields = ("created_at",)
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"

    def get_queryset(self) -> QuerySet[ForcedRequest]:
        """Those of the tag in a list; one by its id is of any tag."""
        rows = ForcedRequest.objects.annotate(of_object=F("object__name"), of_person=F("person__username"))
        return rows.filter(tag=self.tag.name) if self.action == "list" else rows

    def get_throttles(self) -> list[BaseThrottle]:
        """Asking is counted apart."""
        return [*super().get_throttles(), *([RequestThrottle()] if self.action == "create" else [])]

    @extend_schema(request=AskingSerializer, responses={201: ForcedRequestSerializer})
    def create(self, request: Request) -> Response:
        """Ask for the flux at a position, or of an object, in all difference images of a tag that cover it."""
        asked = AskingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            row = ask(person=request.user, **asked.validated_data)
        except UnknownTag as error:
            raise ValidationError({"tag": [str(error)]}) from error
        except NotCovered as error:
            raise ValidationError([str(error)]) from error
        found = self.get_serializer(self.get_queryset().get(pk=row.pk))
        return Response(found.data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=FluxTableSerializer, filters=False)
    @action(detail=True, filterset_class=None, pagination_class=None)
    def fluxes(self, request: Request, pk: str) -> Response:
        """What is measured at the position of a request, whoever asked for it first."""
        row = self.get_object()
        return Response(as_json(selector.as_table(selector.of_request(row, of_name(row.tag)))))
