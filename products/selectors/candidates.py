"""Measurements as candidates: kept and cut, with scores, labels and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery

from products.models import Alert, DeepScore, Exposure, Image, Label, Measurement
from products.selectors.tags import ChosenTag

DIFFERENCE = "measurement_set__cutouts__sources__image"
TO_EXPOSURE = f"{DIFFERENCE}__exposure"
LARGE = (
    f"{DIFFERENCE}__wcs",
    f"{DIFFERENCE}__corners",
    f"{DIFFERENCE}__quality",
    f"{TO_EXPOSURE}__header",
    f"{TO_EXPOSURE}__companions",
)
SORTS = {"mjd": "mjd", "snr": "snr", "score": "score", "magnitude": "magnitude"}


@dataclass(frozen=True)
class Source:
    """Where a measurement comes from."""

    exposure: Exposure
    section: str
    pixel_scale: float | None
    seeing: float | None


def difference_of(measurement: Measurement) -> Image:
    """The difference image of a measurement that was selected with `with_source`."""
    return measurement.measurement_set.cutouts.sources.image


def source(measurement: Measurement) -> Source:
    """Exposure and CCD of a measurement that was selected with `with_source`."""
    difference = difference_of(measurement)
    return Source(difference.exposure, difference.section, difference.pixel_scale, difference.fwhm)


def with_source(rows: QuerySet[Measurement]) -> QuerySet[Measurement]:
    """Rows with object, cutouts, difference image, zero point and exposure in the same query."""
    return rows.select_related("object", TO_EXPOSURE, f"{DIFFERENCE}__zero_point").defer(*LARGE)


def with_score(rows: QuerySet[Measurement], tag: ChosenTag) -> QuerySet[Measurement]:
    """Rows with `score` and `threshold` of the tag's scorer, None where there is none."""
    scores = tag.narrow(DeepScore.objects.filter(measurement=OuterRef("pk")), "score_set__provenance")
    latest = scores.order_by("-created_at")
    return rows.annotate(
        score=Subquery(latest.values("score")[:1]), threshold=Subquery(latest.values("score_set__threshold")[:1])
    )


def search(tag: ChosenTag, wanted: dict[str, Any]) -> QuerySet[Measurement]:
    """Candidates that match cleaned filter fields (everything but `show`, which splits kept from cut)."""
    rows = tag.narrow(Measurement.objects.all(), "measurement_set__provenance")
    rows = with_score(rows, tag)
    if wanted.get("filter"):
        rows = rows.filter(filter=wanted["filter"])
    if wanted.get("exposure"):
        rows = rows.filter(**{f"{TO_EXPOSURE}__name": wanted["exposure"]})
    if wanted.get("section"):
        rows = rows.filter(**{f"{DIFFERENCE}__section": wanted["section"]})
    if wanted.get("start") is not None:
        rows = rows.filter(mjd__gte=wanted["start"])
    if wanted.get("end") is not None:
        rows = rows.filter(mjd__lt=wanted["end"])
    if wanted.get("min_score") is not None:
        rows = rows.filter(score__gte=wanted["min_score"])
    if wanted.get("min_snr") is not None:
        rows = rows.filter(snr__gte=wanted["min_snr"])
    if wanted.get("alert"):
        alerts = tag.narrow(Alert.objects.filter(score__measurement=OuterRef("pk")), "batch__provenance")
        rows = rows.filter(Exists(alerts) if wanted["alert"] == "yes" else ~Exists(alerts))
    return rows


def labelled(rows: QuerySet[Measurement], said: str, person: Any) -> QuerySet[Measurement]:
    """Only what `person` said `said` of (`none`: nothing yet); everybody's labels for somebody who is not logged in."""
    mine = {"labels__person": person} if person.is_authenticated else {}
    if said == "none":
        theirs = Label.objects.filter(measurement=OuterRef("pk"), **({"person": person} if mine else {}))
        return rows.exclude(pk__in=Subquery(theirs.values("measurement")))
    return rows.filter(labels__verdict=said, **mine).distinct() if said else rows


@dataclass(frozen=True)
class Counts:
    """How many candidates there would be."""

    kept: int
    cut: int
    filters: list[tuple[str, int]]


def counts(rows: QuerySet[Measurement], every_filter: QuerySet[Measurement]) -> Counts:
    """Kept and cut of `rows`; by filter of `every_filter`, which is the same without the choice of a filter."""
    split = rows.aggregate(kept=Count("pk", filter=Q(is_bad=False)), cut=Count("pk", filter=Q(is_bad=True)))
    bands = every_filter.order_by().values_list("filter").annotate(n=Count("pk")).order_by("filter")
    return Counts(split["kept"], split["cut"], list(bands))


def ordered(rows: QuerySet[Measurement], sort: str) -> QuerySet[Measurement]:
    """Sorted by one of SORTS (a minus in front for descending), missing values last, ties by id."""
    name = SORTS.get(sort.lstrip("-"), "mjd")
    key = F(name).desc(nulls_last=True) if sort.startswith("-") else F(name).asc(nulls_last=True)
    return rows.order_by(key, "pk")


@dataclass
class Candidate:
    """One candidate on the page."""

    measurement: Measurement
    source: Source
    mine: str = ""
    others: list[tuple[str, str]] = field(default_factory=list)  # person, verdict

    @property
    def failed(self) -> list[list[Any]]:
        """The cuts that it failed, with values and thresholds."""
        return [cut for cut in self.measurement.cuts if not cut[3]]


def candidates(rows: Sequence[Measurement], person: Any) -> list[Candidate]:
    """What a card shows of each row; the rows come from `with_source`."""
    found = {row.pk: Candidate(row, source(row)) for row in rows}
    for label in Label.objects.filter(measurement__in=found).select_related("person").order_by("created_at"):
        candidate = found[label.measurement_id]
        if label.person_id == person.pk:
            candidate.mine = label.verdict
        else:
            candidate.others.append((label.person.username, label.verdict))
    return list(found.values())
