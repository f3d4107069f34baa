"""A catalogue of orbits, a known body among the measurements of a CCD, a tracklet."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np

from processing.algorithms.orbits import ORBIT
from processing.algorithms.tracklets import Detected
from processing.steps.linking import NightDetections
from products.models import KnownObject, KnownObjectSet, Measurement, OrbitCatalog, Provenance, Tracklet, TrackletSet
from tests.factories.ccd import CCD
from tests.factories.images import provenance, saved


def orbit_catalog(table: np.ndarray | None = None, name: str = "mpc", epoch: float = 61360.0) -> OrbitCatalog:
    """A catalogue with its file; of one orbit where none are given."""
    if table is None:
        table = np.zeros(1, ORBIT)
        table["semi_major_axis"], table["epoch"], table["h"] = 2.5, epoch, 15.0
    names = np.array([f"({number})" for number in range(1, len(table) + 1)], "S28")
    made_by = provenance("orbit import", tag="", catalog=name)
    number = OrbitCatalog.objects.count()
    row = OrbitCatalog(
        name=name, n_orbits=len(table), epoch=epoch, contents_sha256=f"{number:064d}", provenance=made_by,
        elements=table.view("f8").reshape(len(table), -1), names=names.view("u1").reshape(len(table), -1),
    )  # fmt: skip
    return saved(row)


def known_object(of: CCD, index: int = 0, name: str = "(1) Ceres", tag: str = "current") -> KnownObject:
    """The measurement with this index is of a known body."""
    measured = of.measurement_set
    made_by = provenance("knownobjects", measured.provenance, tag=tag, source={"name": "mpcorb"})
    catalog = OrbitCatalog.objects.first() or orbit_catalog()
    held = KnownObjectSet.objects.filter(measurement_set=measured, provenance=made_by).first()
    held = held or saved(
        KnownObjectSet(
            measurement_set=measured, orbit_catalog=catalog, source="mpcorb", n_predicted=3, n_matched=1, provenance=made_by
        )
    )  # fmt: skip
    row = of.measurements[index]
    return KnownObject.objects.create(
        known_object_set=held, measurement=row, name=name, separation=0.31, uncertainty=0.42, ra=row.ra,
        dec=row.dec + 0.31 / 3600, magnitude=19.2, rate=31.5, position_angle=288.0, distance=1.83,
    )  # fmt: skip


def tracklet(rows: Sequence[Measurement], tag: str = "current", known_as: str = "") -> Tracklet:
    """A tracklet that links some measurements of one night."""
    measuring = rows[0].measurement_set.provenance
    night, made_by = int(rows[0].mjd - 0.5), provenance("linking", measuring, tag=tag, min_score=None)
    held = TrackletSet.objects.filter(night=night, provenance=made_by).first() or saved(
        TrackletSet(
            night=night, measuring=measuring, inputs_digest="x", n_detections=len(rows), n_tracklets=1,
            chance={"3": 0.12, "4": 0.0003}, provenance=made_by,
        )
    )  # fmt: skip
    times = [row.mjd for row in rows]
    made = Tracklet(
        tracklet_set=held, n_detections=len(rows), mjd=(min(times) + max(times)) / 2, mjd_first=min(times),
        mjd_last=max(times), rate=31.4, position_angle=287.5, residual=0.11, magnitude=19.3, known_as=known_as,
    )  # fmt: skip
    made.set_position(rows[0].ra, rows[0].dec).save(force_insert=True)
    made.measurements.set(rows)
    return made


def night_of_a_body(mjd: float) -> NightDetections:
    """What four exposures, half an hour apart from `mjd` on, saw of a body that moves along a straight line."""
    hours = np.arange(4) * 0.5
    seen = Detected(52.1 + 0.004 * hours, -27.8 + 0.002 * hours, np.full(4, 0.1), mjd + hours / 24)
    return NightDetections(
        night=int(mjd),
        measuring=Provenance(id="A" * 20, process="measuring"),
        digest="digest",
        detected=seen,
        measurements=[UUID(int=number) for number in range(4)],
        magnitudes=np.full(4, 19.0),
        known_as=[""] * 4,
    )
