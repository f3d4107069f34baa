"""Catalogues of the whole sky as files, one for each HEALPix cell: a folder, or the same on a web server.

Known layouts, all nested: HATS (`Norder=K/Dir=D/Npix=N.parquet`, also with several files in a folder `Npix=N`), the
files of the bulk download of Gaia (`GaiaSource_FIRST-LAST.csv.gz`, cells of order 8), and `healpix-NNNNN.fits` of cells
of order 5.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import numpy as np
import requests

from processing.catalogs.base import heartbeat, joined
from processing.catalogs.services import LATER, Lost, Patience, Session
from processing.catalogs.tables import ENDINGS, star_pieces
from processing.errors import BadInput, CatalogAway
from products.sky import ORDER, separation
from products.storage import whole_file

_HATS = re.compile(r"(?:^|/)Norder=(\d+)/(?:Dir=\d+/)?Npix=(\d+)[./]")
_BULK = re.compile(r"(?:^|/)GaiaSource_(\d+)-(\d+)\.")
_FLAT = re.compile(r"(?:^|/)healpix-(\d+)\.")
_BULK_ORDER, _FLAT_ORDER = 8, 5
_PIECE = 1 << 20


@dataclass(frozen=True)
class Index:
    """The files of a catalogue: the numbers of order 29 that each begins and ends with (n,), int64."""

    low: np.ndarray
    high: np.ndarray
    names: tuple[str, ...]

    def touching(self, ra: float, dec: float, radius: float) -> list[str]:
        """Names of the files with cells that a cone (degrees) touches."""
        from astropy import units
        from cdshealpix.nested import cone_search

        depth = int(np.clip(np.floor(np.log2(58.6 / max(radius, 1e-4))) + 2, 0, 20))
        pixels, _, _ = cone_search(ra * units.deg, dec * units.deg, radius * units.deg, depth, flat=True)
        shift = 2 * (ORDER - depth)
        start = np.sort(pixels.astype(np.int64)) << shift
        after = np.searchsorted(start, self.high)  # cells that begin before the end of the file
        last = np.where(after > 0, start[np.maximum(after - 1, 0)] + (1 << shift), 0)
        return [self.names[i] for i in np.flatnonzero(last > self.low)]


@dataclass(frozen=True)
class Partitions:
    """Stars from the files of cells."""

    address: str
    patience: Patience

    def stars(self, ra: float, dec: float, radius: float) -> np.ndarray:
        """Stars in a cone, degrees: the array of `star_table`. BadInput where no file is of that part of the sky."""
        names = self._index().touching(ra, dec, radius)
        if not names:
            reason = f"it has no file for the sky around ra {ra:.4f}, dec {dec:+.4f}"
            raise BadInput(what=f"the star catalogue in {self.address}", reason=reason)
        return joined([piece for name in names for piece in self._near(name, ra, dec, radius)])

    def _near(self, name: str, ra: float, dec: float, radius: float) -> Iterator[np.ndarray]:
        if not self._is_remote:
            yield from _within(Path(self.address).expanduser() / name, ra, dec, radius)
            return
        with tempfile.TemporaryDirectory(prefix="seechange-catalog-") as folder:
            yield from _within(self._download(name, Path(folder)), ra, dec, radius)

    @property
    def _is_remote(self) -> bool:
        return self.address.startswith(("http://", "https://"))

    def _index(self) -> Index:
        return _remote_index(self) if self._is_remote else _local_index(self.address)

    def _download(self, name: str, folder: Path) -> Path:
        """A file of the server, whole. DiskFull where there is no room for it."""
        target = folder / Path(name).name

        def ask() -> Path:
            with (
                whole_file(target) as partial,
                Session(self.patience.timeout) as session,
                self._open(session, name) as answer,
                partial.open("wb") as file,
            ):
                for piece in answer.iter_content(_PIECE):
                    heartbeat.get()()
                    file.write(piece)
            return target

        return self.patience(ask, f"the star catalogue at {self.address}")

    def _open(self, session: Session, name: str) -> requests.Response:
        url = f"{self.address.rstrip('/')}/{quote(name, safe='/=')}"
        answer = session.get(url, stream=True)
        if answer.status_code >= 500 or answer.status_code in LATER:
            answer.close()
            raise Lost(f"it answers {answer.status_code} {answer.reason}")
        if answer.status_code >= 400:
            answer.close()
            reason = (
                f"it answers {answer.status_code} {answer.reason} to {name}; is the address that of a HATS catalogue?"
            )
            raise CatalogAway(what=f"the star catalogue at {self.address}", reason=reason, refused=True)
        return answer

    def read(self, name: str) -> str:
        """A small file of the server, as text."""

        def ask() -> str:
            with Session(self.patience.timeout) as session, self._open(session, name) as answer:
                return answer.content.decode()

        return self.patience(ask, f"the star catalogue at {self.address}")


def _within(path: Path, ra: float, dec: float, radius: float) -> Iterator[np.ndarray]:
    for piece in star_pieces(path):
        heartbeat.get()()
        yield piece[separation(ra, dec, piece["ra"], piece["dec"]) <= radius]


def files_of(folder: Path) -> list[Path]:
    """The table files in a folder and below, in order; those of cells only where there are any."""
    found = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(tuple(ENDINGS)) and path.is_file())
    found = [path for path in found if not path.name.startswith(("_", ".")) and path.name != "partition_info.csv"]
    of_cells = [path for path in found if _cells_of(path.relative_to(folder).as_posix())]
    if not (of_cells or found):
        raise BadInput(what=str(folder), reason=f"there is no table in it ({', '.join(ENDINGS)})")
    return of_cells or found


def _cells_of(name: str) -> tuple[int, int] | None:
    """The numbers of order 29 between which the stars of a file are, by its name; None where it does not tell."""
    if match := _HATS.search(name):
        order, first = int(match[1]), int(match[2])
        last = first
    elif match := _BULK.search(name):
        order, first, last = _BULK_ORDER, int(match[1]), int(match[2])
    elif match := _FLAT.search(name):
        order, first, last = _FLAT_ORDER, int(match[1]), int(match[1])
    else:
        return None
    if order > ORDER or not first <= last < 12 << 2 * order:
        return None
    return first << 2 * (ORDER - order), (last + 1) << 2 * (ORDER - order)


def _index_of(names: list[str], what: str) -> Index:
    cells = {name: found for name in names if (found := _cells_of(name))}
    if not cells:
        reason = "no file in it is named by its HEALPix cell (HATS: Norder=6/Dir=0/Npix=123.parquet); import it instead"
        raise BadInput(what=what, reason=reason)
    low, high = np.array(list(cells.values()), np.int64).T
    return Index(low, high, tuple(cells))


@cache
def _local_index(address: str) -> Index:
    folder = Path(address).expanduser()
    if not folder.is_dir():
        raise BadInput(what=f"the star catalogue in {address}", reason="there is no such folder")
    names = [path.relative_to(folder).as_posix() for path in files_of(folder)]
    return _index_of(names, f"the star catalogue in {address}")


@cache
def _remote_index(partitions: Partitions) -> Index:
    """What the table of contents of a HATS catalogue lists; its files are in `dataset`, or beside it in older ones."""
    what = f"the star catalogue at {partitions.address}"
    try:
        rows = list(csv.DictReader(io.StringIO(partitions.read("partition_info.csv"))))
        cells = [(int(row["Norder"]), int(row["Npix"])) for row in rows]
    except (KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise BadInput(what=what, reason="its partition_info.csv is not that of a HATS catalogue") from error
    base = "dataset/" if _is_new(partitions) else ""
    return _index_of([f"{base}Norder={k}/Dir={n // 10_000 * 10_000}/Npix={n}.parquet" for k, n in cells], what)


def _is_new(partitions: Partitions) -> bool:
    """Whether it is HATS, and not HiPSCat, its predecessor."""
    try:
        partitions.read("properties")
    except CatalogAway as error:
        if not error.details.get("refused"):  # it may have the file, and be away
            raise
        return False
    return True
