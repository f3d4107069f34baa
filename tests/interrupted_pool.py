"""A process that works off two long jobs side by side, to be interrupted: `python -m tests.interrupted_pool FOLDER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from processing.side_by_side import work_off


def sleep(path: str) -> None:
    """A job that says when it has begun, and when it was interrupted."""
    Path(path).write_text("begun")
    try:
        time.sleep(120)
    except KeyboardInterrupt:
        Path(path).write_text("interrupted")
        raise


def main() -> None:
    """Work off, and say that it was stopped."""
    import django

    django.setup()
    try:
        list(work_off(sleep, [(f"{sys.argv[1]}/{k}",) for k in range(3)], 2))
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
