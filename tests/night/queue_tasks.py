"""Tasks that behave badly."""

import os
import signal
import time
from pathlib import Path


def note(folder: str, name: str, seconds: float = 0.0) -> None:
    """One file for each time that it began, and one for each time that it came to its end."""
    moment = time.monotonic_ns()
    (Path(folder) / f"{name}.began.{moment}").touch()
    time.sleep(seconds)
    (Path(folder) / f"{name}.ended.{moment}").touch()


def die(folder: str) -> None:
    """What a task does that takes too much memory."""
    (Path(folder) / f"die.began.{time.monotonic_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)
