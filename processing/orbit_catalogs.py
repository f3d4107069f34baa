"""Keep catalogues of orbits, and choose among those that are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from processing.algorithms.orbits import ORBIT
from processing.ephemerides.mpcorb_lines import OrbitLines, read_orbits
from processing.errors import BadInput
from processing.provenances import keep_one
from products.models import OrbitCatalog
from products.services.keeping import keep

IMPORT = ("orbit import", (1, 0, 0))


def import_orbits(path: Path, name: str) -> tuple[OrbitCatalog, OrbitLines]:
    """Keep the orbits of a file in the format of MPCORB.DAT; the same orbits again give the same row."""
    lines = read_orbits(path)
    process, version = IMPORT
    provenance = keep_one(process, version, {"catalog": name})
    digest = hashlib.sha256(lines.table.tobytes() + lines.names.tobytes()).hexdigest()
    same = {"contents_sha256": digest, "provenance": provenance}
    if row := OrbitCatalog.objects.filter(**same).first():
        return row, lines
    row = OrbitCatalog(
        name=name,
        n_orbits=len(lines.table),
        n_bad=lines.n_bad,
        epoch=float(np.median(lines.table["epoch"])),
        contents_sha256=digest,
        elements=lines.table.view("f8").reshape(len(lines.table), -1),
        names=np.ascontiguousarray(lines.names).view("u1").reshape(len(lines.names), -1),
    )
    return (row if keep([row], provenance) else OrbitCatalog.objects.get(**same)), lines


def catalog_for(name: str, mjd: float) -> OrbitCatalog:
    """Of the catalogues that were imported under a name, the one whose epoch is nearest; the newest of equals.

    BadInput where there is none.
    """
    rows = list(OrbitCatalog.objects.filter(name=name).order_by("-created_at"))
    if not rows:
        known = ", ".join(sorted(set(OrbitCatalog.objects.values_list("name", flat=True)))) or "none"
        reason = f"none is imported under this name (there are: {known}); manage.py import_orbits FILE --name {name}"
        raise BadInput(what=f"orbit catalogue '{name}'", reason=reason)
    return min(rows, key=lambda row: abs(row.epoch - mjd))


def orbits_of(row: OrbitCatalog) -> np.ndarray:
    """Its orbits, (n,) of ORBIT."""
    return np.ascontiguousarray(row.elements).view(ORBIT)[:, 0]


def names_of(row: OrbitCatalog, rows: np.ndarray) -> tuple[str, ...]:
    """The designations of some of its rows."""
    letters = np.ascontiguousarray(row.names[rows])
    return tuple(bytes(one).rstrip(b"\0 ").decode("ascii", "replace") for one in letters)
