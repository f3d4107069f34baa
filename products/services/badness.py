"""Badness: mark a product, or clear it, and tell everything that was made of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from products.models.badness import NOT_INHERITED, Badness, HasBadness

MARKING = 0x5EEC4A9E  # number of the advisory lock
AT_ONCE = 500  # rows named in one query
Bits = dict[Any, tuple[int, int]]  # primary key -> (bits inherited until now, bits that it should inherit)


def set_badness(product: HasBadness, bits: Badness, *, description: str | None = None) -> int:
    """Set the own bits of a product to exactly `bits` (none to clear it); how many products downstream changed.

    ValueError for bits that this kind of product cannot have.
    """
    foreign = Badness(int(bits) & ~int(product.ALLOWED_BADNESS))
    if foreign:
        raise ValueError(
            f"{foreign.label} cannot be set on {type(product)._meta.verbose_name_plural}; "
            f"these can: {Badness(product.ALLOWED_BADNESS).label}"
        )
    product.badness_own = int(bits)
    changed = ["badness_own"]
    if description is not None:
        product.description = description
        changed.append("description")
    with transaction.atomic():
        _lock()
        product.save(update_fields=changed)
        return tell_downstream([product])


def tell_downstream(products: Iterable[HasBadness]) -> int:
    """Recompute the inherited bits of everything made of `products`, as far as they change; how many changed."""
    pending: dict[type[HasBadness], set[Any]] = defaultdict(set)
    for product in products:
        pending[product._meta.concrete_model].add(product.pk)
    told: set[tuple[type[HasBadness], Any]] = set()
    while pending:
        following: dict[type[HasBadness], set[Any]] = defaultdict(set)
        for model, keys in downstream(pending):
            following[model] |= keys
        pending = {model: changed for model, keys in following.items() if (changed := _update(model, keys))}
        told |= {(model, key) for model, keys in pending.items() for key in keys}
    return len(told)


def heirs_of(product: HasBadness) -> dict[type[HasBadness], set[Any]]:
    """Everything that was made of a product, and so inherits what is set on it: model → primary keys."""
    found: dict[type[HasBadness], set[Any]] = defaultdict(set)
    pending: dict[type[HasBadness], set[Any]] = {product._meta.concrete_model: {product.pk}}
    while pending:
        following: dict[type[HasBadness], set[Any]] = defaultdict(set)
        for model, keys in downstream(pending):
            following[model] |= keys - found[model]
        for model, keys in following.items():
            found[model] |= keys
        pending = {model: keys for model, keys in following.items() if keys}
    return {model: keys for model, keys in found.items() if keys}


def downstream(made_of: dict[type[HasBadness], set[Any]]) -> Iterator[tuple[type[HasBadness], set[Any]]]:
    """Model and primary keys of what was made directly of the given rows (model → primary keys)."""
    for model in models_with_badness():
        for path in model.upstream_paths():
            for keys in batches(made_of.get(end_of(model, path), ())):
                found = set(model._base_manager.filter(**{f"{path}__in": keys}).values_list("pk", flat=True))
                if found:
                    yield model, found


def inherit(product: HasBadness) -> None:
    """Give a row that was just saved the bits that its parents have now; call it inside the saving transaction."""
    model = product._meta.concrete_model
    _update(model, {product.pk})
    product.badness_upstream = model._base_manager.values_list("badness_upstream", flat=True).get(pk=product.pk)


def wait_for_marking() -> None:
    """Keep others from marking until this transaction ends: what is saved in it inherits, or is told, never neither."""
    _lock(shared=True)


def _update(model: type[HasBadness], keys: Iterable[Any]) -> set[Any]:
    """Bring the inherited bits of rows up to date; the keys of those that changed."""
    changed = set()
    for some in batches(keys):
        by_bits = defaultdict(list)
        for key, (before, now) in _inherited(model, some).items():
            if before != now:
                by_bits[now].append(key)
        for bits, rows in by_bits.items():
            model._base_manager.filter(pk__in=rows).update(badness_upstream=bits)
            changed.update(rows)
    return changed


def _inherited(model: type[HasBadness], keys: Sequence[Any]) -> Bits:
    rows = model._base_manager.filter(pk__in=keys)
    found = {key: (before, 0) for key, before in rows.values_list("pk", "badness_upstream")}
    for path in model.upstream_paths():
        for key, own, inherited in rows.values_list("pk", f"{path}__badness_own", f"{path}__badness_upstream"):
            before, now = found[key]
            found[key] = (before, now | ((own or 0) | (inherited or 0)) & ~int(NOT_INHERITED))
    return found


def models_with_badness() -> list[type[HasBadness]]:
    """The tables of what can be bad."""
    return [model for model in apps.get_models() if issubclass(model, HasBadness) and not model._meta.proxy]


def end_of(model: type[models.Model], path: str) -> type[models.Model]:
    """The model at the end of a lookup."""
    for name in path.split("__"):
        model = model._meta.get_field(name).related_model
    return model._meta.concrete_model


def batches(keys: Iterable[Any]) -> Iterator[list[Any]]:
    """So many keys at a time as one query may name."""
    keys = list(keys)
    return (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))


def _lock(*, shared: bool = False) -> None:
    """Marking is done by one, and not while products are saved; SQLite has one writer of anything."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}(%s)", [MARKING])
