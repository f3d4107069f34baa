"""Provenances and code versions in the REST API."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from products.api.base import ReadView
from products.filters.provenances import CodeVersionFilter, ProvenanceFilter
from products.models import CodeVersion, Provenance
from products.selectors import tags as selector
from products.selectors.provenances import bad_provenances
from products.selectors.trace import provenance_graph


class CodeVersionSerializer(serializers.ModelSerializer):
    """A version of the code of one process."""

    class Meta:
        model = CodeVersion
        fields = ["id", "process", "major", "minor", "patch"]


class CodeVersionView(ReadView):
    """Versions of the code that made products."""

    queryset = CodeVersion.objects.all()
    serializer_class = CodeVersionSerializer
    filterset_class = CodeVersionFilter
    ordering = ["-pk"]


class ProvenanceSerializer(serializers.ModelSerializer):
    """What products were made with."""

    code_version = serializers.SerializerMethodField(help_text="major.minor.patch")
    tags = serializers.SerializerMethodField()

    class Meta:
        model = Provenance
        fields = [
            "id", "process", "code_version", "parameters", "upstreams", "downstreams", "tags", "is_bad", "bad_comment",
            "is_outdated", "replaced_by", "is_testing", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_code_version(self, row: Provenance) -> str:
        """`1.2.0`."""
        return version_of(row)

    def get_tags(self, row: Provenance) -> list[str]:
        """The tags that hold it."""
        return sorted(one.tag for one in row.tags.all())


def version_of(row: Provenance) -> str:
    """`1.2.0`."""
    code = row.code_version
    return f"{code.major}.{code.minor}.{code.patch}"


class OneProvenanceSerializer(ProvenanceSerializer):
    """One of them, with how many products carry it."""

    products = serializers.SerializerMethodField(help_text="Kind of product → how many carry it.")
    bad_upstreams = serializers.SerializerMethodField(help_text="Provenances marked as bad that it comes from.")

    class Meta(ProvenanceSerializer.Meta):
        fields = [*ProvenanceSerializer.Meta.fields, "products", "bad_upstreams"]

    def get_products(self, row: Provenance) -> dict[str, int]:
        """Counts by kind."""
        return dict(sorted(selector.product_counts([row.pk])[row.pk].items()))

    def get_bad_upstreams(self, row: Provenance) -> list[str]:
        """Ids of those upstream that are marked."""
        return [found.pk for found in bad_provenances([row.pk]) if found.pk != row.pk]


class NodeSerializer(serializers.Serializer):
    """A provenance in a graph."""

    id = serializers.CharField()
    process = serializers.CharField()
    code_version = serializers.CharField()
    generation = serializers.IntegerField(help_text="Negative: upstream of the one asked for; positive: downstream.")
    is_bad = serializers.BooleanField()


class GraphSerializer(serializers.Serializer):
    """Everything upstream and downstream of a provenance."""

    nodes = NodeSerializer(many=True)
    arrows = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()), help_text="Pairs of ids, upstream first."
    )


KIN = ("upstreams", "downstreams")


class ProvenanceView(ReadView):
    """What products were made with: process, code version, parameters, upstreams."""

    queryset = Provenance.objects.all()
    serializer_class = ProvenanceSerializer
    filterset_class = ProvenanceFilter
    ordering = ["-created_at"]
    ordering_fields = ("created_at", "process")

    def get_queryset(self) -> QuerySet[Provenance]:
        """All of them, with their neighbours."""
        kin = [Prefetch(name, Provenance.objects.only("pk").order_by("pk")) for name in KIN]
        return Provenance.objects.select_related("code_version").prefetch_related("tags", *kin).distinct()

    def get_serializer_class(self) -> type[serializers.Serializer]:
        """One row has more than a list."""
        return OneProvenanceSerializer if self.action == "retrieve" else ProvenanceSerializer

    @extend_schema(responses=GraphSerializer, filters=False)
    @action(detail=True, filterset_class=None, pagination_class=None)
    def graph(self, request: Request, pk: str) -> Response:
        """Everything upstream and downstream, as nodes and arrows."""
        found = provenance_graph(self.get_object())
        nodes = [
            {
                "id": key, "process": node.provenance.process, "code_version": version_of(node.provenance),
                "generation": node.depth, "is_bad": node.provenance.is_bad,
            }
            for key, node in sorted(found.nodes.items(), key=lambda pair: (pair[1].depth, pair[1].row))
        ]  # fmt: skip
        arrows = sorted([up, down] for up, down in found.arrows if up in found.nodes and down in found.nodes)
        return Response({"nodes": nodes, "arrows": arrows})
