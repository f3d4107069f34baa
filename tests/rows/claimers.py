"""Many processes that claim, or add, at once: `python -m tests.rows.claimers ASKED.json`; the database is DATABASE_URL's.

The file says what they do and how many there are.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django


def claim_all(number: int) -> dict[str, Any]:
    """Claim, start and finish until nothing is left."""
    from conductor.services import claiming, finishing

    found = []
    while handed := claiming.claim(token := uuid.uuid4(), "cluster", f"node {number}"):
        found.append(handed.known_exposure.identifier)
        claiming.start(token, sections=["N1"])
        finishing.finish(token, {"N1": {"state": "done"}})
    return {"claimed": found}


def claim_with_one_token(number: int) -> dict[str, Any]:
    """Ask with the same token as all others."""
    from conductor.services import claiming

    handed = claiming.claim(uuid.UUID(int=7), "cluster", "node")
    return {"claimed": [handed.known_exposure.identifier]}


def add_the_same(number: int) -> dict[str, Any]:
    """Make the same exposures known as all others."""
    from conductor.services.adding import add
    from tests.rows.waiting import offers

    added = add("demo", offers(200)[:: 1 if number % 2 else -1], actor=f"process {number}")
    return {"new": len(added.new), "known": len(added.known)}


def look(number: int) -> dict[str, Any]:
    """Let every watch look."""
    from conductor.models import Watch
    from conductor.watching import look_all

    return {"new": sum(len(found.new) for found in look_all(Watch.objects.all()))}


JOBS: dict[str, Callable[[int], dict[str, Any]]] = {
    job.__name__: job for job in (claim_all, claim_with_one_token, add_the_same, look)
}


def work(job: str, number: int, start: Any, answers: Any) -> None:
    """One process."""
    start.wait()
    try:
        answers.put({"number": number, **JOBS[job](number)})
    except BaseException:
        answers.put({"number": number, "failed": traceback.format_exc()})


def main(path: str) -> None:
    """Start them together; print what each did."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
    django.setup()
    asked = json.loads(Path(path).read_text())
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(asked["processes"] + 1), fork.Queue()
    jobs = [fork.Process(target=work, args=(asked["job"], i, start, answers)) for i in range(asked["processes"])]
    for job in jobs:
        job.start()
    start.wait()
    begun = time.monotonic()
    done = [answers.get() for _ in jobs]
    seconds = time.monotonic() - begun
    for job in jobs:
        job.join()
    print(json.dumps({"done": done, "seconds": seconds, **what_there_is()}))


def what_there_is() -> dict[str, Any]:
    """States and events afterwards; how far claims were from the order that was asked for."""
    from conductor.models import ClaimEvent, KnownExposure

    rows = KnownExposure.objects.order_by("-priority", "mjd", "id")
    rank = {pk: place for place, pk in enumerate(rows.values_list("pk", flat=True))}
    order = [
        rank[pk]
        for pk in ClaimEvent.objects.filter(what="claimed").order_by("id").values_list("known_exposure_id", flat=True)
    ]
    return {
        "states": list(rows.order_by().values_list("state", "attempt").distinct()),
        "claims": len(order),
        "different": len(set(order)),
        # of what should have come before a claim, how much came after it: in the hands of the others at that moment
        "late": max((sum(other < mine for other in order[i + 1 :]) for i, mine in enumerate(order)), default=0),
        "events": ClaimEvent.objects.count(),
        "known": len(rank),
    }


if __name__ == "__main__":
    main(sys.argv[1])
