"""Filters that pages and the REST API share: a page leaves a wrong value out and says so, the API refuses it."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django_filters.fields import ChoiceField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from products.forms import DateField, PositionField
from products.selectors.tags import ChosenTag, chosen_tag


@extend_schema_field(OpenApiTypes.STR)
class DateFilter(django_filters.Filter):
    """A date or an MJD; `ends=True` takes the end of a plain date."""

    field_class = DateField


@extend_schema_field(OpenApiTypes.STR)
class PositionFilter(django_filters.Filter):
    """A position in any usual notation, or the name of an object."""

    field_class = PositionField


class TextFilter(django_filters.CharFilter):
    """Text of at most 120 characters."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, max_length=120, **options)


class ChoiceFilter(django_filters.ChoiceFilter):
    """One of a few words."""

    field_class = ChoiceField

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("empty_label", "any")
        super().__init__(*args, **options)


class ArchiveFilter(django_filters.FilterSet):
    """Filters of one kind of rows under the tag of the request.

    `qs` applies the values that are valid; `errors` names the others. Values without an effect of their own
    (`method="leave"`) are read by the view from `wanted`.
    """

    @property
    def tag(self) -> ChosenTag:
        """The tag of the request."""
        return chosen_tag(self.request)

    @property
    def wanted(self) -> dict[str, Any]:
        """Clean values by name, without those that are wrong or empty."""
        self.form.is_valid()
        return {name: value for name, value in self.form.cleaned_data.items() if value not in (None, "")}

    def without(self, *names: str) -> QuerySet:
        """The rows that match when these filters are left out: what another choice would find."""
        data = self.data.copy()
        for name in names:
            data.pop(name, None)
        return type(self)(data, queryset=self.queryset, request=self.request).qs

    @property
    def is_narrowed(self) -> bool:
        """Whether anything was asked for."""
        return bool(self.wanted)

    def leave(self, rows: QuerySet, name: str, value: Any) -> QuerySet:
        """The rows as they are."""
        return rows
