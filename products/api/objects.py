"""Objects, their light curves, and everything around a position in the REST API."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from products import sky
from products.api.base import ArchiveView, ReadView
from products.api.forced import FluxTableSerializer
from products.api.measurements import InTwoSteps, MeasurementSerializer
from products.api.parameters import ShortPages
from products.api.rows import RowSerializer
from products.exporting import as_json
from products.filters.base import ConeFilter
from products.filters.measurements import MeasurementFilter
from products.filters.objects import ObjectFilter
from products.models import Image, Measurement, Object
from products.selectors import forced, lightcurves
from products.selectors.candidates import loaded, measured
from products.selectors.exposures import images_covering

NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name of the object.")
MOST_IN_CONE = 250  # rows of each kind


class ObjectSerializer(RowSerializer):
    """A position on the sky where something changed."""

    class Meta:
        model = Object
        fields = [
            "id", "name", "ra", "dec", "gal_lon", "gal_lat", "first_seen", "last_seen", "n_measurements", "is_bad",
            "remark", "is_test", "created_at",
        ]  # fmt: skip


class FoundObjectSerializer(ObjectSerializer):
    """An object with its distance."""

    separation_arcsec = serializers.FloatField(help_text="From the position asked for, arcsec.")

    class Meta(ObjectSerializer.Meta):
        fields = [*ObjectSerializer.Meta.fields, "separation_arcsec"]


class PointSerializer(serializers.Serializer):
    """One detection, forced flux or upper limit."""

    mjd = serializers.FloatField(help_text="Middle of the exposure, UTC.")
    filter = serializers.CharField(help_text="Short name.")
    magnitude = serializers.FloatField(allow_null=True, help_text="AB magnitude of |flux|; of a limit: 5σ.")
    magnitude_error = serializers.FloatField(allow_null=True, help_text="mag.")
    is_limit = serializers.IntegerField(help_text="1: nothing was detected in this image, which covers the object.")
    is_forced = serializers.IntegerField(help_text="1: forced photometry at the position of the object.")
    flux_ujy = serializers.FloatField(allow_null=True, help_text="Of the difference, μJy; negative for fading.")
    flux_error_ujy = serializers.FloatField(allow_null=True, help_text="μJy.")
    snr = serializers.FloatField(allow_null=True, help_text="Of the detection.")
    score = serializers.FloatField(allow_null=True, help_text="0 (bogus) to 1 (real).")
    failed_cuts = serializers.CharField(help_text="Names of the cuts that it failed, empty where it was kept.")
    instrument = serializers.CharField(help_text="Short name.")
    exposure = serializers.CharField(help_text="Name of the exposure.")
    ccd = serializers.CharField(help_text="As the instrument names it.")
    measurement = serializers.CharField(help_text="Id of the measurement; empty for a limit.")


class LightCurveSerializer(serializers.Serializer):
    """A light curve with units and explanations of its columns."""

    object = serializers.CharField(help_text="Name.")
    units = serializers.DictField(child=serializers.CharField(), help_text="Unit of each column.")
    descriptions = serializers.DictField(child=serializers.CharField(), help_text="Meaning of each column.")
    rows = PointSerializer(many=True, help_text="Detections, forced fluxes and limits in the order of time.")


class ObjectView(InTwoSteps, ReadView):
    """Objects with a measurement under the tag; one object whatever the tag."""

    queryset = Object.objects.none()
    serializer_class = ObjectSerializer
    filterset_class = ObjectFilter
    ordering = ["-last_seen"]
    ordering_fields = ("last_seen", "first_seen", "name", "n_measurements", "ra", "dec", "created_at")
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> QuerySet[Object]:
        """Those of the tag in lists."""
        if self.action != "list" or not self.tag.ids:
            return Object.objects.all()
        seen = Measurement.objects.filter(object=OuterRef("pk"), measurement_set__provenance__in=self.tag.ids)
        return Object.objects.filter(Exists(seen))

    def paginate_queryset(self, queryset: QuerySet) -> list[Any]:
        """Objects are narrow; only pages of their measurements are made in two steps."""
        if self.action == "list":
            return super(InTwoSteps, self).paginate_queryset(queryset)
        return super().paginate_queryset(queryset)

    @extend_schema(responses=LightCurveSerializer, filters=False)
    @action(detail=True, url_path="light-curve", filterset_class=None, pagination_class=None)
    def light_curve(self, request: Request, name: str) -> Response:
        """Detections, kept and cut, forced fluxes, and 5σ limits of the difference images without a detection."""
        thing = self.get_object()
        return Response(
            {"object": thing.name} | as_json(lightcurves.as_table(lightcurves.light_curve(thing, self.tag)))
        )

    @extend_schema(responses=FluxTableSerializer, filters=False)
    @action(detail=True, url_path="forced-photometry", filterset_class=None, pagination_class=None)
    def forced_photometry(self, request: Request, name: str) -> Response:
        """Forced fluxes of the object under the tag, those with unusable pixels too."""
        thing = self.get_object()
        return Response({"object": thing.name} | as_json(forced.as_table(forced.of_object(thing, self.tag))))

    @extend_schema(parameters=[NAME], responses=MeasurementSerializer(many=True))
    @action(
        detail=True, queryset=Measurement.objects.none(), serializer_class=MeasurementSerializer,
        filterset_class=MeasurementFilter, pagination_class=ShortPages,
        ordering=["-mjd"], ordering_fields=("mjd", "snr", "created_at"),
    )  # fmt: skip
    def measurements(self, request: Request, name: str) -> Response:
        """Measurements of the object under the tag, kept and cut, with the filters of all measurements."""
        thing = get_object_or_404(Object, name=name)
        rows = self.filter_queryset(measured(self.tag).filter(object=thing))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class CoveringSerializer(serializers.Serializer):
    """An image that covers the position."""

    id = serializers.UUIDField(help_text="Of the image.")
    kind = serializers.CharField(help_text="science, coadd or difference.")
    exposure = serializers.CharField(allow_null=True, help_text="Name of the exposure.")
    section = serializers.CharField(help_text="CCD.")
    filter = serializers.CharField(help_text="Short name.")
    mjd = serializers.FloatField(help_text="Start, UTC.")


class ConeSerializer(serializers.Serializer):
    """Everything around a position."""

    ra = serializers.FloatField(help_text="Degrees, ICRS.")
    dec = serializers.FloatField(help_text="Degrees, ICRS.")
    radius = serializers.FloatField(help_text="Arcsec.")
    truncated = serializers.BooleanField(help_text=f"Whether there are more than {MOST_IN_CONE} rows of one kind.")
    objects = FoundObjectSerializer(many=True, help_text="Nearest first.")
    measurements = MeasurementSerializer(many=True, help_text="Nearest first, kept and cut.")
    images = CoveringSerializer(many=True, help_text="That cover the position, oldest first.")


class ConeView(ArchiveView):
    """Objects, measurements and covering images around a position."""

    queryset = Object.objects.none()
    serializer_class = ConeSerializer
    filterset_class = ConeFilter
    pagination_class = None

    @extend_schema(
        responses=ConeSerializer,
        parameters=[OpenApiParameter("tag", str, description="Provenance tag.")],
    )
    def list(self, request: Request) -> Response:
        """Search around `position`, or `ra` and `dec`."""
        chosen = self.filter_backends[0]().get_filterset(request, Object.objects.all(), self)
        self.filter_queryset(Object.objects.none())
        if chosen.place is None:
            raise ValidationError({"position": ["give it, or ra and dec"]})
        place, radius = chosen.place, chosen.radius_arcsec
        objects = list(Object.objects.within(*place, radius).order_by("haversine")[: MOST_IN_CONE + 1])
        for row in objects:
            row.separation_arcsec = float(sky.separation(*place, row.ra, row.dec)) * 3600
        keys = measured(self.tag).within(*place, radius).order_by("haversine").values_list("pk", flat=True)
        keys = list(keys[: MOST_IN_CONE + 1])
        kinds = (Image.Kind.SCIENCE, Image.Kind.COADD, Image.Kind.DIFFERENCE)
        fields = ("pk", "kind", "exposure__name", "section", "filter", "mjd")
        images = images_covering(self.tag.narrow(Image.objects.filter(kind__in=kinds)), *place, *fields)
        found = {
            "ra": place[0], "dec": place[1], "radius": radius, "objects": objects[:MOST_IN_CONE],
            "truncated": max(map(len, (objects, keys, images))) > MOST_IN_CONE,
            "measurements": loaded(keys[:MOST_IN_CONE], self.tag),
            "images": [row | {"id": row["pk"], "exposure": row["exposure__name"]} for row in images[:MOST_IN_CONE]],
        }  # fmt: skip
        return Response(self.get_serializer(found).data)
