"""Frames on disk while they wait to be combined: any number of them, in the memory of one."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from django.conf import settings

from processing.algorithms.master_stacking import require_same_shape
from products.errors import DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT)


class ScratchStore:
    """Frames of one shape in a file without a name, which is gone with the process however that ends.

    It lies in `SEECHANGE_DATA/scratch`. What is read does not stay in the memory of the process.
    """

    def __init__(self) -> None:
        self._folder = Path(settings.SEECHANGE_DATA) / "scratch"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=self._folder, prefix="frames-")  # noqa: SIM115 - closed by __exit__
        self._shape: tuple[int, int] | None = None
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._number

    def add(self, frame: np.ndarray) -> None:
        """Append a frame. DiskFull where the disk does not take it."""
        if self._shape is None:
            self._shape = frame.shape
        require_same_shape(frame.shape, self._shape)
        try:
            self._file.seek(self._number * self._size)
            self._file.write(np.ascontiguousarray(frame, np.float32).data)
            self._file.flush()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            free = shutil.disk_usage(self._folder).free / 1e6
            written = self._number * self._size / 1e6
            raise DiskFull(path=str(self._folder), written_mb=written, free_mb=free) from error
        self._number += 1

    def frame(self, index: int) -> np.ndarray:
        """One frame."""
        return self.rows(0, self._shape[0], [index])[0]

    def rows(self, start: int, stop: int, indices: Sequence[int]) -> np.ndarray:
        """Some rows of some frames."""
        nx = self._shape[1]
        found = np.empty((len(indices), stop - start, nx), np.float32)
        for place, index in enumerate(indices):
            self._file.seek(index * self._size + start * nx * 4)
            self._file.readinto(found[place].data)
        return found

    @property
    def _size(self) -> int:
        """Bytes of a frame."""
        return self._shape[0] * self._shape[1] * 4
