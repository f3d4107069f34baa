"""Provenances by the beginning of their ids, as people write them."""

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
