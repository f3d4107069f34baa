"""A product's relatives: everything that it was made of, and everything that was made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import F

from products.models import Exposure, Image, Measurement, SourceList
from products.models.badness import Badness, HasBadness
from products.services.badness import batches, end_of, models_with_badness

MOST, DEEPEST = 2000, 30  # products in each direction, generations
SINGLES = 3  # products of one kind and generation that are shown one by one
Key = tuple[type[HasBadness], UUID]
Level = dict[type[HasBadness], set[UUID]]
Step = Callable[[Level], Iterator[tuple[Key, Key]]]


@dataclass(frozen=True)
class Relative:
    """One product as the graph shows it."""

    model: type[HasBadness]
    pk: UUID
    generation: int  # negative: it was made of this; positive: made of it
    facts: dict[str, Any]

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return kind_of(self.model, self.facts.get("kind", ""))

    @property
    def place(self) -> str:
        """CCD and filter, of itself or of its image."""
        return " ".join(filter(None, (self.facts.get("section"), self.facts.get("filter"))))

    @property
    def name(self) -> str:
        """What tells it from others of its kind."""
        own = self.facts.get("name") or self.facts.get("origin") or self.facts.get("of_exposure")
        return " ".join(filter(None, (own, "" if self.model is Exposure else self.place))) or str(self.pk)[-8:]

    @property
    def short_name(self) -> str:
        """The same for a small box."""
        return self.place if self.model is not Exposure and self.place else self.name

    @property
    def slug(self) -> str:
        """Its kind in addresses."""
        return slug_of(self.model)

    @property
    def own(self) -> Badness:
        """Bits that were set on it."""
        return Badness(self.facts["badness_own"])

    @property
    def inherited(self) -> Badness:
        """Bits of what it was made of."""
        return Badness(self.facts["badness_upstream"])


@dataclass
class Lineage:
    """The relatives of one product."""

    centre: Relative
    relatives: list[Relative] = field(default_factory=list)
    arrows: set[tuple[Key, Key]] = field(default_factory=set)
    is_whole: bool = True  # False: there are more than are shown

    @property
    def sources_of_badness(self) -> list[Relative]:
        """Those from which it inherits badness."""
        return [row for row in self.relatives if row.generation < 0 and row.own]

    @property
    def heirs(self) -> list[Relative]:
        """Those that inherit badness that was set on it."""
        return [row for row in self.relatives if row.generation > 0 and row.inherited & self.centre.own]


def kinds() -> dict[str, type[HasBadness]]:
    """Name in an address → model."""
    return {slug_of(model): model for model in models_with_badness()}


def slug_of(model: type[HasBadness]) -> str:
    """The name of a model in addresses."""
    return str(model._meta.verbose_name).lower().replace(" ", "_")


def kind_of(model: type[HasBadness], kind: str = "") -> str:
    """What a product is called; `kind` tells apart those that share a table."""
    if model is Image:
        return f"master {kind}" if kind in ("bias", "dark", "flat") else f"{kind} image"
    if model is Exposure:
        return "exposure" if kind == Exposure.Kind.SCIENCE else f"raw {kind}"
    return "detections" if model is SourceList and kind == SourceList.Kind.DETECTIONS else str(model._meta.verbose_name)


def lineage(row: HasBadness) -> Lineage:
    """Its relatives in both directions; a few queries a generation, each over all products of that generation."""
    model = row._meta.concrete_model
    centre: Key = (model, row.pk)
    up, above, whole_up = _walk(centre, _parents)
    down, below, whole_down = _walk(centre, _children)
    generations = {key: -depth for key, depth in up.items()} | down
    facts = dict(_facts([centre, *generations]))
    rows = [Relative(*key, generations[key], facts[key]) for key in generations if key in facts]
    rows.sort(key=lambda one: (one.generation, one.kind, one.name, str(one.pk)))
    arrows = {(parent, child) for child, parent in above} | below
    return Lineage(Relative(*centre, 0, facts[centre]), rows, arrows, whole_up and whole_down)


def centre_of(row: HasBadness) -> Relative:
    """A product without its relatives."""
    key: Key = (row._meta.concrete_model, row.pk)
    return Relative(*key, 0, dict(_facts([key]))[key])


def _walk(centre: Key, step: Step) -> tuple[dict[Key, int], set[tuple[Key, Key]], bool]:
    """Key → generation of everything that `step` reaches, with the pairs of neighbours; the longest way counts."""
    found: dict[Key, int] = {}
    pairs: set[tuple[Key, Key]] = set()
    level: Level = {centre[0]: {centre[1]}}
    for depth in range(1, DEEPEST + 1):
        following: Level = {}
        for near, far in step(level):
            pairs.add((near, far))
            found[far] = depth
            following.setdefault(far[0], set()).add(far[1])
            if len(found) >= MOST:
                return found, pairs, False
        if not following:
            break
        level = following
    return found, pairs, True


def _parents(level: Level) -> Iterator[tuple[Key, Key]]:
    for model, keys in level.items():
        for path in model.upstream_paths():
            target = end_of(model, path)
            for some in batches(keys):
                rows = model._base_manager.filter(pk__in=some, **{f"{path}__isnull": False})
                for own, parent in rows.order_by().values_list("pk", path)[:MOST]:
                    yield (model, own), (target, parent)


def _children(level: Level) -> Iterator[tuple[Key, Key]]:
    """Sets stand for the measurements in them."""
    for model in models_with_badness():
        if model is Measurement:
            continue
        for path in model.upstream_paths():
            target = end_of(model, path)
            for some in batches(level.get(target, ())):
                rows = model._base_manager.filter(**{f"{path}__in": some}).order_by()
                for own, child in rows.values_list(path, "pk")[:MOST]:
                    yield (target, own), (model, child)


def _facts(keys: list[Key]) -> Iterator[tuple[Key, dict[str, Any]]]:
    wanted: Level = {}
    for model, pk in keys:
        wanted.setdefault(model, set()).add(pk)
    for model, pks in wanted.items():
        there = {one.name for one in model._meta.concrete_fields}
        shown = ("name", "kind", "section", "filter", "origin", "provenance")
        columns = ["pk", "badness_own", "badness_upstream", *(name for name in shown if name in there)]
        of_image = _of_image(model)
        for some in batches(pks):
            for values in model._base_manager.filter(pk__in=some).values(*columns, **of_image):
                yield (model, values["pk"]), values


def _of_image(model: type[HasBadness]) -> dict[str, F]:
    """Exposure, CCD and filter of the image that a product belongs to, as far as it has none of its own."""
    path, there = "", model
    while there is not Image and (paths := there.upstream_paths()):
        path, there = f"{path}{paths[0]}__", end_of(there, paths[0])
    if there is not Image:
        return {}
    own = {field.name for field in model._meta.concrete_fields}
    columns = {"of_exposure": "exposure__name", "section": "section", "filter": "filter"}
    return {name: F(path + column) for name, column in columns.items() if name not in own}
