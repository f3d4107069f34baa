"""Processes that ask for the same forced photometry at once: `python -m tests.rows.asking_at_once ASKED.json`.

The database is that of DATABASE_URL. The file gives the name of an object, a tag and how many processes there are.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path

import django

TIMES = 5  # that each asks, for one night after the other


def ask_all(name: str, tag: str, start, told) -> None:
    """What one process does: ids of the requests that it got, or what went wrong."""
    from processing.forced_requests import ask
    from products.models import Object

    thing = Object.objects.get(name=name)
    start.wait()
    try:
        told.put([str(ask(thing, tag, end=61400.0 + number).pk) for number in range(TIMES)])
    except Exception as error:
        told.put(repr(error))


def main(path: str) -> None:
    """Start them together; print what each of them got, and what there is afterwards."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
    django.setup()
    name, tag, number = json.loads(Path(path).read_text())
    fork = multiprocessing.get_context("fork")
    start, told = fork.Barrier(number), fork.SimpleQueue()
    workers = [fork.Process(target=ask_all, args=(name, tag, start, told)) for _ in range(number)]
    for worker in workers:
        worker.start()
    got = [told.get() for _ in workers]
    for worker in workers:
        worker.join()
    from django_q.models import OrmQ

    from products.models import ForcedRequest

    print(json.dumps({"got": got, "requests": ForcedRequest.objects.count(), "tasks": OrmQ.objects.count()}))


if __name__ == "__main__":
    main(sys.argv[1])
