"""Many processes that need the same stars at once: `python -m tests.rows.fetchers ASKED.json`.

The database is that of DATABASE_URL. The file gives the address of the archive, how many processes there are, and
whether the first of them is killed while it fetches.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import django


def work(asked: dict[str, Any], answers: Any) -> None:
    """One process: the stars of the field."""
    import numpy as np

    from processing.catalog_choice import Field, stars_of
    from processing.catalogs.gaia import Gaia

    source = Gaia(url=asked["url"], is_queued=False, attempts=2, timeout=20, pause=0.01)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = stars_of(Field(np.array(asked["corners"]), 0.02), source, faintest=asked["faintest"], min_cover=0.5)
        answers.put({
            "stars": len(found.table),
            "digest": hashlib.sha256(found.table.tobytes()).hexdigest(),
            "excerpts": sorted(str(row.pk) for row in found.excerpts),
            "warnings": [str(one.message) for one in caught],
        })  # fmt: skip
    except Exception as error:
        if not hasattr(error, "details"):
            traceback.print_exc()
        answers.put({"failed": type(error).__name__, "told": str(error)})


def main(path: str) -> None:
    """Start them together; print what each got, and what there is afterwards."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
    django.setup()
    import pyvo.dal.tap  # noqa: F401 - once, before there are many
    from django.db import connection

    import processing.catalog_choice
    import processing.catalogs.gaia  # noqa: F401
    from products.models import CatalogCell, CatalogExcerpt

    asked = json.loads(Path(path).read_text())
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    if asked.get("kill"):
        first = fork.Process(target=work, args=(asked, fork.Queue()))
        first.start()
        while not CatalogCell.objects.filter(lease_token__isnull=False).exists():
            time.sleep(0.02)
        connection.close()
        os.kill(first.pid, signal.SIGKILL)  # and nobody asks how it ended: to others it is a zombie
    jobs = [fork.Process(target=work, args=(asked, answers)) for _ in range(asked["processes"])]
    begun = time.monotonic()
    for job in jobs:
        job.start()
    done = [answers.get(timeout=200) for _ in jobs]
    for job in jobs:
        job.join()
    cells = list(CatalogCell.objects.values("cell", "failures", "lease_token", "excerpt_id"))
    print(json.dumps({
        "done": done, "seconds": time.monotonic() - begun, "excerpts": CatalogExcerpt.objects.count(),
        "cells": len(cells), "failures": sum(row["failures"] for row in cells),
        "leases": sum(row["lease_token"] is not None for row in cells),
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
