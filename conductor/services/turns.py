"""Short transactions of the conductor, one after the other."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from django.db import connection, transaction


@contextlib.contextmanager
def in_turn() -> Iterator[None]:
    """A transaction that writes. On SQLite it waits for its turn where many launchers ask at once.

    SQLite has one writer at a time and no queue for the others: they try again and again, and whoever is unlucky for
    20 s is told that the database is locked. A lock on a file beside it has a queue.
    """
    with _queue(), transaction.atomic():
        yield


@contextlib.contextmanager
def _queue() -> Iterator[None]:
    # Inside a transaction the database is ours already; to wait for the file then would be the wrong order.
    if connection.vendor != "sqlite" or connection.is_in_memory_db() or connection.in_atomic_block:
        yield
        return
    path = Path(f"{connection.settings_dict['NAME']}-turns")
    with path.open("a") as file:  # closing it gives the lock back, and so does the end of the process
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
