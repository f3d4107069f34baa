"""Files of products: written whole or not at all, checked when fetched, with an optional archive behind them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from products.errors import CannotWrite, DamagedFile, DiskFull, MissingFile

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def root() -> Path:
    """The folder that the paths in rows are relative to."""
    return Path(settings.SEECHANGE_DATA) / "files"


def archive_root() -> Path | None:
    """The directory of the archive, or None where there is none."""
    return Path(settings.SEECHANGE_ARCHIVE) if settings.SEECHANGE_ARCHIVE else None


def local_path(key: str) -> Path:
    """Where the file `key` is in the data folder; a key that leads out of it is refused."""
    return _inside(root(), key)


def archive_path(key: str) -> Path | None:
    """Where the file `key` is in the archive, None where there is no archive; a key that leads out is refused."""
    archive = archive_root()
    return _inside(archive, key) if archive else None


def quarantine_path(key: str) -> Path:
    """Where the file `key` is among those that were not let in; a key that leads out is refused."""
    return _inside(Path(settings.SEECHANGE_DATA) / "quarantine", key)


def _inside(folder: Path, key: str) -> Path:
    folder = folder.resolve()
    path = folder if "\0" in key else (folder / key).resolve()
    if path == folder or not path.is_relative_to(folder):
        raise ValueError(f"{key!r} is not the path of a file inside {folder}")
    return path


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def whole_file(path: Path, *, folder_too: bool = True) -> Iterator[Path]:
    """A temporary name beside `path`; what is written there takes the final name at the end, or vanishes on failure.

    DiskFull or CannotWrite where the disk does not take it. Who writes many files into a folder may call `settle` for
    it once, instead of `folder_too`: until then their names may be lost where the power fails.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(path)
        if folder_too:
            settle(path.parent)
    except OSError as error:
        # astropy reports a full disk as an OSError without errno, so its text counts too
        if error.errno in _FULL or "not enough space" in str(error).lower():
            raise _disk_full(path, partial) from error
        if error.errno in _FORBIDDEN:
            raise CannotWrite(path=str(path), reason=os.strerror(error.errno)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _disk_full(path: Path, partial: Path) -> DiskFull:
    folder = next(folder for folder in path.parents if folder.exists())
    written = partial.stat().st_size if partial.exists() else 0
    return DiskFull(path=str(path), written_mb=written / 1e6, free_mb=shutil.disk_usage(folder).free / 1e6)


def settle(folder: Path) -> None:
    """Bring the names of the files in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def store(key: str, write: Callable[[Path], None]) -> tuple[str, int]:
    """Write the file `key` with `write(path)`, copy it to the archive; returns its SHA-256 and size in bytes."""
    path = local_path(key)
    with whole_file(path) as partial:
        write(partial)
    digest = _sha256_now(path)  # remembered: who reads the file next in this process need not compute it again
    if archive_root():
        upload(key, digest)
    return digest, path.stat().st_size


def adopt(key: str, source: Path) -> tuple[str, int]:
    """Take a file from outside into the data folder: linked where the file system allows it, copied otherwise."""

    def link_or_copy(partial: Path) -> None:
        try:
            os.link(source.resolve(), partial)  # a link to a link would lead out of the data folder
        except OSError:
            shutil.copyfile(source, partial)

    return store(key, link_or_copy)


def fetch(key: str, digest: str) -> Path:
    """The local path of the file `key`, with the recorded contents.

    One that is missing comes from the archive, and so does one that is damaged; DamagedFile where there is no other.
    """
    path = local_path(key)
    if not path.exists():
        return restore(key, digest)
    found = _sha256_now(path)
    if found == digest or not digest:
        return path
    archived = archive_path(key)
    if archived is None or not archived.exists():
        raise DamagedFile(path=key, found=found[:12], expected=digest[:12])
    return restore(key, digest)


def _sha256_now(path: Path) -> str:
    status = path.stat()
    return _sha256_of_state(path, status.st_ino, status.st_size, status.st_ctime_ns)


@lru_cache(maxsize=10_000)
def _sha256_of_state(path: Path, inode: int, size: int, changed: int) -> str:
    """SHA-256 of a file, computed again only when the file has changed."""
    return sha256(path)


def restore(key: str, digest: str) -> Path:
    """Put the archived file in the place of the local one, verified; MissingFile where the archive has none."""
    archived = archive_path(key)
    if archived is None or not archived.exists():
        raise MissingFile(path=key)
    return _copy(archived, local_path(key), digest)


def upload(key: str, digest: str) -> Path:
    """Put the local file in the place of the archived one, verified; MissingFile where either is not there."""
    path, archived = local_path(key), archive_path(key)
    if archived is None or not path.exists():
        raise MissingFile(path=key)
    return _copy(path, archived, digest)


def _copy(source: Path, target: Path, digest: str) -> Path:
    """Copy a file whole; what was written must have the checksum."""
    with whole_file(target) as partial:
        shutil.copyfile(source, partial)
        found = sha256(partial)
        if found != digest:
            raise DamagedFile(path=str(source), found=found[:12], expected=digest[:12])
    return target


def remove(key: str) -> None:
    """Delete the local and the archived file; a missing one is no error."""
    for path in filter(None, (local_path(key), archive_path(key))):
        path.unlink(missing_ok=True)
