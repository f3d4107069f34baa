"""Hold the files against the rows: what is missing, damaged or left over, here and in the archive."""

from __future__ import annotations

import enum
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from products import storage
from products.selectors.files import FoundFile, RecordedFile, count_recorded, files_in, recorded_files

Tell = Callable[[str, int], Callable[[int], None]]  # (title, total) -> tick(number done)
Choose = Callable[[str], bool]  # whether the file with this key is read and hashed
GRACE_HOURS = 48.0  # what is younger may belong to something that runs


class Trouble(enum.Enum):
    """What can be wrong: a title, whether something is to be done, and what."""

    NO_PATH = "rows that name no file", True, "make the product again"
    BAD_PATH = "rows whose path leads out of the data folder", True, "somebody changed the database by hand"
    MISSING = "rows without file", True, "restore the file from a backup, or make the product again"
    WRONG_SIZE = "files of the wrong size", True, "--repair takes the archived file where it is whole"
    DAMAGED = "files with another checksum", True, "--repair takes the archived file where it is whole"
    UNREADABLE = "files that cannot be read", True, "look at the disk and at the permissions"
    ONLY_ARCHIVED = "files that are only in the archive", False, "--repair fetches them; reading one does so too"
    NOT_ARCHIVED = "files missing in the archive", True, "--repair copies the local file where it is whole"
    ARCHIVE_DIFFERS = "archived files that differ", True, "--repair copies the local file where it is whole"
    ORPHAN = "files without row", True, "--repair deletes them"
    ARCHIVE_ORPHAN = "archived files without row", True, "--repair deletes them"
    PARTIAL = "temporary files of what was interrupted", True, "--repair deletes them"
    YOUNG = "files without row that are younger than the grace time", False, "something may be writing them"
    BADNESS = "products with other badness than what they were made of", True, "--repair hands it on"
    ALERT_WAITS = "alerts that wait", True, "manage.py send_alerts"
    ALERT_DEAD = "alerts that could not be sent", True, "/alerts/ says why; manage.py send_alerts --dead tries again"

    def __init__(self, title: str, is_problem: bool, remedy: str) -> None:
        self.title, self.is_problem, self.remedy = title, is_problem, remedy


@dataclass
class Finding:
    """One thing that is not as it should be."""

    trouble: Trouble
    what: str  # path of the file, or the row
    detail: str = ""
    record: RecordedFile | None = None
    row: tuple[type, object] | None = None  # model and primary key of a product with wrong badness
    repaired: bool = False

    @property
    def is_open(self) -> bool:
        """A problem that is still there."""
        return self.trouble.is_problem and not self.repaired


def every_file(key: str) -> bool:
    """Hash every file."""
    return True


def no_file(key: str) -> bool:
    """Hash no file: existence and size only."""
    return False


def turn_of(days: int, today: int | None = None) -> Choose:
    """Hash a part of the files each day, so that each has its turn once in `days` days."""
    day = int(time.time() // 86400) if today is None else today
    return lambda key: zlib.crc32(key.encode()) % days == day % days


@dataclass
class Inventory:
    """The files below one folder, listed before the rows are read: a row that comes later has its file in the list."""

    folder: Path
    files: dict[str, FoundFile]

    @classmethod
    def of(cls, folder: Path) -> Inventory:
        """List a folder; one that does not exist is empty."""
        return cls(folder, {found.key: found for found in files_in(folder)})


def check_files(hashed: Choose, grace_hours: float, tell: Tell) -> Iterator[Finding]:
    """Everything that is wrong with files and rows of files."""
    local, archive = Inventory.of(storage.root()), storage.archive_root()
    archived = Inventory.of(archive) if archive else None
    tick, recorded = tell("files of rows", count_recorded()), set()
    for record in recorded_files():
        recorded.add(record.key)
        yield from check_record(record, hashed)
        tick(0 if record.companion else 1)
    yield from _left_over(local, recorded, grace_hours, Trouble.ORPHAN)
    if archived:
        yield from _left_over(archived, recorded, grace_hours, Trouble.ARCHIVE_ORPHAN)


def check_record(record: RecordedFile, hashed: Choose) -> list[Finding]:
    """What is wrong with the file of one row, here and in the archive."""
    if not record.key:
        return [Finding(Trouble.NO_PATH, record.row, record=record)]
    try:
        path, archived = storage.local_path(record.key), storage.archive_path(record.key)
    except ValueError as error:
        return [Finding(Trouble.BAD_PATH, record.row, str(error), record)]
    whole = hashed(record.key)
    here, detail = condition(path, record, whole)
    there, archive_detail = condition(archived, record, whole) if archived else (None, "")
    found: list[Finding] = []
    if here is Trouble.MISSING:
        if not record.still_there():
            return []
        here = Trouble.ONLY_ARCHIVED if archived and there is None else here
    if here:
        found.append(Finding(here, record.key, detail or record.row, record))
    if there is Trouble.MISSING and here is not Trouble.MISSING:
        found.append(Finding(Trouble.NOT_ARCHIVED, record.key, record.row, record))
    elif there and there is not Trouble.MISSING:
        found.append(Finding(Trouble.ARCHIVE_DIFFERS, record.key, archive_detail, record))
    return found


def condition(path: Path, record: RecordedFile, hashed: bool) -> tuple[Trouble | None, str]:
    """What is wrong with the file at `path` by what was recorded of it (None: nothing), and the details."""
    try:
        size = path.stat().st_size
        if record.size is not None and size != record.size:
            return Trouble.WRONG_SIZE, f"{size} bytes, {record.size} were recorded"
        if hashed and (digest := storage.sha256(path)) != record.sha256:
            return Trouble.DAMAGED, f"checksum {digest[:12]}, {record.sha256[:12]} was recorded"
    except FileNotFoundError:
        return Trouble.MISSING, ""
    except OSError as error:
        return Trouble.UNREADABLE, error.strerror or str(error)
    return None, ""


def _left_over(inventory: Inventory, recorded: set[str], grace_hours: float, orphan: Trouble) -> Iterator[Finding]:
    oldest = time.time() - 3600 * grace_hours
    for key, found in inventory.files.items():
        if key in recorded:
            continue
        trouble = Trouble.PARTIAL if found.is_partial else orphan
        if found.changed > oldest:
            trouble = Trouble.YOUNG
        yield Finding(trouble, str(inventory.folder / key), f"{found.size / 1e6:.1f} MB")
