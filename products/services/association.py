"""Association: which object a measurement is of. One object a position, whoever else associates at the same time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.time import Time
from cdshealpix.nested import neighbours
from django.db import connection
from django.db.models import OuterRef, Subquery
from scipy.spatial import cKDTree

from products import sky
from products.models import Measurement, Object, ObjectPosition
from products.services.naming import new_names

CELL_ORDER = 8  # HEALPix cells of 14′, locked while objects in them are looked for and made
FWHM_PER_SIGMA = 2.3548


def associate(rows: Sequence[Measurement], *, radius_arcsec: float) -> None:
    """Set `.object` of measurements of one image, not saved yet; call it inside the transaction that saves them.

    Closest pairs come first; an object gets one measurement of the image at most. What has no object within the radius
    gets a new one. Sorted locks on cells of the sky make this safe beside other processes.
    """
    if not rows:
        return
    ra, dec = np.array([row.ra for row in rows]), np.array([row.dec for row in rows])
    _lock_cells(ra, dec)
    known = _known_objects(ra, dec, radius_arcsec)
    for index, thing in _pairs(ra, dec, known, radius_arcsec):
        rows[index].object = thing
    fresh = [row for row in rows if row.object_id is None]
    _make_objects(fresh)
    _count(rows)
    _better_positions([row for row in rows if not row.is_bad])


def _lock_cells(ra: np.ndarray, dec: np.ndarray) -> None:
    """Cells of the positions and all around them, in order; SQLite has one writer at a time already."""
    if connection.vendor != "postgresql":
        return
    cells = np.unique(sky.hpx(ra, dec) >> 2 * (sky.ORDER - CELL_ORDER))
    around = neighbours(cells.astype(np.uint64), CELL_ORDER).astype(np.int64)
    with connection.cursor() as cursor:
        for cell in np.unique(around[around >= 0]).tolist():
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [(CELL_ORDER << 40) | cell])


def _known_objects(ra: np.ndarray, dec: np.ndarray, radius_arcsec: float) -> list[Object]:
    """Objects in one cone around all positions."""
    centre_ra, centre_dec, reach = sky.centre_and_radius(np.column_stack([ra, dec]))
    return list(Object.objects.filter(sky.cone(centre_ra, centre_dec, reach + radius_arcsec / 3600), is_test=False))


def _pairs(ra: np.ndarray, dec: np.ndarray, known: list[Object], radius_arcsec: float) -> list[tuple[int, Object]]:
    """(index, object), closest first, each index and each object once."""
    if not known:
        return []
    chord = 2 * np.sin(np.radians(radius_arcsec / 3600) / 2)
    tree = cKDTree(sky.unit_vectors([thing.ra for thing in known], [thing.dec for thing in known]))
    found = cKDTree(sky.unit_vectors(ra, dec)).sparse_distance_matrix(tree, chord, output_type="ndarray")
    taken_rows, taken_objects, pairs = set(), set(), []
    for i, j, _ in sorted(found.tolist(), key=lambda entry: (entry[2], entry[0], entry[1])):
        if i not in taken_rows and j not in taken_objects:
            taken_rows.add(i)
            taken_objects.add(j)
            pairs.append((i, known[j]))
    return pairs


def _make_objects(rows: Sequence[Measurement]) -> None:
    if not rows:
        return
    year = Time(rows[0].mjd, format="mjd").datetime.year
    for row, name in zip(rows, new_names(year, len(rows))):
        row.object = Object(name=name, first_seen=row.mjd, last_seen=row.mjd, **row.position())
    Object.objects.bulk_create([row.object for row in rows])


def _count(rows: Sequence[Measurement]) -> None:
    """First and last time and number of the kept measurements of each object."""
    changed = []
    for row in rows:
        if not row.is_bad:
            thing = row.object
            fresh = thing.n_measurements == 0
            thing.first_seen = row.mjd if fresh else min(thing.first_seen, row.mjd)
            thing.last_seen = row.mjd if fresh else max(thing.last_seen, row.mjd)
            thing.n_measurements += 1
            changed.append(thing)
    # One statement for all; `bulk_update` takes a millisecond an object to write its own.
    columns = ["first_seen", "last_seen", "n_measurements"]
    Object.objects.bulk_create(changed, update_conflicts=True, update_fields=columns, unique_fields=["id"])


def _better_positions(rows: Sequence[Measurement]) -> None:
    """The mean position of each object, weighted by (S/N)², with this measurement in it."""
    if not rows:
        return
    provenance = rows[0].measurement_set.provenance
    seeing = rows[0].measurement_set.cutouts.sources.image.fwhm or 1.0
    history = ObjectPosition.objects.filter(provenance=provenance)
    newest = history.filter(object=OuterRef("object")).order_by("-n_measurements").values("pk")[:1]
    latest = {row.object_id: row for row in history.filter(object__in=[r.object for r in rows], pk=Subquery(newest))}
    made = []
    for row in rows:
        error = seeing / FWHM_PER_SIGMA / max(abs(row.snr), 1.0)
        before = latest.get(row.object_id)
        ra, dec, number, mjd = row.ra, row.dec, 1, row.mjd
        if before:
            share = error**-2 / (error**-2 + before.ra_error**-2)
            ra, dec = sky.between((before.ra, before.dec), (row.ra, row.dec), share)
            error = (error**-2 + before.ra_error**-2) ** -0.5
            number, mjd = before.n_measurements + 1, max(before.mjd_last, row.mjd)
        position = ObjectPosition(
            object=row.object, provenance=provenance, n_measurements=number,
            ra=ra, dec=dec, ra_error=error, dec_error=error, mjd_last=mjd,
        )  # fmt: skip
        made.append(position)
    ObjectPosition.set_positions(made, [row.ra for row in made], [row.dec for row in made])
    ObjectPosition.objects.bulk_create(made)
