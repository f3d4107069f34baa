"""Labels as a training set: what was measured, what the scorer thought, what people say."""

from __future__ import annotations

from uuid import UUID

from astropy.table import Table
from django.db.models import Exists, FilteredRelation, OuterRef, Q, QuerySet

from products.models import Label, Measurement, MeasurementSet
from products.selectors.candidates import DIFFERENCE, TO_EXPOSURE, scorer_of
from products.selectors.tables import FLUX, MAGNITUDE, ORIGIN, POSITION, SCORE, Column, table_of
from products.selectors.tags import ChosenTag

LABELS = (
    Column("measurement", kind=str, help="Id of the measurement."),
    Column("provenance", kind=str, help="Provenance of the measurement."),
    Column("object", kind=str, help="Name of the object."),
    *POSITION, *FLUX, *MAGNITUDE, *ORIGIN, SCORE,
    Column("scorer", kind=str, help="Provenance of the score."),
    Column("is_bad", kind=bool),
    Column("verdict", kind=str, help="What the person says that it is."),
    Column("remark", kind=str, help="Why."),
    Column("person", kind=str, help="User name."),
    Column("time", kind=str, help="UTC, when the person last said so."),
)  # fmt: skip
PATHS = {
    "measurement": "measurement", "provenance": "measurement__measurement_set__provenance",
    "object": "measurement__object__name", "exposure": f"measurement__{TO_EXPOSURE}__name",
    "section": f"measurement__{DIFFERENCE}__section", "instrument": f"measurement__{DIFFERENCE}__instrument",
    "telescope": f"measurement__{DIFFERENCE}__telescope", "score": "of_scorer__score", "scorer": "of_scorer__scorer",
    "verdict": "verdict", "remark": "remark", "person": "person__username", "time": "changed_at",
}  # fmt: skip


def training_set(measurements: QuerySet[Measurement], tag: ChosenTag) -> Table:
    """Every label of the measurements, oldest first, with the score that the tag's scorer gave."""
    chosen = Exists(measurements.order_by().filter(pk=OuterRef("measurement")))
    of_scorer = FilteredRelation(
        "measurement__scores", condition=Q(measurement__scores__scorer=scorer_of(tag).provenance)
    )
    rows = Label.objects.filter(chosen).annotate(of_scorer=of_scorer).order_by("changed_at", "pk")
    names = [column.name for column in LABELS]
    paths = [PATHS.get(name, f"measurement__{name}") for name in names]
    found = [dict(zip(names, row)) for row in rows.values_list(*paths)]
    for row in found:
        row["time"] = row["time"].isoformat(timespec="seconds")
    return table_of(LABELS, found, Measurement)


def labelled_sets(tag: ChosenTag) -> QuerySet[MeasurementSet]:
    """The sets of a tag in which somebody called a measurement real or bogus, oldest exposure first."""
    sure = Label.objects.exclude(verdict=Label.Verdict.UNSURE).filter(measurement__measurement_set=OuterRef("pk"))
    rows = tag.narrow(MeasurementSet.objects.filter(Exists(sure)))
    image = "cutouts__sources__image"
    return rows.select_related(f"{image}__exposure").order_by(f"{image}__mjd", "pk")


def verdicts_of(measured: MeasurementSet) -> dict[UUID, str]:
    """Measurement → real or bogus, where all who labelled it are of one mind and sure."""
    rows = Label.objects.filter(measurement__measurement_set=measured).values_list("measurement", "verdict")
    said: dict[UUID, set[str]] = {}
    for measurement, verdict in rows:
        said.setdefault(measurement, set()).add(verdict)
    sure = {pk: next(iter(words)) for pk, words in said.items() if len(words) == 1}
    return {pk: word for pk, word in sure.items() if word != Label.Verdict.UNSURE}
