"""Files as the rows know them, and files as they lie in a folder."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.models import Model, QuerySet

from products.models import Exposure
from products.models.files import FileBacked
from products.selectors.tags import product_models

PARTIAL = ".part"  # ending of the temporary names of `storage.whole_file`


@dataclass(frozen=True)
class RecordedFile:
    """One file that a row names."""

    key: str  # path in the data folder; empty where the row names none
    sha256: str
    size: int | None  # bytes; None where it was not recorded
    model: type[Model]
    pk: Any
    companion: str = ""  # role of a companion of an exposure

    @property
    def row(self) -> str:
        """The row, for people."""
        role = f" ({self.companion})" if self.companion else ""
        return f"{self.model._meta.verbose_name} {self.pk}{role}"

    def still_there(self) -> bool:
        """Whether the row still names this file."""
        rows = self.model.objects.filter(pk=self.pk)
        return rows.exists() if self.companion else rows.filter(filepath=self.key).exists()


@dataclass(frozen=True)
class FoundFile:
    """One file in a folder."""

    key: str  # path relative to the folder
    size: int
    changed: float  # when its contents or its name changed last, Unix time

    @property
    def is_partial(self) -> bool:
        """Whether it has a name that is only used while a file is written."""
        name = self.key.rpartition("/")[2]
        return name.startswith(".") and name.endswith(PARTIAL)


def file_models() -> list[type[FileBacked]]:
    """The models whose rows have a file."""
    return [model for model in product_models() if issubclass(model, FileBacked)]


def count_recorded() -> int:
    """How many rows have a file of their own; companions come on top."""
    return sum(_with_file(model).count() for model in file_models())


def _with_file(model: type[FileBacked]) -> QuerySet:
    """The rows that should have a file."""
    return model.objects.exclude(filepath="") if model.FILE_IS_OPTIONAL else model.objects.all()


def recorded_files() -> Iterator[RecordedFile]:
    """Every file that a row names, companions of exposures included."""
    for model in file_models():
        rows = _with_file(model).order_by().values_list("pk", "filepath", "sha256", "filesize")
        for pk, key, digest, size in rows.iterator(chunk_size=2000):
            yield RecordedFile(key, digest, size, model, pk)
    companions = Exposure.objects.exclude(companions={}).order_by().values_list("pk", "companions")
    for pk, roles in companions.iterator(chunk_size=2000):
        for role, found in roles.items():
            yield RecordedFile(found.get("path", ""), found.get("sha256", ""), None, Exposure, pk, role)


def recorded_among(keys: Collection[str]) -> set[str]:
    """Those of `keys` that rows name now."""
    found: set[str] = set()
    ordered = sorted(keys)
    for start in range(0, len(ordered), 500):
        batch = ordered[start : start + 500]
        for model in file_models():
            found.update(model.objects.filter(filepath__in=batch).values_list("filepath", flat=True))
    for roles in Exposure.objects.exclude(companions={}).values_list("companions", flat=True).iterator():
        found.update(one.get("path", "") for one in roles.values())
    return found & set(keys)


def files_in(folder: Path) -> Iterator[FoundFile]:
    """Every file below `folder`; one that vanishes meanwhile is left out, links to folders are not followed."""
    pending = [folder]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except FileNotFoundError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                    continue
                facts = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            # A file that was linked in from elsewhere keeps its old date; only the inode says when it came.
            changed = max(facts.st_mtime, facts.st_ctime)
            yield FoundFile(Path(entry.path).relative_to(folder).as_posix(), facts.st_size, changed)
