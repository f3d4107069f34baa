"""Tags in the REST API: what they hold, two compared, and new ones."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.admin.models import ADDITION, CHANGE
from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from products.api.base import ArchiveView
from products.api.parameters import refuse_others
from products.api.provenances import version_of
from products.errors import ArchiveError
from products.forms import ComparisonSearch
from products.models import Provenance, ProvenanceTag
from products.selectors import tags as selector
from products.selectors.matching import Matched, matched
from products.services import tagging
from products.services.tag_log import note


class TagSerializer(serializers.Serializer):
    """A tag in the list."""

    tag = serializers.CharField()
    provenances = serializers.IntegerField(help_text="How many it holds.")
    changed = serializers.DateTimeField(help_text="UTC, when one was last put into it.")


class TaggedSerializer(serializers.Serializer):
    """A provenance that a tag holds."""

    process = serializers.CharField(source="provenance.process")
    id = serializers.CharField(source="provenance.pk")
    code_version = serializers.SerializerMethodField()
    parameters = serializers.JSONField(source="provenance.parameters")
    upstreams = serializers.SerializerMethodField()
    is_bad = serializers.BooleanField(source="provenance.is_bad")
    products = serializers.DictField(child=serializers.IntegerField(), help_text="Kind → how many carry it.")

    def get_code_version(self, row: selector.TaggedProvenance) -> str:
        """`1.2.0`."""
        return version_of(row.provenance)

    def get_upstreams(self, row: selector.TaggedProvenance) -> list[str]:
        """Ids."""
        return sorted(up.pk for up in row.provenance.upstreams.all())


class OneTagSerializer(serializers.Serializer):
    """What a tag holds, upstreams first."""

    tag = serializers.CharField()
    provenances = TaggedSerializer(many=True)


class NewTagSerializer(serializers.Serializer):
    """A tag to make, or to add to: the provenances of another tag, or those named, or both."""

    tag = serializers.CharField(max_length=tagging.LONGEST, help_text="The name.")
    clone = serializers.CharField(required=False, max_length=tagging.LONGEST, help_text="Tag to take them from.")
    provenances = serializers.ListField(
        child=serializers.CharField(max_length=20), required=False, max_length=500, help_text="Whole ids."
    )

    def validate_clone(self, value: str) -> str:
        """It must exist."""
        if value not in tagging.known_tags():
            raise serializers.ValidationError(f"there is no tag “{value}”")
        return value

    def validate_provenances(self, value: list[str]) -> list[str]:
        """They must exist."""
        known = set(Provenance.objects.filter(pk__in=value).values_list("pk", flat=True))
        if unknown := [key for key in value if key not in known]:
            raise serializers.ValidationError(f"there is no provenance {', '.join(unknown[:5])}")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Something must be put in."""
        if not attrs.get("clone") and not attrs.get("provenances"):
            raise serializers.ValidationError({"clone": ["name a tag to clone, or `provenances`"]})
        return attrs


