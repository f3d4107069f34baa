"""Tracklets, known bodies of the Solar System and catalogues of orbits in the REST API."""

from __future__ import annotations

from uuid import UUID

from django.db.models import F, QuerySet
from rest_framework import serializers

from products.api.base import ProductView
from products.api.files import BadnessField, FileAddressField, WithFile
from products.api.rows import RowSerializer
from products.filters.moving import KnownObjectFilter, OrbitCatalogFilter, TrackletFilter
from products.models import KnownObject, OrbitCatalog, Tracklet
from products.selectors import moving
from products.selectors.tags import ChosenTag

EVERY = ChosenTag("", frozenset())  # holds nothing, and so hides nothing
OF_MEASUREMENT = {"of_object": F("measurement__object__name"), "of_mjd": F("measurement__mjd")}


class TrackletSerializer(RowSerializer):
    """Detections of one night along a straight line."""

    night = serializers.IntegerField(source="tracklet_set.night", help_text="MJD on which it begins, at noon UT.")
    provenance = serializers.CharField(source="tracklet_set.provenance_id", help_text="Id of its provenance.")

    class Meta:
        model = Tracklet
        fields = [
            "id", "night", "n_detections", "mjd", "mjd_first", "mjd_last", "ra", "dec", "rate", "position_angle",
            "residual", "magnitude", "known_as", "provenance", "created_at",
        ]  # fmt: skip


class OneTrackletSerializer(TrackletSerializer):
    """A tracklet with what it links, and how many of its night are expected by chance."""

    measurements = serializers.SerializerMethodField(help_text="Ids of the measurements, in the order of time.")
    chance = serializers.JSONField(
        source="tracklet_set.chance", help_text="Number of detections → links of at least as many by chance."
    )

    class Meta(TrackletSerializer.Meta):
        fields = [*TrackletSerializer.Meta.fields, "chance", "measurements"]

    def get_measurements(self, row: Tracklet) -> list[UUID]:
        """In the order of time."""
        return list(row.measurements.order_by("mjd", "pk").values_list("pk", flat=True))


class TrackletView(ProductView):
    """Tracklets, newest first."""

    queryset = Tracklet.objects.none()
    serializer_class = TrackletSerializer
    filterset_class = TrackletFilter
    ordering = ["-mjd"]
    ordering_fields = ("mjd", "n_detections", "rate", "residual", "magnitude", "created_at")

    def everything(self) -> QuerySet[Tracklet]:
        """Those of every tag."""
        return moving.tracklets(EVERY)

    def get_queryset(self) -> QuerySet[Tracklet]:
        """Those of the tag in a list."""
        return moving.tracklets(EVERY if self.detail else self.tag)

    def get_serializer_class(self) -> type[TrackletSerializer]:
        """What it links is told of one."""
        return OneTrackletSerializer if self.action == "retrieve" else TrackletSerializer


class KnownObjectSerializer(RowSerializer):
    """A known body where something was measured."""

    object = serializers.CharField(source="of_object", help_text="Name of the object of the measurement.")
    mjd = serializers.FloatField(source="of_mjd", help_text="Of the measurement, UTC.")

    class Meta:
        model = KnownObject
        fields = [
            "id", "name", "measurement", "object", "mjd", "separation", "uncertainty", "ra", "dec", "magnitude", "rate",
            "position_angle", "distance", "created_at",
        ]  # fmt: skip


class KnownObjectView(ProductView):
    """Measurements that are of known bodies of the Solar System, newest first."""

    queryset = KnownObject.objects.none()
    serializer_class = KnownObjectSerializer
    filterset_class = KnownObjectFilter
    ordering_fields = ("created_at", "separation", "magnitude", "rate")

    def everything(self) -> QuerySet[KnownObject]:
        """Those of every tag."""
        return moving.known_objects(EVERY).annotate(**OF_MEASUREMENT)

    def get_queryset(self) -> QuerySet[KnownObject]:
        """Those of the tag in a list."""
        return moving.known_objects(EVERY if self.detail else self.tag).annotate(**OF_MEASUREMENT)


class OrbitCatalogSerializer(RowSerializer):
    """An imported catalogue of orbits."""

    badness = BadnessField()
    file = FileAddressField("api-orbit-catalog-file")

    class Meta:
        model = OrbitCatalog
        fields = [
            "id", "name", "n_orbits", "n_bad", "epoch", "badness", "provenance", "created_at", "filesize", "sha256",
            "file",
        ]  # fmt: skip


class OrbitCatalogView(WithFile, ProductView):
    """Imported catalogues of orbits; they belong to no tag."""

    queryset = OrbitCatalog.objects.none()
    serializer_class = OrbitCatalogSerializer
    filterset_class = OrbitCatalogFilter
    ordering_fields = ("created_at", "epoch", "n_orbits")
    extra_parameters = ("calibrated",)

    def everything(self) -> QuerySet[OrbitCatalog]:
        """All of them."""
        return OrbitCatalog.objects.all()

    def get_queryset(self) -> QuerySet[OrbitCatalog]:
        """All of them: what was imported serves every tag."""
        return self.everything()
