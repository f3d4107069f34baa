"""Tables for other programs: measurements, objects and detections with units and explanations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table
from django.db.models import Count, F, Max, Min, Model, Q, QuerySet

from products.models import Badness, Detections, Measurement, Object
from products.selectors.candidates import DIFFERENCE, TO_EXPOSURE, measured, with_score
from products.selectors.tags import ChosenTag


@dataclass(frozen=True)
class Column:
    """One column; what it is comes from the model's field of the same name where it is not given here."""

    name: str
    unit: str = ""
    kind: type = float
    help: str = ""

    def described(self, model: type[Model]) -> str:
        """What it is, for people."""
        names = {field.name for field in model._meta.concrete_fields}
        return self.help or (str(model._meta.get_field(self.name).help_text) if self.name in names else "")


POSITION = (Column("ra", "deg"), Column("dec", "deg"))
ON_IMAGE = (Column("x", "pix"), Column("y", "pix"))
FLUX = (Column("flux", "electron"), Column("flux_error", "electron"), Column("snr"))
MAGNITUDE = (Column("magnitude", "mag"), Column("magnitude_error", "mag"))
SCORE = Column("score", help="Of the scorer of the tag: 0 (bogus) to 1 (real).")
OBJECT = Column("object", kind=str, help="Name of the object.")
FAILED = Column("failed_cuts", kind=str, help="Names of the cuts that it failed.")
ORIGIN = (
    Column("mjd", "d"),
    Column("filter", kind=str, help="Short name of the filter."),
    Column("exposure", kind=str, help="Name of the exposure."),
    Column("section", kind=str, help="CCD, as the instrument names it."),
    Column("instrument", kind=str, help="Name of the instrument."),
    Column("telescope", kind=str, help="As the raw file names it, or the instrument."),
)
MEASUREMENTS = (
    OBJECT, *POSITION, *ON_IMAGE, *FLUX, *MAGNITUDE, Column("background_per_pixel", "electron / pix"), SCORE,
    Column("is_bad", kind=bool), FAILED, Column("badness", kind=str, help="Marks of it and of what it was made of."),
    *ORIGIN, Column("id", kind=str, help="Id of the measurement."),
)  # fmt: skip
DETECTIONS = (
    Column("index", kind=int, help="Row of the detection in its list."), *POSITION, *ON_IMAGE, *FLUX, *MAGNITUDE, SCORE,
    Column("outcome", kind=str, help="kept, cut, or not saved."), FAILED, OBJECT, *ORIGIN,
)  # fmt: skip
OBJECTS = (
    Column("name", kind=str, help="Name of the object."), *POSITION,
    Column("first_seen", "d", help="MJD (UTC) of the first measurement under the tag."),
    Column("last_seen", "d", help="MJD (UTC) of the last measurement under the tag."),
    Column("n_measurements", kind=int, help="Measurements under the tag."),
    Column("n_kept", kind=int, help="Those of them that passed every cut."),
    Column("brightest", "mag", help="Smallest magnitude of a kept measurement under the tag."),
    Column("best_score", help="Largest score of a measurement under the tag."),
    Column("is_bad", kind=bool), Column("id", kind=str, help="Id of the object."),
)  # fmt: skip
PATHS = {"object": "object__name", "exposure": f"{TO_EXPOSURE}__name", "section": f"{DIFFERENCE}__section",
         "instrument": f"{DIFFERENCE}__instrument", "telescope": f"{DIFFERENCE}__telescope"}  # fmt: skip


def measurements(tag: ChosenTag, exposure: str = "", section: str = "") -> Table:
    """Measurements under a tag, of one exposure and CCD where they are given, in the order of time."""
    rows = with_score(_of_ccd(tag, exposure, section), tag)
    rows = rows.order_by("mjd", PATHS["exposure"], PATHS["section"], "index_in_sources")
    names = [column.name for column in MEASUREMENTS if column.name != "badness"]
    fields = [PATHS.get(name, name) for name in names]
    found = []
    for *values, own, inherited in rows.values_list(*fields, "badness_own", "badness_upstream").iterator():
        row = dict(zip(names, values))
        found.append(row | {"failed_cuts": ", ".join(row["failed_cuts"]), "badness": Badness(own | inherited).label})
    return table_of(MEASUREMENTS, found, Measurement)


def _of_ccd(tag: ChosenTag, exposure: str, section: str) -> QuerySet[Measurement]:
    """Measurements under a tag, of one exposure and CCD where they are given."""
    rows = measured(tag)
    rows = rows.filter(**{f"{TO_EXPOSURE}__name": exposure}) if exposure else rows
    return rows.filter(**{f"{DIFFERENCE}__section": section}) if section else rows


