"""A corpus of spoiled files: each is refused with the code that says what is wrong with it, and nothing else happens."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from processing.admission.admitting import Admitted, admit
from processing.admission.codes import Code
from processing.errors import BadExposureFile, is_passing
from products.errors import DiskFull
from tests.admission.astropy_child import SECONDS
from tests.admission.corpus import CASES, DEFAULT
from tests.admission.files import KINDS, put

CHILD = Path(__file__).with_name("astropy_child.py")
PIXELS = {Code.NO_VALUES, Code.ABSURD_VALUES, Code.CONSTANT}


def read_by_astropy(paths: list[Path]) -> dict[str, object]:
    """What a process says of each file that it reads whole; a file that ends the process is an error here."""
    done = subprocess.run(
        [sys.executable, CHILD, *paths], capture_output=True, text=True, timeout=len(paths) * SECONDS + 60
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"{lines[-1]} ended the process with {done.returncode}: {done.stderr[-500:]}"
    return {line["ended"]: line["said"] for line in lines if "ended" in line}


def outcome(path: Path, rules=DEFAULT) -> Admitted | BadExposureFile:
    try:
        return admit(path, rules)
    except BadExposureFile as error:
        return error


@pytest.mark.parametrize("name", CASES)
def test_a_spoiled_file_is_refused_with_its_code(name, tmp_path):
    case, path = CASES[name], tmp_path / "file.fits"
    path.write_bytes(case.make())
    begun = time.thread_time()
    found = outcome(path, case.rules)
    assert time.thread_time() - begun < 5
    if case.code is None:
        assert isinstance(found, Admitted), found
        codes = [oddity.code for oddity in found.warnings]
        assert codes == ([case.warning] if case.warning else []) or (
            case.warning in codes and Code.EDITED_HEADER in codes
        )
    else:
        assert isinstance(found, BadExposureFile), found
        assert found.code is case.code, found
        assert found.detail and found.detail.isprintable() and len(found.detail) <= 200
        assert str(path) in str(found) and f"[{case.code}]" in str(found) and case.code.advice in str(found)
    assert list(tmp_path.iterdir()) == [path]


def test_the_corpus_is_large_and_has_every_code():
    assert len(CASES) >= 100
    by_path = {Code.NOT_A_FILE, Code.BAD_NAME, Code.TOO_SLOW}
    assert {case.code for case in CASES.values() if case.code} | by_path | PIXELS == set(Code)


def test_astropy_reads_every_file_of_the_corpus_that_is_let_in(tmp_path):
    paths = []
    for number, case in enumerate(CASES.values()):
        if case.code is None and case.warning is not Code.BAD_WCS:
            paths.append(tmp_path / f"{number}.fits")
            paths[-1].write_bytes(case.make())
    said = read_by_astropy(paths)
    assert len(said) == len(paths) > 25
    assert [text for text in said.values() if not isinstance(text, int)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_let_in_without_a_warning(kind, tmp_path):
    path = tmp_path / "file.fits"
    path.write_bytes(KINDS[kind]())
    found = admit(path, DEFAULT)
    assert found.warnings == () and found.hdus >= 1
    assert found.images == {"tables": (), "mask": ("MASK",)}.get(kind, ("",) if found.hdus == 1 else ("N1", "N2"))


def test_what_is_no_file_is_refused_at_once(tmp_path):
    pipe = tmp_path / "pipe.fits"
    os.mkfifo(pipe)
    loop = tmp_path / "loop.fits"
    loop.symlink_to(loop)
    missing = (tmp_path / "missing.fits", tmp_path / "missing" / "x.fits", Path("/a\0b/x.fits"), loop)
    for path in (pipe, tmp_path, Path("/dev/zero"), *missing):
        assert outcome(path).code is Code.NOT_A_FILE, path


def test_a_disk_that_cannot_be_read_now_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "file.fits"
    path.write_bytes(KINDS["plain"]())

    def broken(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", broken)
        with pytest.raises(OSError, match="Input/output error"):
            admit(path, DEFAULT)
    assert isinstance(outcome(path), Admitted)


def test_a_disk_without_room_to_unpack_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "file.fits.gz"
    path.write_bytes(KINDS["packed"]())

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("processing.admission.reading._unpack", full)
        with pytest.raises(DiskFull, match="make room"):
            admit(path, DEFAULT, tmp_path)
    assert isinstance(outcome(path), Admitted)


@pytest.mark.parametrize(
    "name", ["a\nb.fits", "a\\b.fits", "\x1b[31m.fits", "x" * 240 + ".fits", "a\u202eb.fits", "\udcff.fits"]
)
def test_a_name_that_cannot_be_printed_or_is_too_long_is_refused(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(KINDS["plain"]())
    error = outcome(path)
    assert error.code is Code.BAD_NAME and str(error).isprintable()
    str(error).encode()


def test_a_name_with_accents_and_blanks_is_let_in(tmp_path):
    path = tmp_path / "Étoile n° 7 (réduite).fits"
    path.write_bytes(KINDS["plain"]())
    assert isinstance(outcome(path), Admitted)


def test_a_refusal_will_not_go_well_another_time():
    assert not is_passing(BadExposureFile.__name__)


def test_what_takes_too_long_is_given_up(tmp_path, monkeypatch):
    path = tmp_path / "file.fits"
    path.write_bytes(KINDS["extensions"]())
    monkeypatch.setattr("processing.admission.admitting.PATIENCE", -1.0)
    assert outcome(path).code is Code.TOO_SLOW
    monkeypatch.undo()
    assert isinstance(outcome(path), Admitted)  # it is not held against the file


def test_a_file_is_looked_through_once_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "file.fits"
    path.write_bytes(KINDS["plain"]())
    first = admit(path, DEFAULT)
    with monkeypatch.context() as patch:
        patch.setattr("processing.admission.admitting._admit", None)
        assert admit(path, DEFAULT) is first
    path.write_bytes(CASES["NAXIS = 5"].make())
    assert outcome(path).code is Code.BAD_STRUCTURE
    assert outcome(path).code is Code.BAD_STRUCTURE  # remembered too
    path.write_bytes(KINDS["rice"]())
    assert admit(path, DEFAULT).images == ("N1", "N2")


_LOOK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (60_000_000, 60_000_000))
from pathlib import Path
from processing.admission.admitting import admit
from processing.errors import BadExposureFile
for path in sys.argv[1:]:
    try:
        print("in", admit(Path(path)).size)
    except BadExposureFile as error:
        print(error.code.value)
print("astropy" in sys.modules, "numpy" in sys.modules)
"""


def test_the_guard_needs_little_memory_and_neither_astropy_nor_numpy(tmp_path):
    large, cards, bomb = tmp_path / "large.fits", tmp_path / "cards.fits", tmp_path / "bomb.fits.gz"
    head = CASES["no coordinates"].make()[:2880]
    ones = head.replace(b"NAXIS1  =                   60", b"NAXIS1  =                20000")
    ones = ones.replace(b"NAXIS2  =                   40", b"NAXIS2  =                 5000")
    large.write_bytes(put(ones, b"DATASUM = '0       '".ljust(80)))
    os.truncate(large, 2880 + -(-200_000_000 // 2880) * 2880)  # 200 MB of zeros, of which the sum is 0
    cards.write_bytes(CASES["150,000 cards in 10 headers"].make())
    bomb.write_bytes(CASES["gzip bomb"].make())
    done = subprocess.run([sys.executable, "-c", _LOOK, large, cards, bomb], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *codes, last = done.stdout.splitlines()
    assert first == f"in {large.stat().st_size}"
    assert codes == ["too-many-cards", "gzip-bomb"]
    assert last == "False False"
