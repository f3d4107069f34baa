"""Parameters that every endpoint shares: pages by cursor, strict filters, strict sorting."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Set as AbstractSet
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Q, QuerySet
from django_filters import MultipleChoiceFilter
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

ALWAYS = frozenset({"tag", "sort", "cursor", "page_size"})


def refuse_others(
    request: Request, known: AbstractSet[str] = frozenset(), *, several: AbstractSet[str] = frozenset()
) -> None:
    """400 that names every parameter that is not `known`, or is given twice and takes no `several` values."""
    there_are = f"there are {', '.join(sorted(known))}" if known else "there are none here"
    unknown = {name: [f"there is no such parameter; {there_are}"] for name in sorted(set(request.query_params) - known)}
    given = {name for name, values in request.query_params.lists() if len(values) > 1}
    twice = {name: ["it is given more than once"] for name in sorted(given - several)}
    if wrong := unknown | twice:
        raise ValidationError(wrong)


UNREADABLE = (
    ValueError, TypeError, OverflowError, RecursionError, binascii.Error, FieldDoesNotExist, DjangoValidationError,
)  # fmt: skip
SWITCH = {"true": True, "1": True, "false": False, "0": False}


class Pages(BasePagination):
    """Pages by cursor: the value sorted by and the id of the last row, so what is added meanwhile repeats nothing.

    `cursor` is there at the end of a list too: asked with it later, the list gives what came since.
    """

    page_size = 100
    largest = 500

    def paginate_queryset(self, queryset: QuerySet, request: Request, view: Any = None) -> list[Any]:
        """The rows of the page that `cursor` and `page_size` ask for."""
        self.request, size = request, self._size(request)
        name, *_ = ordering = StrictOrdering().get_ordering(request, queryset, view)
        self.name, down = name.lstrip("-"), name.startswith("-")
        self.asked = request.query_params.get("cursor", "")
        rows = queryset.order_by(*ordering)
        if self.asked:
            value, pk = self._position(queryset)
            beyond = "lt" if down else "gt"
            after = Q(**{f"{self.name}__{beyond}": value})
            if self.name != "pk":
                # The first condition says what the second implies, and lets an index find the beginning.
                rows = rows.filter(**{f"{self.name}__{beyond}e": value})
                after |= Q(**{self.name: value, f"pk__{beyond}": pk})
            rows = rows.filter(after)
        found = list(rows[: size + 1])
        self.more, self.page = len(found) > size, found[:size]
        return self.page

    def get_paginated_response(self, data: Any) -> Response:
        """The rows, the address of the next page, and the cursor of the last row."""
        cursor = self._cursor(self.page[-1]) if self.page else self.asked or None
        following = replace_query_param(self.request.build_absolute_uri(), "cursor", cursor) if self.more else None
        return Response({"next": following, "cursor": cursor, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """What the document says of a page."""
        following = {"type": "string", "format": "uri", "nullable": True, "description": "Address of the next page."}
        cursor = {"type": "string", "nullable": True, "description": "Of the last row; asks for what comes after it."}
        properties = {"next": following, "cursor": cursor, "results": schema}
        return {"type": "object", "properties": properties, "required": list(properties)}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """What the document says of the parameters."""
        size = {"type": "integer", "minimum": 1, "maximum": self.largest, "default": self.page_size}
        text = {"type": "string"}
        return [
            {"name": "page_size", "in": "query", "schema": size, "description": "Rows a page."},
            {"name": "cursor", "in": "query", "schema": text, "description": "From an earlier answer."},
        ]

    def _size(self, request: Request) -> int:
        return whole_number(request, "page_size", self.page_size, 1, self.largest)

    def _cursor(self, row: Any) -> str:
        value = getattr(row, self.name)
        plain = value if isinstance(value, (float, int, str)) else str(value)
        return base64.urlsafe_b64encode(json.dumps([self.name, plain, str(row.pk)]).encode()).decode().rstrip("=")

    def _position(self, queryset: QuerySet) -> tuple[Any, Any]:
        """Value and id of the row after which the page begins; 400 for what no answer ever gave."""
        try:
            text = base64.b64decode(self.asked + "=" * (-len(self.asked) % 4), altchars=b"-_", validate=True)
            name, value, pk = json.loads(text)
            if name != self.name:
                raise ValueError("it belongs to another order")
            for one in (value, pk):
                if not isinstance(one, (str, int, float)) or "\0" in str(one):
                    raise ValueError("no row has such a value")
            meta = queryset.model._meta
            found = (meta.pk if name == "pk" else meta.get_field(name)).to_python(value)
            if isinstance(found, float) and not math.isfinite(found):
                raise ValueError("no row has such a value")
            return found, meta.pk.to_python(pk)
        except UNREADABLE:
            raise ValidationError({"cursor": ["take it from an earlier answer to the same `sort`"]}) from None


class ShortPages(Pages):
    """Pages of rows that take long each: exposures with all their CCDs, measurements with all that they are of."""

    largest = 250


class StrictFilters(DjangoFilterBackend):
    """The FilterSet of the view; a wrong value and an unknown name are both refused by name."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        """The rows that match."""
        known = ALWAYS | set(getattr(view, "extra_parameters", ()))
        several = set()
        if (declared := self.get_filterset_class(view, queryset)) is not None:
            known |= set(declared.base_filters)
            several = {name for name, one in declared.base_filters.items() if isinstance(one, MultipleChoiceFilter)}
        refuse_others(request, known, several=several)
        filters = self.get_filterset(request, queryset, view)
        if filters is None:
            return queryset
        if not filters.is_valid():
            raise ValidationError({name: [str(one) for one in said] for name, said in filters.errors.items()})
        return filters.qs


class StrictOrdering(OrderingFilter):
    """`sort=` one of the view's `ordering_fields`, which are never null; ties by id, so that cursors are exact."""

    ordering_param = "sort"

    def get_ordering(self, request: Request, queryset: QuerySet, view: Any) -> list[str]:
        """Fields to sort by."""
        asked = request.query_params.get(self.ordering_param)
        known = tuple(getattr(view, "ordering_fields", ()))
        if asked and asked.removeprefix("-") not in known:
            listed = ", ".join(known) or "none here"
            raise ValidationError({self.ordering_param: [f"one of {listed}, with a minus in front for descending"]})
        found = [asked] if asked else list(getattr(view, "ordering", None) or ["-pk"])
        return found if found[-1].lstrip("-") == "pk" else [*found, "-pk" if found[-1].startswith("-") else "pk"]

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """What the document says of it."""
        known = [name for field in getattr(view, "ordering_fields", ()) for name in (field, f"-{field}")]
        schema = {"type": "string", "enum": known, "default": (getattr(view, "ordering", None) or ["-pk"])[0]}
        described = "What to sort by; a minus in front sorts descending."
        return (
            [{"name": self.ordering_param, "in": "query", "schema": schema, "description": described}] if known else []
        )


def boolean(request: Request, name: str) -> bool:
    """A switch of the address: true, false, 1 or 0; false where it is missing."""
    asked = request.query_params.get(name, "false").lower()
    if asked not in SWITCH:
        raise ValidationError({name: ["true or false"]})
    return SWITCH[asked]


def whole_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the address within limits."""
    asked = request.query_params.get(name)
    if asked is None:
        return default
    if not (asked.isascii() and asked.isdigit() and len(asked) < 12 and low <= int(asked) <= high):
        raise ValidationError({name: [f"a whole number from {low} to {high}"]})
    return int(asked)
