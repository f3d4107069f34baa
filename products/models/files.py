"""Rows with a file: planes that load on first touch and are written together, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits as astropy_fits
from django.db import models

from products import fits, storage


class Plane:
    """An array of a product: an extension of its file, loaded on first touch.

    Image planes are arrays; with `table=True` the plane is a structured array, stored as a binary table.
    """

    def __init__(
        self,
        extension: str,
        *,
        unit: str = "",
        compression: str = "exact",
        table: bool = False,
        help: str = "",
    ) -> None:
        self.extension, self.unit, self.compression, self.table, self.help = (
            extension,
            unit,
            compression,
            table,
            help,
        )

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, row: FileBacked | None, owner: type | None = None) -> Any:
        if row is None:
            return self
        held = row.__dict__.setdefault("_planes", {})
        if self.name not in held:
            if not row.filepath:
                return None
            held[self.name] = fits.read_plane(row.path(), self.extension)
        return held[self.name]

    def __set__(self, row: FileBacked, value: np.ndarray | None) -> None:
        row.__dict__.setdefault("_planes", {})[self.name] = value


class FileBacked(models.Model):
    """A row with one file. The file is written before the row, and never changed after."""

    UNITS: dict[str, str] = {}  # units of table columns
    FILE_IS_OPTIONAL = False  # whether a row may have nothing to write

    filepath = models.CharField(
        max_length=300,
        blank=True,
        editable=False,
        db_index=True,
        help_text="Path of the file in the data folder.",
    )
    sha256 = models.CharField(max_length=64, blank=True, editable=False, help_text="Checksum of the file, hexadecimal.")
    filesize = models.BigIntegerField(null=True, blank=True, editable=False, help_text="Size of the file, bytes.")

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        planes = {name: kwargs.pop(name) for name in list(kwargs) if name in self.plane_declarations()}
        super().__init__(*args, **kwargs)
        for name, value in planes.items():
            setattr(self, name, value)

    @classmethod
    def plane_declarations(cls) -> dict[str, Plane]:
        """The declared planes by name, in the order of declaration."""
        found: dict[str, Plane] = {}
        for owner in reversed(cls.__mro__):
            found |= {name: value for name, value in vars(owner).items() if isinstance(value, Plane)}
        return found

    def path(self) -> Path:
        """The local file; fetched from the archive where it is missing."""
        return storage.fetch(self.filepath, self.sha256)

    def file_header(self) -> astropy_fits.Header:
        """The primary header to write; products add what other tools need."""
        return astropy_fits.Header()

    def plane_cards(self, shape: tuple[int, ...]) -> astropy_fits.Header | None:
        """Further cards for the extension of a plane of this shape, e.g. its WCS."""
        return None

    def file_key(self) -> str:
        """The path for the file, made from the row's own id."""
        raise NotImplementedError

    def write_file(self) -> None:
        """Write all planes that are held; sets path, checksum and size. The row then holds what a reader will get."""
        hdus, stored = [], {}
        for name, plane in self.plane_declarations().items():
            value = self.__dict__.get("_planes", {}).get(name)
            if value is None:
                continue
            if plane.table:
                hdus.append(fits.table_hdu(plane.extension, value, self.UNITS))
            else:
                cards = self.plane_cards(value.shape)
                hdu, stored[name] = fits.image_hdu(plane.extension, value, plane.compression, plane.unit, cards)
                hdus.append(hdu)
        self.filepath = key = self.file_key()  # known before it exists, so that whoever gives up can remove it
        self.sha256, self.filesize = storage.store(key, lambda path: fits.write(path, self.file_header(), hdus))
        self.__dict__.setdefault("_planes", {}).update(stored)

    def part(self, names: Sequence[str], rows: slice, columns: slice) -> dict[str, np.ndarray]:
        """A part of image planes by name; of those that are not held only this part is read, and not kept."""
        held = self.__dict__.get("_planes", {})
        extensions = {name: plane.extension for name, plane in self.plane_declarations().items() if name in names}
        missing = [extensions[name] for name in names if name not in held]
        read = fits.read_part(self.path(), missing, rows, columns) if missing else {}
        return {name: held[name][rows, columns] if name in held else read[extensions[name]] for name in names}

    def free(self) -> None:
        """Let go of the arrays; they load again on the next touch."""
        if self.filepath:
            self.__dict__.pop("_planes", None)