def objects(tag: ChosenTag, exposure: str = "", section: str = "") -> Table:
    """Objects with measurements under a tag; those measured in one exposure and CCD where they are given."""
    under = Q(measurements__measurement_set__provenance__in=tag.ids)
    kept = under & Q(measurements__is_bad=False)
    chosen = _of_ccd(tag, exposure, section).order_by().values("object")
    scores = Q(measurements__scores__score_set__provenance__in=tag.ids) & under
    rows = Object.objects.filter(pk__in=chosen).annotate(
        first=Min("measurements__mjd", filter=under),
        last=Max("measurements__mjd", filter=under),
        n=Count("measurements", filter=under, distinct=True),
        n_kept=Count("measurements", filter=kept, distinct=True),
        brightest=Min("measurements__magnitude", filter=kept),
        best_score=Max("measurements__scores__score", filter=scores),
    )
    renamed = {"first_seen": "first", "last_seen": "last", "n_measurements": "n"}
    names = [column.name for column in OBJECTS]
    values = rows.order_by("name").values_list(*(renamed.get(name, name) for name in names))
    return table_of(OBJECTS, [dict(zip(names, row)) for row in values], Object)


def detections(tag: ChosenTag, exposure: str = "", section: str = "") -> Table:
    """Everything that was detected under a tag, whatever became of it."""
    lists = Detections.objects.filter(provenance__in=tag.ids)
    lists = lists.filter(image__exposure__name=exposure) if exposure else lists
    lists = lists.filter(image__section=section) if section else lists
    lists = lists.select_related("image__exposure", "image__zero_point__world_coordinates")
    found: list[dict[str, Any]] = []
    for row in lists.order_by("image__mjd", "image__exposure__name", "image__section"):
        rows = with_score(measured(tag).filter(measurement_set__cutouts__sources=row), tag)
        found += _detected(row, rows)
    return table_of(DETECTIONS, found, Measurement)


def _detected(row: Detections, rows: QuerySet[Measurement]) -> list[dict[str, Any]]:
    """One entry a detection of one image, with what was measured of it."""
    image, table = row.image, row.table
    columns = ("magnitude", "magnitude_error", "score", "is_bad", "failed_cuts")
    known = {one.pop("index_in_sources"): one for one in rows.values(
        *columns, "index_in_sources", object_name=F("object__name")
    )}  # fmt: skip
    ra, dec = image.zero_point.world_coordinates.wcs.all_pix2world(table["x"], table["y"], 0)
    errors = table["flux_err"] if "flux_err" in table.dtype.names else np.full(len(table), np.nan)
    origin = {
        "mjd": image.mjd_middle,
        "filter": image.filter,
        "exposure": image.exposure.name if image.exposure else "",
        "section": image.section,
        "instrument": image.instrument,
        "telescope": image.telescope,
    }
    found = []
    for index, peak in enumerate(table):
        what = known.get(index, {})
        outcome = ("cut" if what["is_bad"] else "kept") if what else "not saved"
        entry = {"index": index, "ra": ra[index], "dec": dec[index], "flux_error": errors[index], "outcome": outcome}
        entry |= {name: peak[name] for name in ("x", "y", "flux", "snr")} | origin
        entry |= {name: what.get(name) for name in ("magnitude", "magnitude_error", "score")}
        entry |= {"failed_cuts": ", ".join(what.get("failed_cuts", [])), "object": what.get("object_name", "")}
        found.append(entry)
    return found


def table_of(columns: Sequence[Column], rows: Iterable[dict[str, Any]], model: type[Model]) -> Table:
    """Rows as a table; what has no value is masked."""
    rows, table = list(rows), Table()
    for column in columns:
        values = [row[column.name] for row in rows]
        kinds = {float: "f8", int: "i8", bool: "?"}
        if column.kind is str:
            made = np.array([str(value or "") for value in values], dtype=None if values else "U1")
        else:
            missing = [value is None or value != value for value in values]
            filled = [0 if gap else value for gap, value in zip(missing, values)]
            made = np.array(filled, kinds[column.kind])
            made = MaskedColumn(made, mask=missing) if any(missing) else made
        table[column.name] = made
        table[column.name].unit = column.unit or None
        table[column.name].description = column.described(model)
    return table


TABLES = {"measurements": measurements, "objects": objects, "detections": detections}
