"""What requests for forced photometry can be searched by."""

from __future__ import annotations

from products.filters.base import ArchiveFilter, ChoiceFilter, TextFilter
from products.models import ForcedRequest


class ForcedRequestFilter(ArchiveFilter):
    """Requests by object, person and state."""

    object = TextFilter("object__name", label="object")
    person = TextFilter("person__username", label="user name")
    state = ChoiceFilter(choices=ForcedRequest.State.choices, label="state")

    class Meta:
        model = ForcedRequest
        fields: list[str] = []
