"""Processes that send the same alerts at once: `python -m tests.rows.sending_at_once SERVERS TOPIC PROCESSES [MODE]`.

The database is that of DATABASE_URL. With `dies` they are killed after the broker has everything and before the rows
say so; with `later` all leases ended before they start. What there is afterwards is printed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections import Counter

import django


def send_all(servers: str, topic: str, dies: bool, start, told) -> None:
    """What one process does."""
    from processing import sending
    from processing.steps.alerting import Stream
    from products.models import Alert

    if dies:
        sending._note = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
    start.wait()
    sender = {"name": "kafka", "servers": servers, "topic": topic, "options": {"log_level": "0"}}
    told.put(sending.send(Alert.objects.all(), [Stream(sender=sender)]))


def main(servers: str, topic: str, number: int, mode: str) -> None:
    """Start them together; print what each says that it sent, and the states of the alerts."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
    django.setup()
    if mode == "later":
        from django.db import connections

        from products.models import Alert

        Alert.objects.update(claimed_until="2026-01-01T00:00:00Z")
        connections.close_all()
    fork = multiprocessing.get_context("fork")
    start, told = fork.Barrier(number), fork.SimpleQueue()
    workers = [fork.Process(target=send_all, args=(servers, topic, mode == "dies", start, told)) for _ in range(number)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    from products.models import Alert, AlertEvent

    sent = []
    while not told.empty():
        sent.append(told.get())
    states = Counter(Alert.objects.values_list("state", flat=True))
    events = Counter(AlertEvent.objects.values_list("what", flat=True))
    exits = [worker.exitcode for worker in workers]
    print(json.dumps({"sent": sent, "states": states, "events": events, "exits": exits}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "".join(sys.argv[4:]))
