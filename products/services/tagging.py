"""Tags: names for sets of provenances. One provenance a process, several only for referencing."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection, transaction

from products.errors import BadTagName, TagConflict, UnknownTag
from products.models import Provenance, ProvenanceTag

SEVERAL = frozenset({"referencing"})  # processes of which a tag may hold more than one provenance
LONGEST = ProvenanceTag._meta.get_field("tag").max_length


def tag_provenances(tag: str, provenances: Iterable[Provenance]) -> int:
    """Put provenances into a tag; how many are new in it. TagConflict, with nothing written, lists what stands against.

    Runs that begin side by side tag the same provenances at once: who comes second finds them there.
    """
    refuse_bad_name(tag)
    wanted = {row.pk: row for row in provenances}
    with transaction.atomic():
        held = _held(tag)
        if wanted.keys() <= {row.pk for row in held}:
            return 0
        _lock(tag)
        held = _held(tag)
        new = [row for key, row in wanted.items() if key not in {row.pk for row in held}]
        _refuse_conflicts(tag, held, new)
        rows = [ProvenanceTag(tag=tag, provenance=row) for row in new]
        ProvenanceTag.objects.bulk_create(rows, ignore_conflicts=True)
    return len(new)


def untag(tag: str, provenances: Iterable[Provenance] | None = None) -> int:
    """Take provenances (all of them if not given) out of a tag; how many. Products and provenances stay."""
    refuse_unknown(tag)
    rows = ProvenanceTag.objects.filter(tag=tag)
    if provenances is not None:
        rows = rows.filter(provenance__in=[row.pk for row in provenances])
    return rows.delete()[0]


def clone(tag: str, new_tag: str) -> int:
    """Give the provenances of a tag a second name; how many are new in it."""
    refuse_unknown(tag)
    return tag_provenances(new_tag, _held(tag))


def known_tags() -> list[str]:
    """The names of all tags."""
    return list(ProvenanceTag.objects.order_by("tag").values_list("tag", flat=True).distinct())


def refuse_unknown(tag: str) -> None:
    """UnknownTag, which says what tags there are, for a name that is none of them, whatever characters it has."""
    known = known_tags()
    if tag not in known:
        raise UnknownTag(tag=tag, known=", ".join(known) or "none")


def refuse_bad_name(tag: str) -> None:
    """BadTagName for a name that no column, address or command line would take."""
    reasons = {
        "it is empty": not tag.strip(),
        f"it is longer than {LONGEST} characters": len(tag) > LONGEST,
        "it begins or ends with a blank": tag != tag.strip(),
        "it holds characters that cannot be seen": not tag.isprintable(),
        "addresses of pages cannot hold it": set(tag.split("/")) & {"", ".", ".."},
    }
    for reason, holds in reasons.items():
        if holds:
            raise BadTagName(tag=tag, reason=reason)


def _held(tag: str) -> list[Provenance]:
    return list(Provenance.objects.filter(tags__tag=tag).order_by("process", "pk"))


def _lock(tag: str) -> None:
    """One writer of a tag at a time; SQLite has one writer of anything."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"tag {tag}"])


def _refuse_conflicts(tag: str, held: Iterable[Provenance], new: Iterable[Provenance]) -> None:
    by_process = {row.process: row.pk for row in held if row.process not in SEVERAL}
    conflicts = []
    for row in new:
        if row.process in SEVERAL:
            continue
        if by_process.setdefault(row.process, row.pk) != row.pk:
            conflicts.append(f"{row.process} (holds {by_process[row.process]}, asked for {row.pk})")
    if conflicts:
        raise TagConflict(tag=tag, conflicts="; ".join(conflicts))
