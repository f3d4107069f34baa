"""Loaded before Django: tests have one thread a process, and a data folder of their own from the first setting on."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["SEECHANGE_DATA"] = tempfile.mkdtemp(prefix="seechange-tests-")
