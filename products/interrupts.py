"""SIGTERM and Ctrl-C stop a process as KeyboardInterrupt, but not in the middle of what would be in doubt then.

The driver of PostgreSQL gives an interrupt back at once, while the server is still at work: the connection is of no
more use, and nobody knows whether a commit took place.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from types import FrameType

from django.db import connection


class _Holds:
    number = 0
    is_awaited = False  # a signal came meanwhile


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal: KeyboardInterrupt, now or at the end of `held_back`."""
    if _Holds.number:
        _Holds.is_awaited = True
    else:
        raise KeyboardInterrupt


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let an interrupt wait until the end of the block, which should take moments."""
    if threading.current_thread() is not threading.main_thread():  # signals are handled in that one only
        yield
        return
    _Holds.number += 1
    try:
        yield
    finally:
        _Holds.number -= 1
        if _Holds.is_awaited and not _Holds.number:
            _Holds.is_awaited = False
            raise KeyboardInterrupt


def forget_connection() -> None:
    """Let go of a connection that an interrupt may have left in the middle of a query; the next query makes another."""
    if not connection.in_atomic_block:
        connection.close()
