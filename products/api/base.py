"""What every endpoint of the archive shares: the tag, and what it asks of the person and the token."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from products.api.parameters import ALWAYS, refuse_others
from products.selectors.tags import DEFAULT, ChosenTag, tag_or_usual


class ArchiveView(GenericViewSet):
    """Rows under the provenance tag that the address names (`tag=`; `current` without)."""

    read_scope: ClassVar[str] = "read"
    write_scope: ClassVar[str] = "admin"
    scopes: ClassVar[dict[str, str]] = {}  # action → scope, where it is another
    permissions: ClassVar[dict[str, str]] = {}  # action or method → Django permission
    extra_parameters: ClassVar[tuple[str, ...]] = ()  # names in the query beside those of the FilterSet
    ordering_fields: ClassVar[tuple[str, ...]] = ()
    is_under_tag: ClassVar[bool] = True  # whether the tag decides what there is

    @property
    def tag(self) -> ChosenTag:
        """The tag asked for; 400 for one that does not exist."""
        return tag_of(self.request)


def tag_of(request: Request) -> ChosenTag:
    """The tag that the address of a request asks for, once a request; a cookie counts for pages only."""
    plain = request._request
    if not hasattr(plain, "chosen_tag"):
        asked = request.query_params.get("tag", "")
        found = tag_or_usual(asked) if "\0" not in asked and len(asked) <= 100 else None
        if found is None or (asked and asked != DEFAULT and not found.ids):
            raise ValidationError({"tag": [f"there is no tag “{asked[:100]}”; /api/v1/tags/ lists them"]})
        plain.chosen_tag = found
    return plain.chosen_tag


class ReadView(ListModelMixin, RetrieveModelMixin, ArchiveView):
    """A list and one row of it."""


class ProductView(ReadView):
    """Products of the tag; one that is asked for by its id may be of any tag."""

    ordering: ClassVar[list[str]] = ["-created_at"]
    ordering_fields = ("created_at",)
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"

    def everything(self) -> QuerySet:
        """The rows of all tags."""
        raise NotImplementedError

    def get_queryset(self) -> QuerySet:
        """Those of the tag in a list."""
        return self.everything() if self.detail else self.tag.narrow(self.everything())

    def get_object(self) -> Any:
        """The row with the id; filters are for lists."""
        refuse_others(self.request, ALWAYS | set(self.extra_parameters))
        found = get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])
        self.check_object_permissions(self.request, found)
        return found
