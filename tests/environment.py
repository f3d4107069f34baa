"""Loaded before Django: tests have one thread a process, and a data folder of their own from the first setting on."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the processes that tests start would compile every module anew
_folder = tempfile.TemporaryDirectory(prefix="seechange-tests-", ignore_cleanup_errors=True)  # removed at the end
os.environ["SEECHANGE_DATA"] = _folder.name
