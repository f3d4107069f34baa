"""Filters that pages and the REST API share: a page leaves a wrong value out and says so, the API refuses it."""

from __future__ import annotations

import datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django_filters.fields import ChoiceField, IsoDateTimeField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from products.forms import DateField, PositionField
from products.selectors.tags import ChosenTag, chosen_tag

DEFAULT_RADIUS = 5.0  # arcsec
LARGEST_RADIUS = 7200.0  # arcsec


@extend_schema_field(OpenApiTypes.STR)
class DateFilter(django_filters.Filter):
    """A date or an MJD; `ends=True` takes the end of a plain date."""

    field_class = DateField


@extend_schema_field(OpenApiTypes.STR)
class PositionFilter(django_filters.Filter):
    """A position in any usual notation, or the name of an object."""

    field_class = PositionField


class MomentField(IsoDateTimeField):
    """A time in ISO 8601 that every database can compare with: its UTC is within the years of the calendar."""

    def clean(self, value: Any) -> datetime.datetime | None:
        found = super().clean(value)
        try:
            return found and found.astimezone(datetime.UTC)
        except OverflowError:
            raise forms.ValidationError("no time is that early or that late") from None


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentFilter(django_filters.IsoDateTimeFilter):
    """A time, e.g. `2026-11-23T04:00Z`."""

    field_class = MomentField


class TextFilter(django_filters.CharFilter):
    """Text of at most 120 characters."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, max_length=120, **options)


class BeginningFilter(TextFilter):
    """The beginning of the id of a provenance; ids are written in capitals."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, lookup_expr="startswith", **options)

    def filter(self, rows: QuerySet, value: str) -> QuerySet:
        """The rows whose provenance begins so."""
        return super().filter(rows, value.upper())


@extend_schema_field(OpenApiTypes.DOUBLE)
class FloatFilter(django_filters.Filter):
    """A finite number."""

    field_class = forms.FloatField


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
        return {name: value for name, value in self.form.cleaned_data.items() if value not in (None, "", [])}

    @property
    def is_narrowed(self) -> bool:
        """Whether anything was asked for."""
        return bool(self.wanted)

    def without(self, *names: str) -> QuerySet:
        """The rows under every valid value but those of the named filters."""
        self.form.is_valid()
        rows = self.queryset.all()
        for name, value in self.form.cleaned_data.items():
            if name not in names:
                rows = self.filters[name].filter(rows, value)
        return rows

    def leave(self, rows: QuerySet, name: str, value: Any) -> QuerySet:
        """The rows as they are."""
        return rows


class ConeForm(forms.Form):
    """Right ascension and declination belong together."""

    def clean(self) -> None:
        for one, other in (("ra", "dec"), ("dec", "ra")):
            if self.cleaned_data.get(one) is not None and not self.data.get(other):
                self.add_error(other, f"{one} needs it")


class ConeFilter(ArchiveFilter):
    """Rows around a position: `position` in any notation, or `ra` and `dec` in degrees."""

    position = PositionFilter(method="around", label="around the position (RA Dec, or a name)")
    ra = FloatFilter(method="around_degrees", label="right ascension, degrees (with dec)", min_value=0, max_value=360)
    dec = FloatFilter(method="leave", label="declination, degrees (with ra)", min_value=-90, max_value=90)
    radius = FloatFilter(method="leave", label="within (″, 5 if not given)", min_value=0.01, max_value=LARGEST_RADIUS)

    class Meta:
        form = ConeForm
        fields: list[str] = []

    @property
    def place(self) -> tuple[float, float] | None:
        """The position asked for, degrees."""
        wanted = self.wanted
        if "position" in wanted:
            return wanted["position"]
        return (wanted["ra"], wanted["dec"]) if {"ra", "dec"} <= wanted.keys() else None

    @property
    def radius_arcsec(self) -> float:
        """How far around it."""
        return self.wanted.get("radius") or DEFAULT_RADIUS

    def around(self, rows: QuerySet, name: str, place: tuple[float, float]) -> QuerySet:
        """In the cone of `radius`."""
        return rows.within(*place, self.radius_arcsec)

    def around_degrees(self, rows: QuerySet, name: str, value: float) -> QuerySet:
        """The same with numbers; `position` is the one that counts where both are given."""
        place = self.place
        return rows if place is None or "position" in self.wanted else rows.within(*place, self.radius_arcsec)
