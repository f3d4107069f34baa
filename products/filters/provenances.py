"""What provenances and code versions can be searched by."""

from __future__ import annotations

import django_filters

from products.filters.base import ArchiveFilter, BeginningFilter, TextFilter
from products.models import CodeVersion, Provenance


class ProvenanceFilter(ArchiveFilter):
    """Provenances by process, the beginning of their id, a tag that holds them, and their marks."""

    process = TextFilter(label="process")
    id = BeginningFilter(label="id begins with")
    held_by = TextFilter(field_name="tags__tag", label="held by the tag")
    is_bad = django_filters.BooleanFilter(label="bad")
    is_outdated = django_filters.BooleanFilter(label="outdated")
    is_testing = django_filters.BooleanFilter(label="of a test")

    class Meta:
        model = Provenance
        fields: list[str] = []


class CodeVersionFilter(ArchiveFilter):
    """Code versions by process."""

    process = TextFilter(label="process")

    class Meta:
        model = CodeVersion
        fields: list[str] = []
