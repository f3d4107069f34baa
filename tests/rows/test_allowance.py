"""The process of a CCD that wants too much fails alone."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from processing.exposures import _end

_ALLOWANCE = """
from django.conf import settings
settings.configure(SEECHANGE_CCD_MEMORY={memory}, SEECHANGE_CCD_CPU={cpu})
from processing.allowance import keep_within_allowance
keep_within_allowance()
"""


def run(code: str, memory: int = 0, cpu: int = 0, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python code within an allowance."""
    text = before + _ALLOWANCE.format(memory=memory, cpu=cpu) + code
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)


def test_too_much_memory_is_an_error_that_python_can_tell():
    assert "MemoryError" in run("bytearray(2_000_000_000)", memory=1).stderr
    assert run("bytearray(500_000_000)", memory=1).returncode == 0


def test_a_loop_without_end_is_stopped_and_named():
    done = run("while True: pass", cpu=1)
    assert done.returncode == -signal.SIGXCPU
    assert "SEECHANGE_CCD_CPU" in _end(done.returncode)


@pytest.mark.parametrize(("set_before", "left"), [((3, 3), (3, 3)), ((5, 100), (7, 37))])
def test_no_limit_is_raised_and_a_crash_leaves_no_image_of_memory(set_before, left):
    before = f"import resource\nresource.setrlimit(resource.RLIMIT_CPU, {set_before})\n"
    told = "print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_CORE)[0])"
    assert run(told, cpu=7, before=before).stdout == f"{left} 0\n"
