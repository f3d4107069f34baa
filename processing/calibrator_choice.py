"""Which calibrator serves a CCD at its date, and which one takes the place of which."""

from __future__ import annotations

import numpy as np
from django.db.models import F, Q, QuerySet

from processing.errors import MissingCalibrator
from products.models import CalibratorFile, Exposure

Kind, Set = CalibratorFile.Kind, CalibratorFile.Set
COMMANDS = {kind: f"make_{kind}" for kind in Kind.values} | {
    Kind.BAD_PIXELS: "make_badpixelmask",
    Kind.CROSSTALK: "measure_crosstalk",
}
_GOOD = Q(image__badness_own=0, image__badness_upstream=0, image__provenance__is_bad=False) | Q(
    data_file__badness_own=0, data_file__badness_upstream=0, data_file__provenance__is_bad=False
)


def calibrator(kind: str, exposure: Exposure, section: str, calibrator_set: str, flat_type: str = "") -> CalibratorFile:
    """The calibrator of one CCD that is valid at the date of an exposure; MissingCalibrator where there is none.

    Bad ones and superseded ones are passed over. Of nightly ones the nearest earlier night counts, of others, and
    within a night, the latest made. `flat_type` is the light of a flat; any if empty.
    """
    band = exposure.filters.get(section) or exposure.filter
    rows = CalibratorFile.objects.filter(
        Q(valid_from=None) | Q(valid_from__lte=exposure.mjd),
        Q(valid_to=None) | Q(valid_to__gte=exposure.mjd),
        _GOOD,
        kind=kind,
        instrument=exposure.instrument,
        section=section,
        filter__in=["", band],
        calibrator_set=calibrator_set,
        superseded_by=None,
    )
    if kind == Kind.FLAT and flat_type:
        rows = rows.filter(flat_type=flat_type)
    if row := _in_order(rows, calibrator_set).select_related("image", "data_file").first():
        return row
    raise MissingCalibrator(
        kind=kind,
        instrument=exposure.instrument,
        section=section,
        filter=band,
        mjd=exposure.mjd,
        hint=_hint(kind, exposure.instrument, calibrator_set, flat_type),
    )


def _in_order(rows: QuerySet[CalibratorFile], calibrator_set: str) -> QuerySet[CalibratorFile]:
    newest = ("-created_at", "-pk")
    if calibrator_set == Set.NIGHTLY:
        return rows.order_by(F("valid_from").desc(nulls_last=True), *newest)
    return rows.order_by(*newest)


def _hint(kind: str, instrument: str, calibrator_set: str, flat_type: str) -> str:
    without = "or leave this correction out: --set preprocessing.corrections=[…]"
    light = f", of the light '{flat_type}'" if kind == Kind.FLAT and flat_type else ""
    if calibrator_set == Set.SUPPLIED:
        command = f"manage.py import_calibrators FILE… --instrument {instrument} --kind {kind}"
        return f"the set 'supplied' has none{light}; import one ({command}), use another set, {without}"
    options = "" if calibrator_set == Set.GENERAL else f" --calibrator-set {calibrator_set}"
    return f"the set '{calibrator_set}' has none{light}; make one: manage.py {COMMANDS[kind]} FILE… " + (
        f"--instrument {instrument}{options}, {without}"
    )


def contents(file: CalibratorFile) -> np.ndarray:
    """The plane or table that a calibrator consists of."""
    if file.data_file_id:
        return file.data_file.table
    return file.image.flags if file.kind == Kind.BAD_PIXELS else file.image.data


def supersede(row: CalibratorFile) -> int:
    """Let `row` take the place of older ones of its kind, CCD, set, filter and light whose dates lie within its own.

    They are kept, and so is what they were applied to; only the choice passes them over. How many there were.
    """
    names = ("kind", "calibrator_set", "instrument", "section", "filter", "flat_type")
    older = CalibratorFile.objects.filter(
        superseded_by=None, created_at__lt=row.created_at, **{name: getattr(row, name) for name in names}
    )
    if row.valid_from is not None:
        older = older.filter(valid_from__gte=row.valid_from)
    if row.valid_to is not None:
        older = older.filter(valid_to__lte=row.valid_to)
    return older.update(superseded_by=row)
