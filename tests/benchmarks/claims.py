"""Claims per second of many claimers at once, in a database of its own: SQLite, or that of DATABASE_URL.

Run by hand: `python manage.py benchmark claims` (or `python -m tests.benchmarks.claims --help`). On PostgreSQL it empties
the conductor's tables of the database that it is given: give it one of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
FOLDER = Path(tempfile.mkdtemp(prefix="seechange-benchmark-"))
os.environ["SEECHANGE_DATA"] = str(FOLDER)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")


def main() -> None:
    """Make exposures known, let claimers take them, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exposures", type=int, default=2000, help="That wait [2000].")
    parser.add_argument("--claimers", type=int, default=32, help="Processes that ask at once [32].")
    options = parser.parse_args()
    try:
        measure(options.exposures, options.claimers)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


def measure(exposures: int, claimers: int) -> None:
    """The rate of claims from the first asker's start to the last one's end, and how long single claims took."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from conductor.models import ClaimEvent, KnownExposure, PipelineWorker
    from tests.rows.waiting import known

    call_command("migrate", verbosity=0)
    KnownExposure.objects.all().delete()
    ClaimEvent.objects.all()._raw_delete(connection.alias)
    PipelineWorker.objects.all().delete()
    known(exposures)
    vendor = connection.vendor
    connection.close()
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(claimers + 1), fork.Queue()
    jobs = [fork.Process(target=ask, args=(number, start, answers)) for number in range(claimers)]
    for job in jobs:
        job.start()
    start.wait()
    begun = time.monotonic()
    told = [answers.get() for _ in jobs]
    seconds = time.monotonic() - begun
    took, cpu = sorted(one for took, _ in told for one in took), sum(cpu for _, cpu in told)
    for job in jobs:
        job.join()
    once = ClaimEvent.objects.filter(what="claimed").values("known_exposure_id").distinct().count()
    print(f"{vendor}: {claimers} claimers, {len(took)} claims of {once} exposures in {seconds:.2f} s")
    print(
        f"{len(took) / seconds:.0f} claims/s, {cpu / len(took) * 1e3:.1f} ms of CPU each; a claim took {took[len(took) // 2] * 1e3:.0f} ms (median), ",
        end="",
    )
    print(f"{took[int(len(took) * 0.99)] * 1e3:.0f} ms (99 %), {took[-1] * 1e3:.0f} ms (longest)")


def ask(number: int, start: Any, answers: Any) -> None:
    """One claimer: the seconds of each of its claims, and its CPU seconds."""
    from conductor.services.claiming import claim

    took = []
    start.wait()
    used = time.process_time()
    while True:
        begun = time.monotonic()
        if claim(uuid.uuid4(), "benchmark", f"node {number}") is None:
            break
        took.append(time.monotonic() - begun)
    answers.put((took, time.process_time() - used))


if __name__ == "__main__":
    main()
