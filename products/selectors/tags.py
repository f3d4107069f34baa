"""Which provenances a page shows: those of the chosen tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Count, F, Func, Max, Q, QuerySet
from django.db.models.lookups import Exact, In
from django.db.models.sql.compiler import SQLCompiler
from django.http import HttpRequest

from products.models import Provenance, ProvenanceSet, ProvenanceTag, Report
from products.models.base import Product

DEFAULT = "current"


class Beside(Func):
    """A column that SQLite must not begin a search with: nearly every row fits, and other conditions leave fewer."""

    arity = 1
    template = "%(expressions)s"

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, Any]:
        """With a plus in front, which leaves the value of a text as it is and hides the index."""
        return self.as_sql(compiler, connection, template="+%(expressions)s", **context)


@dataclass(frozen=True)
class ChosenTag:
    """A tag and its provenances. One that holds nothing hides nothing."""

    name: str
    ids: frozenset[str]

    def narrow(self, rows: QuerySet, field: str = "provenance") -> QuerySet:
        """Only the rows whose provenance is in the tag."""
        return rows.filter(In(Beside(F(field), output_field=CharField()), sorted(self.ids))) if self.ids else rows

    @cached_property
    def attempts(self) -> Q:
        """Which attempts made products of this tag: those made under it, and those whose provenances it holds."""
        if not self.ids:
            return Q()
        sets = ProvenanceSet.objects.values_list("key", "members")
        held = [key for key, members in sets if self.ids.issuperset(members)]
        of_sets = In(Beside(F("provenance_set"), output_field=CharField()), held) if held else Q(pk__in=[])
        return Q(Exact(Beside(F("tag"), output_field=CharField()), self.name)) | Q(of_sets)

    def owns(self, report: Report) -> bool:
        """Whether an attempt made products of this tag."""
        if not self.ids or report.tag == self.name:
            return True
        return bool(report.provenances) and set(report.provenances.values()) <= self.ids


def chosen_tag(request: HttpRequest) -> ChosenTag:
    """The tag of the address, else of the cookie, else `current`, else the one that changed last."""
    if not hasattr(request, "chosen_tag"):
        asked = request.GET.get("tag") or unquote(request.COOKIES.get("tag", ""))  # headers take no Unicode
        asked = asked.replace("\0", "")[:100]
        request.chosen_tag = tag_or_usual(asked)
    return request.chosen_tag


def tag_or_usual(asked: str) -> ChosenTag:
    """The tag asked for; where none is, `current`, else the one that changed last."""
    chosen = of_name(asked or DEFAULT)
    if not asked and not chosen.ids:
        latest = ProvenanceTag.objects.order_by("-created_at").values_list("tag", flat=True).first()
        chosen = of_name(latest) if latest else chosen
    return chosen


def of_name(name: str) -> ChosenTag:
    """The tag called `name`."""
    found = ProvenanceTag.objects.filter(tag=name).values_list("provenance_id", flat=True)
    return ChosenTag(name, frozenset(found))


def tag_rows() -> QuerySet:
    """Every tag by name: `tag`, the number of its `provenances`, and when it last `changed`."""
    rows = ProvenanceTag.objects.order_by("tag").values("tag")
    return rows.annotate(provenances=Count("pk"), changed=Max("created_at"))


def product_models() -> list[type[Product]]:
    """The models that are tables of products, each once."""
    found, pending = [], [Product]
    while pending:
        for model in pending.pop().__subclasses__():
            pending.append(model)
            if not model._meta.abstract and not model._meta.proxy:
                found.append(model)
    return found


def product_counts(ids: Iterable[str]) -> dict[str, Counter[str]]:
    """Provenance id → how many products of each kind carry it; one query a table."""
    ids = list(ids)
    found: dict[str, Counter[str]] = {own: Counter() for own in ids}
    for model in product_models():
        kinds = ("kind",) if any(field.name == "kind" for field in model._meta.fields) else ()
        rows = model.objects.filter(provenance__in=ids).order_by().values("provenance", *kinds).annotate(n=Count("pk"))
        for row in rows:
            found[row["provenance"]][kind_name(model, row["kind"]) if kinds else kind_name(model)] += row["n"]
    return found


def kind_name(model: type[Product], kind: str = "") -> str:
    """What products of a table are called in the plural; `kind` tells apart those that share it."""
    name = str(model._meta.verbose_name_plural)
    if not kind or kind == model.KIND:
        return name
    return kind if model.KIND else f"{kind} {name}"


@dataclass(frozen=True)
class TaggedProvenance:
    """One provenance of a tag with what carries it."""

    provenance: Provenance
    products: dict[str, int]
    parameters: list[tuple[str, object]]


def contents(tag: str) -> list[TaggedProvenance]:
    """The provenances of a tag in the order in which they follow from each other."""
    return contents_of([tag])[0]


def contents_of(tags: Sequence[str]) -> list[list[TaggedProvenance]]:
    """The same of several tags; what they share is counted once."""
    held = [
        list(Provenance.objects.filter(tags__tag=tag).select_related("code_version").prefetch_related("upstreams"))
        for tag in tags
    ]
    counts = product_counts({row.pk for rows in held for row in rows})
    return [
        [TaggedProvenance(row, dict(counts[row.pk]), flat(row.parameters)) for row in in_order(rows)] for rows in held
    ]


def in_order(rows: list[Provenance]) -> list[Provenance]:
    """Upstreams before what was made from them."""
    known = {row.pk: row for row in rows}
    done: dict[str, Provenance] = {}

    def visit(row: Provenance) -> None:
        if row.pk in done:
            return
        for upstream in row.upstreams.all():
            if upstream.pk in known:
                visit(known[upstream.pk])
        done[row.pk] = row

    for row in rows:
        visit(row)
    return list(done.values())


def flat(parameters: object, prefix: str = "") -> list[tuple[str, object]]:
    """Nested parameters as (dotted name, value)."""
    if not isinstance(parameters, dict):
        return [(prefix, parameters)]
    found: list[tuple[str, object]] = []
    for key, value in parameters.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        found += flat(value, name) if isinstance(value, dict) and value else [(name, value)]
    return found


@dataclass(frozen=True)
class ComparedProcess:
    """One process in two tags."""

    process: str
    a: list[Provenance]
    b: list[Provenance]
    why: str

    @property
    def same(self) -> bool:
        """Whether both tags hold the same provenances of it."""
        return {row.pk for row in self.a} == {row.pk for row in self.b}


@dataclass(frozen=True)
class Comparison:
    """Two tags side by side."""

    processes: list[ComparedProcess]
    parameters: list[tuple[str, str, object, object]]  # process, parameter, a, b
    products: list[tuple[str, int, int]]  # kind, number in a, in b


def compare(a: str, b: str) -> Comparison:
    """What differs between two tags, why, and how many products each has."""
    left, right = contents_of([a, b])
    order = list(dict.fromkeys(row.provenance.process for row in [*left, *right]))
    processes, parameters = [], []
    changed: set[str] = set()
    for process in order:
        ours = [row for row in left if row.provenance.process == process]
        theirs = [row for row in right if row.provenance.process == process]
        why, rows = _difference(process, ours, theirs, changed)
        entry = ComparedProcess(process, [r.provenance for r in ours], [r.provenance for r in theirs], why)
        if not entry.same:
            changed.add(process)
        processes.append(entry)
        parameters += rows
    kinds = list(dict.fromkeys(kind for row in [*left, *right] for kind in row.products))
    products = [
        (kind, sum(row.products.get(kind, 0) for row in left), sum(row.products.get(kind, 0) for row in right))
        for kind in kinds
    ]
    return Comparison(processes, parameters, products)


def _difference(
    process: str, ours: list[TaggedProvenance], theirs: list[TaggedProvenance], changed: set[str]
) -> tuple[str, list[tuple[str, str, object, object]]]:
    if not ours or not theirs:
        return "only in one tag", []
    reasons, rows = [], []
    a, b = ours[0], theirs[0]
    if a.provenance.code_version_id != b.provenance.code_version_id:
        reasons.append("version")
    first, second = dict(a.parameters), dict(b.parameters)
    for key in dict.fromkeys([*first, *second]):
        if first.get(key) != second.get(key):
            rows.append((process, key, first.get(key), second.get(key)))
    if rows:
        reasons.append("parameters")
    reasons += sorted({up.process for up in [*a.provenance.upstreams.all(), *b.provenance.upstreams.all()]} & changed)
    return ", ".join(reasons), rows
