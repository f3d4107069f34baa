"""How far exposures are, decided by the database: the latest attempt at each CCD under a tag."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

from django.db.models import Avg, Case, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, TextField, Value, When
from django.db.models.functions import Cast, StrIndex
from django.db.models.lookups import Exact

from products.models import PSF, Exposure, Image, MeasurementSet, Report, ZeroPoint
from products.selectors.tags import Beside, ChosenTag

STATES = ("waiting", "running", "done", "partial", "failed")
OF_ZERO_POINT = "world_coordinates__sources__image__exposure"
OF_MEASUREMENTS = "cutouts__sources__image__exposure"


def latest_attempts(tag: ChosenTag) -> QuerySet[Report]:
    """The last attempt of the tag at each CCD."""
    rows = Report.objects.filter(tag.attempts).exclude(section="")
    same = {"exposure": OuterRef("exposure"), "section": OuterRef("section")}
    return rows.filter(~Exists(rows.filter(**same, attempt__gt=OuterRef("attempt"))))


def with_state(rows: QuerySet[Exposure], tag: ChosenTag) -> QuerySet[Exposure]:
    """The same exposures, each with its `state`, one of STATES."""
    latest = latest_attempts(tag)
    tried = Report.objects.filter(tag.attempts, exposure=OuterRef("pk")).exclude(section="")
    of = {state: latest.filter(state=state) for state in Report.State.values}
    failed = Q(pk__in=of["failed"].values("exposure"))
    state = Case(
        When(pk__in=of["running"].values("exposure"), then=Value("running")),
        When(failed & Exists(of["done"].filter(exposure=OuterRef("pk"))), then=Value("partial")),
        When(failed, then=Value("failed")),
        When(Exists(tried), then=Value("done")),
        default=Value("waiting"),
        output_field=TextField(),
    )
    return rows.annotate(state=state)


def with_filter(rows: QuerySet[Exposure], name: str) -> QuerySet[Exposure]:
    """Exposures with that filter in front of all CCDs, or of some: also before any of them is an image."""
    text = Cast("filters", TextField())
    # How both databases write a value of a JSON object; the position of a text tells apart G and g in both.
    rows = rows.annotate(in_filters=StrIndex(text, Value(f': "{name}"')))
    return rows.filter(Q(filter=name) | Q(in_filters__gt=0))


@dataclass
class Choices:
    """Exposures of a search, in order, and how many each other choice of state or filter would find."""

    keys: list[UUID] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    filters: Counter[str] = field(default_factory=Counter)


def choices(rows: QuerySet[Exposure], tag: ChosenTag, state: str, band: str) -> Choices:
    """Those of `rows` in a state and with a filter (any where empty), counted in one query: it may take a while."""
    found = Choices()
    rows = with_state(rows, tag).annotate(several=Cast("filters", TextField()))
    for key, kind, own, one, several in rows.values_list("pk", "kind", "state", "filter", "several"):
        bands = _values(several) | {one} if several != "{}" else {one}
        is_science = kind == Exposure.Kind.SCIENCE
        of_band, in_state = not band or band in bands, not state or (is_science and own == state)
        if of_band and is_science:
            found.states[own] += 1
        if in_state:
            found.filters.update(bands - {""})
        if of_band and in_state:
            found.keys.append(key)
    return found


@lru_cache(maxsize=1000)
def _values(text: str) -> frozenset[str]:
    """The values of a JSON object."""
    return frozenset(json.loads(text).values())


def with_figures(rows: QuerySet[Exposure], tag: ChosenTag, *names: str) -> QuerySet[Exposure]:
    """The same exposures with `seeing` (″), `limit` (mag), `detected` or `kept`, over their CCDs under the tag."""
    seeing = Avg(F("fwhm_pixels") * F("sources__image__pixel_scale"))
    known = {
        "seeing": (PSF, "sources__image", Image.Kind.SCIENCE, seeing),
        "limit": (ZeroPoint, "world_coordinates__sources__image", Image.Kind.SCIENCE, Avg("limiting_magnitude")),
        "detected": (MeasurementSet, "cutouts__sources__image", Image.Kind.DIFFERENCE, Sum("n_measured")),
        "kept": (MeasurementSet, "cutouts__sources__image", Image.Kind.DIFFERENCE, Sum("n_kept")),
    }
    for name in names:
        model, image, kind, figure = known[name]
        path = f"{image}__exposure"
        of_kind = Exact(Beside(F(f"{image}__kind"), output_field=TextField()), kind)
        own = tag.narrow(model.objects.filter(of_kind, **{path: OuterRef("pk")})).order_by().values(path)
        rows = rows.annotate(**{name: Subquery(own.annotate(figure=figure).values("figure"))})
    return rows
