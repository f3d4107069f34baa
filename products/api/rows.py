"""Rows of the archive as JSON, quickly: a page may have hundreds of them."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from django.db.models import F, QuerySet
from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.fields import empty

# Fields whose columns hold what JSON shall have: nothing of theirs is to be converted.
AS_IT_IS = (
    serializers.BooleanField, serializers.CharField, serializers.FloatField, serializers.IntegerField,
    serializers.JSONField,
)  # fmt: skip
IMAGE = ("id", "image", "exposure", "section", "filter")  # how rows of `OfImage` begin
OF_IMAGE = {"of_image": "", "of_exposure": "__exposure__name", "of_section": "__section", "of_filter": "__filter"}


class RowSerializer(serializers.ModelSerializer):
    """A row. Its plain columns are read without asking their fields, which takes most of the time of a page."""

    @cached_property
    def columns(self) -> list[tuple[str, Callable[[Any], Any]]]:
        """(name, what gives its value) of every field."""
        return [(field.field_name, self._value_of(field)) for field in self._readable_fields]

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Name → value."""
        return {name: value(instance) for name, value in self.columns}

    def _value_of(self, field: serializers.Field) -> Callable[[Any], Any]:
        if type(field) in AS_IT_IS and field.source != "*" and field.default is empty:
            return attrgetter(field.source)
        if type(field) is serializers.PrimaryKeyRelatedField:
            return attrgetter(self.Meta.model._meta.get_field(field.source).attname)

        def value(instance: Any) -> Any:
            found = field.get_attribute(instance)
            return None if found is None else field.to_representation(found)

        return value


class OfImage(RowSerializer):
    """What was measured on an image, with the exposure, CCD and filter of the image; of rows from `with_image`."""

    image = serializers.UUIDField(source="of_image", read_only=True)
    exposure = serializers.CharField(source="of_exposure", allow_null=True, read_only=True)
    section = serializers.CharField(source="of_section", read_only=True)
    filter = serializers.CharField(source="of_filter", read_only=True)


def with_image(rows: QuerySet, path: str) -> QuerySet:
    """The same rows with what is shown of the images at `path`, in the same query."""
    return rows.annotate(**{name: F(path + lookup) for name, lookup in OF_IMAGE.items()})
