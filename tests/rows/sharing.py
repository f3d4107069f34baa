"""The database of a test for other processes."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.db import connection


def shared_database(folder: Path) -> str:
    """URL by which other processes reach what this test wrote."""
    if connection.vendor == "sqlite":
        path = folder / "shared.sqlite3"
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(path)])
        with contextlib.closing(sqlite3.connect(path)) as copy:  # as `migrate` leaves it: only one may switch it to WAL
            copy.execute("PRAGMA journal_mode=WAL")
        return f"sqlite://{path}"
    found = connection.settings_dict
    return f"postgresql://{found['USER']}:{found['PASSWORD']}@:{found['PORT']}/{found['NAME']}?host={found['HOST']}"


def run_beside(module: str, asked: Any, folder: Path) -> Any:
    """What `python -m module ASKED.json` prints last, as JSON; it uses the database of this test."""
    path = folder / "asked.json"
    path.write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-m", module, str(path)],
        env={**os.environ, "DATABASE_URL": shared_database(folder), "SEECHANGE_DATA": str(folder)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
