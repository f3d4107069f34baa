"""Ctrl-C on a terminal reaches all processes of a command: jobs that run stop, others do not begin, nothing is said twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from django.conf import settings


def test_an_interrupt_stops_what_runs_side_by_side(tmp_path):
    # What runs in the background may be born deaf to it.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "seechange_site.settings"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.interrupted_pool", str(tmp_path)], cwd=settings.BASE_DIR, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hear,
    )  # fmt: skip
    begun = [tmp_path / "0", tmp_path / "1"]
    deadline = time.monotonic() + 90
    while not all(_reads(path, "begun") for path in begun):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate(timeout=5)
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said, complaints = process.communicate(timeout=60)
    assert said == "stopped\n" and "Traceback" not in complaints
    assert all(_reads(path, "interrupted") for path in begun) and not (tmp_path / "2").exists()


def _reads(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text
