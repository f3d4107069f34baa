"""manage.py as people call it: in a pipe whose reader had enough, and beside a program that has the port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from processing.management.commands import demo

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("arguments", [["config", "--defaults"], ["help"], ["config", "--help"]], ids=" ".join)
def test_a_command_whose_reader_had_enough_ends_without_a_word(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert ended.stderr == ""
    assert ended.returncode in (0, 141)  # argparse writes its help without minding


@pytest.mark.parametrize("lines", [1, 3])
def test_what_the_reader_wants_arrives(lines):
    pipe = f"{sys.executable} manage.py config --defaults | head -{lines}"
    ended = subprocess.run(pipe, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stderr == "" and ended.stdout.count("\n") == lines


def test_a_pipe_that_is_not_the_output_may_break_aloud():
    code = "import runpy, django.core.management as m\ndef broken(argv): raise BrokenPipeError('of a worker')\n"
    code += "m.execute_from_command_line = broken\nrunpy.run_path('manage.py', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "BrokenPipeError: of a worker" in ended.stderr and ended.returncode == 1


@pytest.fixture
def taken():
    """A port on which another program listens."""
    with socket.create_server((demo.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_said_before_the_work_begins_with_one_that_is_free(taken, monkeypatch):
    monkeypatch.setattr(demo, "run_demo", lambda *args, **options: pytest.fail("it began"))
    with pytest.raises(CommandError, match=f"port {taken} is taken by another program; choose another") as error:
        call_command("demo", serve=True, port=taken)
    other = int(str(error.value).rpartition("--port ")[2])
    assert other != taken and demo.why_not(other) == ""


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(CommandError, match="they go from 1 to 65535"):
        call_command("demo", "--serve", f"--port={port}")
