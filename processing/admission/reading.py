"""A file as bytes: a chunk at a time, within a budget of CPU time, and unpacked where gzip has packed it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from processing.admission.codes import Code
from processing.admission.rules import Limits
from processing.errors import BadExposureFile
from products.errors import DiskFull

CHUNK = 1 << 18  # bytes
FREE_OF_RATIO = 1 << 26  # bytes that may come of anything: an image of one value packs 1000 to 1
MOST_MEMBERS = 100_000  # gzip streams one behind the other
MAX_NAME = 200  # bytes
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENXIO)
_GZIP = b"\x1f\x8b"
_OTHERS = {
    b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"PK": "zip", b"\x1f\x9d": "compress (.Z)", b"\x1f\xa0": "compress (.Z)",
    b"7z\xbc\xaf": "7-Zip", b"\x28\xb5\x2f\xfd": "Zstandard", b"\x04\x22\x4d\x18": "LZ4", b"Rar!": "RAR",
    b"\x5d\x00\x00": "lzma", b"LZIP": "lzip",
}  # fmt: skip


class Budget:
    """CPU seconds of this thread that one file may cost; a slow disk is not the fault of the file."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._end = seconds, time.thread_time() + seconds

    def check(self) -> None:
        """BadExposureFile when it is used up."""
        if time.thread_time() > self._end:
            raise BadExposureFile(Code.TOO_SLOW, f"it took more than {self._seconds:g} s of CPU time")


class Contents:
    """The bytes of a FITS file at any place."""

    def __init__(self, file: BinaryIO, size: int, budget: Budget) -> None:
        self._file, self.size, self.budget = file, size, budget

    def at(self, offset: int, length: int) -> bytes:
        """`length` bytes, fewer at the end; for headers and rows, not for images."""
        self.budget.check()
        self._file.seek(offset)
        return self._file.read(length)

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        """`length` bytes in pieces of at most CHUNK, a multiple of 4 but for the last one."""
        self._file.seek(offset)
        while length > 0 and (piece := self._file.read(min(CHUNK, length))):
            self.budget.check()
            yield piece
            length -= len(piece)
            offset += len(piece)
            self._file.seek(offset)  # somebody else may have read in between


def check_name(name: str) -> None:
    """BadExposureFile for a name that storage, logs or pages could stumble over."""
    if not name.isprintable() or "\\" in name:
        raise BadExposureFile(Code.BAD_NAME, f"its name {name!r} has characters that cannot be printed, or a backslash")
    if len(os.fsencode(name)) > MAX_NAME:
        raise BadExposureFile(Code.BAD_NAME, f"its name has {len(os.fsencode(name))} bytes, {MAX_NAME} are possible")


@contextlib.contextmanager
def opened(path: Path, limits: Limits, budget: Budget, scratch: Path | None = None) -> Iterator[Contents]:
    """The contents of a plain or gzip-packed file; what gzip has packed is unpacked into a file without a name.

    That file is in the folder `scratch`. BadExposureFile for what is no file, too large, empty, packed by another
    program, or a damaged gzip stream; DiskFull where there is no room to unpack it.
    """
    with _regular_file(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size == 0:
            raise BadExposureFile(Code.EMPTY, "it is empty, 0 bytes, and no FITS file")
        _refuse_too_large(status.st_size, limits)
        magic = file.read(8)
        if not magic.startswith(_GZIP):
            _refuse_other(magic)
            yield Contents(file, status.st_size, budget)
            return
        folder = scratch if scratch and os.access(scratch, os.W_OK) else Path(tempfile.gettempdir())
        with tempfile.TemporaryFile(dir=folder) as plain:
            file.seek(0)
            try:
                size = _unpack(file, plain, limits, budget)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                free = shutil.disk_usage(folder).free / 1e6
                raise DiskFull(path=f"{path}, unpacked", written_mb=plain.tell() / 1e6, free_mb=free) from error
            plain.seek(0)
            _refuse_other(plain.read(8), "packed by gzip, and inside ")
            yield Contents(plain, size, budget)


def _regular_file(path: Path) -> BinaryIO:
    try:
        # Without O_NONBLOCK a pipe without a writer would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in the name of a folder
        raise BadExposureFile(Code.NOT_A_FILE, "there is no such file") from error
    except OSError as error:
        if error.errno not in _ABSENT:
            raise  # e.g. too many open files: nothing that the file could help
        said = "there is no such file" if error.errno in (errno.ENOENT, errno.ENOTDIR) else os.strerror(error.errno)
        raise BadExposureFile(Code.NOT_A_FILE, said) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadExposureFile(Code.NOT_A_FILE, "it is a folder, a pipe or a device")
    return os.fdopen(descriptor, "rb")


def _refuse_too_large(size: int, limits: Limits, unpacked: str = "") -> None:
    if size > limits.max_bytes:
        text = f"{unpacked}it has more than {limits.max_bytes / 1e9:g} GB"
        raise BadExposureFile(Code.TOO_LARGE, text)


def _refuse_other(magic: bytes, inside: str = "") -> None:
    """BadExposureFile for what is not a FITS file as it stands."""
    packed = _OTHERS | {_GZIP: "gzip"} if inside else _OTHERS
    for beginning, program in packed.items():
        if magic.startswith(beginning):
            raise BadExposureFile(Code.OTHER_COMPRESSION, f"it is {inside}packed by {program}")
    if magic != b"SIMPLE  ":
        raise BadExposureFile(Code.NOT_FITS, f"it is {inside}not a FITS file: it begins with {magic!r}")


def _unpack(source: BinaryIO, target: BinaryIO, limits: Limits, budget: Budget) -> int:
    """Unpack all gzip streams of `source`, checksums included; the size in bytes of what comes of them."""
    read = size = members = 0
    stream, data = zlib.decompressobj(wbits=31), b""
    try:
        while data or (data := source.read(CHUNK)):
            if stream.eof:
                data = data.lstrip(b"\0")  # padding, e.g. of a tape
                if not data:
                    continue
                stream = zlib.decompressobj(wbits=31)
            piece = stream.decompress(data, CHUNK)
            left = stream.unused_data if stream.eof else stream.unconsumed_tail
            read, size, data = read + len(data) - len(left), size + len(piece), left
            members += stream.eof
            budget.check()
            _refuse_too_large(size, limits, "unpacked ")
            if size > FREE_OF_RATIO and size > limits.max_gzip_ratio * read:
                raise BadExposureFile(Code.GZIP_BOMB, f"{read} bytes of it unpack to {size}")
            if members > MOST_MEMBERS:
                raise BadExposureFile(Code.BAD_GZIP, f"it has more than {MOST_MEMBERS} gzip streams")
            target.write(piece)
        rest = b"" if stream.eof else stream.decompress(b"", CHUNK)  # what the last call had no room for
    except zlib.error as error:
        said = " ".join(str(error).split(":")[-1].split())
        raise BadExposureFile(Code.BAD_GZIP, f"it cannot be unpacked to its end: {said}") from error
    if not stream.eof:
        raise BadExposureFile(Code.BAD_GZIP, "the gzip stream ends too early")
    target.write(rest)
    target.flush()
    return size + len(rest)
