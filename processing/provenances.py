"""Provenances of steps: computed from declarations, kept in the database once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import transaction

from processing.errors import BadProvenance
from processing.step import Lookup, Step
from products.models import CodeVersion, Provenance
from products.models.base import Product
from products.selectors.provenances import bad_provenances

Roots = Mapping[type, Iterable[str]]


def ids(steps: Iterable[Step], roots: Roots) -> dict[str, tuple[str, list[str]]]:
    """Step name → (provenance id, upstream ids), as far as the roots reach.

    `roots` gives provenance ids for classes that no step of the pipeline makes: the Exposure, the Reference that a
    lookup will choose, the components of a coadd. A step that needs a class with neither is left out, and all after it.
    """
    made: dict[type, list[str]] = {cls: list(found) for cls, found in roots.items()}
    result: dict[str, tuple[str, list[str]]] = {}
    for step in steps:
        if isinstance(step, Lookup):
            continue
        upstreams = upstream_ids(type(step), made)
        if upstreams is None:
            break
        own = Provenance.hash(step.name, step.version, step.parameters.critical(), upstreams)
        result[step.name] = (own, upstreams)
        for output in step.outputs():
            made[output] = [own]
    return result


def upstream_ids(step: type[Step], made: Mapping[type, list[str]]) -> list[str] | None:
    """The distinct ids of what a step takes, sorted; None where a needed product has no provenance yet."""
    found: set[str] = set()
    for classes in step.inputs().values():
        known = [made[cls] for cls in classes if cls in made]
        if known:
            found.update(known[0])
        elif any(issubclass(cls, Product) for cls in classes) and type(None) not in classes:
            return None
    return sorted(found)


def keep(steps: Iterable[Step], roots: Roots) -> dict[str, Provenance]:
    """The rows of the provenances of `steps`, made where they are missing."""
    by_name = {step.name: step for step in steps}
    return {
        name: keep_one(name, by_name[name].version, by_name[name].parameters.critical(), upstreams)
        for name, (_, upstreams) in ids(by_name.values(), roots).items()
    }


def keep_one(
    process: str, version: tuple[int, int, int], parameters: Mapping[str, object], upstreams: Iterable[str] = ()
) -> Provenance:
    """The row of one provenance, made where it is missing; two processes that make it at once get the same."""
    upstreams = sorted(set(upstreams))
    own = Provenance.hash(process, version, parameters, upstreams)
    if found := Provenance.objects.filter(pk=own).first():
        return found
    with transaction.atomic():
        major, minor, patch = version
        code, _ = CodeVersion.objects.get_or_create(process=process, major=major, minor=minor, patch=patch)
        row, _ = Provenance.objects.get_or_create(
            pk=own, defaults={"process": process, "code_version": code, "parameters": dict(parameters)}
        )
        row.upstreams.add(*upstreams)
    return row


def refuse_bad(provenance: Provenance) -> None:
    """BadProvenance where it, or anything that it comes from, is marked as bad."""
    for row in bad_provenances([provenance.pk])[:1]:
        raise BadProvenance(process=row.process, provenance=row.pk, comment=row.bad_comment or "no reason is given")
