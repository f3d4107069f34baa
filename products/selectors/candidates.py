"""Measurements as candidates: kept and cut, with scores, labels and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    FloatField,
    OuterRef,
    Q,
    QuerySet,
    UUIDField,
    Value,
    When,
)  # fmt: skip
from django.db.models.lookups import In

from products.models import Alert, DeepScore, DeepScoreSet, Exposure, Image, Label, Measurement, MeasurementSet
from products.selectors.moving import with_known
from products.selectors.tags import Beside, ChosenTag

DIFFERENCE = "measurement_set__cutouts__sources__image"
TO_EXPOSURE = f"{DIFFERENCE}__exposure"
OF_SET = TO_EXPOSURE.removeprefix("measurement_set__")
LARGE = (
    f"{DIFFERENCE}__wcs",
    f"{DIFFERENCE}__corners",
    f"{DIFFERENCE}__quality",
    f"{TO_EXPOSURE}__header",
    f"{TO_EXPOSURE}__companions",
)
LONG = ("flux_apertures", "flux_apertures_errors", "aperture_radii", "diagnostics")  # of one measurement
SORTS = {
    "mjd": "mjd", "snr": "snr", "score": "score", "magnitude": "magnitude", "ra": "ra", "dec": "dec",
}  # fmt: skip


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


@dataclass(frozen=True)
class ChosenScorer:
    """Who gave the scores that are shown."""

    provenance: str
    threshold: float | None
    algorithm: str


def scorer_of(tag: ChosenTag) -> ChosenScorer:
    """The scorer of the tag; the one that scored last where the tag holds several, or nothing."""
    sets = tag.narrow(DeepScoreSet.objects.order_by("-created_at"))
    found = sets.values_list("provenance", "threshold", "algorithm").first()
    return ChosenScorer(*found) if found else ChosenScorer("", None, "")


def with_score(rows: QuerySet[Measurement], tag: ChosenTag) -> QuerySet[Measurement]:
    """Rows with `score` and `threshold` of the tag's scorer, None where there is none; once, however often asked."""
    if "score" in rows.query.annotations:
        return rows
    scorer = scorer_of(tag)
    of_scorer = FilteredRelation("scores", condition=Q(scores__scorer=scorer.provenance))
    threshold = Case(When(score__isnull=False, then=Value(scorer.threshold)), output_field=FloatField())
    return rows.annotate(of_scorer=of_scorer).annotate(score=F("of_scorer__score")).annotate(threshold=threshold)


def scored(tag: ChosenTag, **limits: float) -> Exists:
    """Whether the score of the tag's scorer is within limits (`score__gte`, `score__lte`)."""
    rows = DeepScore.objects.order_by().filter(measurement=OuterRef("pk"), scorer=scorer_of(tag).provenance)
    return Exists(rows.filter(**limits))


def measured(tag: ChosenTag, *, is_all: bool = False) -> QuerySet[Measurement]:
    """Measurements under the tag, kept and cut; `is_all` where no filter follows: their order leads to the first."""
    if not tag.ids:
        return Measurement.objects.all()
    sets = tag.narrow(MeasurementSet.objects.order_by()).values("pk")
    if is_all:
        return Measurement.objects.filter(In(Beside(F("measurement_set"), output_field=UUIDField()), sets))
    return Measurement.objects.filter(measurement_set__in=sets)


def with_alert(tag: ChosenTag) -> QuerySet[Alert]:
    """Ids of the measurements that became an alert under the tag."""
    return tag.narrow(Alert.objects.order_by(), "batch__provenance").values("score__measurement")


def labelled(said: str, by: str, person: Any) -> QuerySet[Label]:
    """Ids of the measurements of which somebody said `said` (a verdict, `any`, or `disagree`).

    `by` is a name or `anybody`; empty means the person who asks, and anybody for one who is not logged in.
    """
    rows = Label.objects.order_by()
    if by and by != "anybody":
        rows = rows.filter(person__username=by)
    elif not by and person.is_authenticated and said != "disagree":
        rows = rows.filter(person=person)
    if said == "disagree":
        return (
            rows.values("measurement").annotate(n=Count("verdict", distinct=True)).filter(n__gt=1).values("measurement")
        )
    return (rows if said == "any" else rows.filter(verdict=said)).values("measurement")


def ordered(rows: QuerySet[Measurement], sort: str, tag: ChosenTag) -> QuerySet[Measurement]:
    """Sorted by one of SORTS (a minus in front for descending), missing values last, ties by id."""
    name = SORTS.get(sort.lstrip("-"), "mjd")
    rows = with_score(rows, tag) if name == "score" else rows
    down = sort.startswith("-")
    if name in ("score", "magnitude"):
        return rows.order_by(F(name).desc(nulls_last=True) if down else F(name).asc(nulls_last=True), "pk")
    return rows.order_by(f"-{name}" if down else name, "pk")


def loaded(keys: Sequence[UUID], tag: ChosenTag) -> list[Measurement]:
    """The measurements in this order with score, object and source; what those of one image share is read once."""
    rows = with_score(Measurement.objects.filter(pk__in=keys).select_related("object"), tag).defer(*LONG).in_bulk()
    sets = MeasurementSet.objects.select_related(OF_SET, f"{OF_SET.removesuffix('__exposure')}__zero_point")
    sets = sets.defer(*(name.removeprefix("measurement_set__") for name in LARGE))
    found = sets.in_bulk({row.measurement_set_id for row in rows.values()})
    for row in rows.values():
        row.measurement_set = found[row.measurement_set_id]
    with_known(rows.values(), tag)
    return [rows[key] for key in keys]


class InOrder(Sequence):
    """Rows for pages: only ids are counted and sorted, what a page shows of them is read for that page alone."""

    def __init__(self, rows: QuerySet[Measurement], tag: ChosenTag, count: int) -> None:
        self.rows, self.tag, self.count_ = rows, tag, count

    def __len__(self) -> int:
        return self.count_

    def __getitem__(self, part: slice) -> list[Measurement]:
        return loaded(list(self.rows.values_list("pk", flat=True)[part]), self.tag)


@dataclass
class Candidate:
    """One candidate on the page."""

    measurement: Measurement
    source: Source
    mine: str = ""
    others: list[tuple[str, str]] = field(default_factory=list)  # person, verdict
    told: bool = False  # an alert was made of it

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
    for key in (
        Alert.objects.order_by().filter(score__measurement__in=found).values_list("score__measurement", flat=True)
    ):
        found[key].told = True
    return list(found.values())
