"""Eight processes that associate the same positions at once: `python -m tests.rows.associating ASKED.json`.

The database is that of DATABASE_URL. The file gives cutouts, the provenances of each process (one a set) and positions.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import traceback
from pathlib import Path

import django
import numpy as np

RADIUS_ARCSEC = 1.0


def associate_all(asked: dict, process: int, start, failures) -> None:
    """The sets of one process, each kept in its own transaction, every process in another order."""
    from products.models import Cutouts, Measurement, MeasurementSet, Provenance
    from products.services.keeping import keep

    order = np.random.default_rng(process).permutation(len(asked["positions"][process]))
    sets = np.array_split(order, len(asked["provenances"][process]))
    start.wait()
    try:
        for provenance, chosen in zip(asked["provenances"][process], sets):
            made = MeasurementSet(
                cutouts=Cutouts.objects.get(pk=asked["cutouts"]), n_measured=len(chosen), n_saved=len(chosen),
                n_kept=len(chosen), association_radius=1.0,
            )  # fmt: skip
            for index, (ra, dec) in enumerate(asked["positions"][process][i] for i in chosen):
                row = Measurement(
                    measurement_set=made, index_in_sources=index, mjd=61367.0 + process, filter="r", x=0, y=0, flux=100,
                    flux_error=10, snr=10,
                )  # fmt: skip
                made.rows.append(row.set_position(ra, dec))
            assert keep([made], Provenance.objects.get(pk=provenance))
    except BaseException:
        failures.put(traceback.format_exc())


def main(path: str) -> None:
    """Start them together; print what there is afterwards."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
    django.setup()
    asked = json.loads(Path(path).read_text())
    fork = multiprocessing.get_context("fork")
    start, failures = fork.Barrier(len(asked["positions"])), fork.SimpleQueue()
    workers = [
        fork.Process(target=associate_all, args=(asked, index, start, failures))
        for index in range(len(asked["positions"]))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = []
    while not failures.empty():
        failed.append(failures.get())
    print(json.dumps({"failed": failed, **what_there_is(asked["positions"][0])}))


def what_there_is(positions: list) -> dict:
    """Objects near the positions, how often each was seen, and how many positions have one object only."""
    from products.models import Measurement, Object, ObjectName

    near = [Object.objects.near(ra, dec, 2 * RADIUS_ARCSEC) for ra, dec in positions]
    return {
        "objects": Object.objects.count(),
        "names": sum(ObjectName.objects.values_list("used", flat=True)),
        "alone": sum(len(found) == 1 for found in near),
        "seen": sorted({thing.n_measurements for found in near for thing in found}),
        "spans": sorted({(thing.first_seen, thing.last_seen) for found in near for thing in found}),
        "measurements": Measurement.objects.count(),
    }


if __name__ == "__main__":
    main(sys.argv[1])