class TagView(ArchiveView):
    """Names for sets of provenances."""

    queryset = ProvenanceTag.objects.none()
    serializer_class = TagSerializer
    filter_backends = ()
    lookup_field = "name"
    lookup_value_regex = ".+"
    permissions: ClassVar[dict[str, str]] = {"create": "products.add_provenancetag"}

    @extend_schema(responses=TagSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every tag by name."""
        refuse_others(request)
        return Response(TagSerializer(selector.tag_rows(), many=True).data)

    @extend_schema(responses=OneTagSerializer, parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH)])
    def retrieve(self, request: Request, name: str) -> Response:
        """What a tag holds."""
        refuse_others(request)
        rows = selector.contents(name) if "\0" not in name else []
        if not rows:
            raise NotFound(f"there is no tag “{name[:100]}”")
        return Response(OneTagSerializer({"tag": name, "provenances": rows}).data)

    @extend_schema(request=NewTagSerializer, responses={201: OneTagSerializer})
    def create(self, request: Request) -> Response:
        """Make a tag, or put more into one; nothing is written where one process would have two provenances."""
        asked = NewTagSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted, name = asked.validated_data, asked.validated_data["tag"].strip()
        chosen = Q(pk__in=wanted.get("provenances", []))
        if wanted.get("clone"):
            chosen |= Q(tags__tag=wanted["clone"])
        is_new = name not in tagging.known_tags()
        try:
            number = tagging.tag_provenances(name, Provenance.objects.filter(chosen).distinct())
        except ArchiveError as error:
            raise ValidationError({"tag": [str(error)]}) from error
        said = f", cloned from '{wanted['clone']}'" if wanted.get("clone") else ""
        note(request.user, name, f"{number} provenances were put into it{said}.", ADDITION if is_new else CHANGE)
        content = {"tag": name, "provenances": selector.contents(name)}
        return Response(OneTagSerializer(content).data, status=status.HTTP_201_CREATED)


class ProcessSerializer(serializers.Serializer):
    """One process in two tags."""

    process = serializers.CharField()
    a = serializers.ListField(child=serializers.CharField(), help_text="Ids of its provenances in A.")
    b = serializers.ListField(child=serializers.CharField())
    same = serializers.BooleanField()
    because = serializers.CharField(help_text="Why they differ: version, parameters, or a process before it.")


class ParameterSerializer(serializers.Serializer):
    """A parameter that differs."""

    process = serializers.CharField()
    parameter = serializers.CharField()
    a = serializers.JSONField(allow_null=True)
    b = serializers.JSONField(allow_null=True)


class NumberSerializer(serializers.Serializer):
    """How many products of one kind both have."""

    kind = serializers.CharField()
    a = serializers.IntegerField()
    b = serializers.IntegerField()


class MatchedSerializer(serializers.Serializer):
    """Kept detections on the CCDs that both tags have, matched by object and exposure."""

    ccds = serializers.IntegerField()
    is_limited = serializers.BooleanField(help_text="Only the newest CCDs were looked at.")
    both = serializers.IntegerField()
    only_a = serializers.IntegerField(source="lost.number")
    only_a_cut_in_b = serializers.IntegerField(source="lost.cut")
    only_b = serializers.IntegerField(source="gained.number")
    only_b_cut_in_a = serializers.IntegerField(source="gained.cut")
    median_magnitude_difference = serializers.FloatField(source="median", allow_null=True, help_text="B − A, mag.")
    rms_magnitude_difference = serializers.FloatField(source="rms", allow_null=True, help_text="mag")


class ComparisonSerializer(serializers.Serializer):
    """Two tags side by side."""

    processes = ProcessSerializer(many=True)
    parameters = ParameterSerializer(many=True)
    products = NumberSerializer(many=True)
    detections = MatchedSerializer()


class CompareView(APIView):
    """Two tags side by side: how they were made and what came out."""

    PARAMETERS = frozenset({"a", "b", "start", "end", "project"})

    @extend_schema(
        operation_id="compare_tags",
        responses=ComparisonSerializer,
        parameters=[
            OpenApiParameter("a", str, required=True, description="A tag."),
            OpenApiParameter("b", str, required=True, description="Another one."),
            OpenApiParameter("start", str, description="Exposures from this date or MJD on."),
            OpenApiParameter("end", str, description="Exposures up to this date or MJD."),
            OpenApiParameter("project", str, description="Exposures of this project."),
        ],
    )
    def get(self, request: Request) -> Response:
        """What differs between two tags, and why; and what came out on the CCDs that both have."""
        refuse_others(request, self.PARAMETERS)
        known, tags = tagging.known_tags(), {}
        for name in ("a", "b"):
            tags[name] = request.query_params.get(name, "")
            if tags[name] not in known:
                raise ValidationError({name: [f"name one of the tags: {', '.join(known) or 'there are none'}"]})
        form, wanted = ComparisonSearch.of(request.query_params)
        if form.errors:
            raise ValidationError({name: [str(one) for one in errors] for name, errors in form.errors.items()})
        found = selector.compare(tags["a"], tags["b"])
        detections: Matched = matched(selector.of_name(tags["a"]), selector.of_name(tags["b"]), wanted)
        content = {
            "processes": [
                {
                    "process": row.process, "a": [one.pk for one in row.a], "b": [one.pk for one in row.b],
                    "same": row.same, "because": "" if row.same else row.why,
                }
                for row in found.processes
            ],
            "parameters": [dict(zip(("process", "parameter", "a", "b"), row)) for row in found.parameters],
            "products": [dict(zip(("kind", "a", "b"), row)) for row in found.products],
            "detections": detections,
        }  # fmt: skip
        return Response(ComparisonSerializer(content).data)
