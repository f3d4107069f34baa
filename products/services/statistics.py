"""What the database knows of its own contents when it plans a search."""

from __future__ import annotations

from typing import Any

from django.db import OperationalError, connection


def refresh_statistics(**signal: Any) -> None:
    """Let SQLite count what its indexes hold: it cannot tell a narrow condition from one that fits all rows otherwise.

    It looks at a part of each index, so that this takes no longer in a large archive. PostgreSQL does it by itself.
    """
    if connection.vendor != "sqlite":
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA analysis_limit = 1000")
            cursor.execute("ANALYZE")
    except OperationalError:  # another process writes for long; the next exposure brings another chance
        return
