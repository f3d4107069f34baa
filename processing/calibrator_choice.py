"""Which calibrator serves a CCD at its date."""

from __future__ import annotations

from django.db.models import Q

from processing.errors import MissingCalibrator
from products.models import CalibratorFile, Exposure


def calibrator(kind: str, exposure: Exposure, section: str, calibrator_set: str, flat_type: str = "") -> CalibratorFile:
    """The frame of one CCD that is valid at the date of an exposure; MissingCalibrator where there is none.

    `flat_type` is the light of a flat; any if empty.
    """
    band = exposure.filters.get(section) or exposure.filter
    rows = CalibratorFile.objects.filter(
        Q(valid_from=None) | Q(valid_from__lte=exposure.mjd),
        Q(valid_to=None) | Q(valid_to__gte=exposure.mjd),
        kind=kind,
        instrument=exposure.instrument,
        section=section,
        filter__in=["", band],
        calibrator_set=calibrator_set,
        image__badness_own=0,
        image__badness_upstream=0,
        image__provenance__is_bad=False,
    )
    if kind == CalibratorFile.Kind.FLAT and flat_type:
        rows = rows.filter(flat_type=flat_type)
    if row := rows.select_related("image").order_by("-created_at").first():
        return row
    raise MissingCalibrator(
        kind=kind,
        instrument=exposure.instrument,
        section=section,
        filter=band,
        mjd=exposure.mjd,
        hint=f"make one: manage.py make_{kind} FILE… --instrument {exposure.instrument}",
    )
