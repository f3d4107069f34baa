"""Provenances by the beginning of their ids, as people write them, and those that are marked as bad."""

from __future__ import annotations

from collections.abc import Iterable

from products.errors import UnknownProvenance
from products.models import Provenance

SHORTEST = 4  # characters of an id that must be given


def provenances_by_id(asked: Iterable[str]) -> list[Provenance]:
    """The provenances whose ids begin as asked; UnknownProvenance where none does, or more than one."""
    return [_one(text) for text in asked]


def _one(asked: str) -> Provenance:
    beginning = asked.strip().upper()
    if len(beginning) < SHORTEST:
        raise UnknownProvenance(asked=asked, hint=f": give at least {SHORTEST} characters of its id")
    found = list(Provenance.objects.filter(pk__startswith=beginning).order_by("pk")[:4]) if beginning.isalnum() else []
    if not found:
        raise UnknownProvenance(asked=asked, hint="; their pages and `tag_provenances show TAG` give the ids")
    if len(found) > 1:
        raise UnknownProvenance(asked=asked, hint=f" alone: {', '.join(row.pk for row in found)} begin so")
    return found[0]


def bad_provenances(ids: Iterable[str]) -> list[Provenance]:
    """Those of `ids`, and of everything upstream of them, that are marked as bad; one query where none is marked."""
    marked = {row.pk: row for row in Provenance.objects.filter(is_bad=True)}
    found: dict[str, Provenance] = {}
    seen: set[str] = set()
    level = set(ids) if marked else set()
    while level:
        found |= {key: marked[key] for key in level if key in marked}
        seen |= level
        links = Provenance.upstreams.through.objects.filter(from_provenance__in=level)
        level = set(links.values_list("to_provenance", flat=True)) - seen
    return sorted(found.values(), key=lambda row: (row.process, row.pk))
