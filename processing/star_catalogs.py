"""Keep star catalogues: what was fetched of them, and tables that people bring, of one field or of the whole sky."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from django.conf import settings

from processing.algorithms.sky import from_tangent_plane, tangent_plane
from processing.catalogs.base import StarCatalogSource, has_magnitudes, joined
from processing.catalogs.tables import star_pieces
from processing.errors import BadInput, EmptyCatalog
from processing.provenances import keep_one
from products.errors import DiskFull
from products.models import CatalogExcerpt
from products.services.keeping import keep
from products.sky import cell_corners, cells, separation, unit_vectors

IMPORT = ("catalog import", (1, 1, 0))
ONE_PIECE, FIELD = 250_000, 1.5  # stars, and degrees around their middle, up to which a table is kept as it is
_PARTS = 2  # orders finer: a cell that has stars in each of its 16 parts is covered
Progress = Callable[[str], None]


def keep_excerpt(
    table: np.ndarray,
    name: str,
    epoch: float,
    *,
    faintest: float | None = None,
    place: tuple[int, int] | None = None,
    is_whole: bool = False,
) -> CatalogExcerpt:
    """A row for stars, an array of `star_table`; the same stars again give the same row.

    `faintest` is the magnitude down to which they were asked for, where somebody was asked; `place` is order and number
    of their HEALPix cell where they are of one, of all of it where it `is_whole`.
    """
    if len(table) == 0 and not is_whole:
        raise EmptyCatalog(catalog=name, found=0, needed=1, hint="the table has no rows with a position")
    process, version = IMPORT
    limit = {} if faintest is None else {"faintest": faintest}
    provenance = keep_one(process, version, {"catalog": name, "epoch": epoch, **limit})
    order, cell = place or (None, None)
    digest = hashlib.sha256(np.ascontiguousarray(table).tobytes())
    if place:  # two cells without stars are two
        digest.update(f"{order}/{cell}".encode())
    same = {"contents_sha256": digest.hexdigest(), "provenance": provenance}
    if row := CatalogExcerpt.objects.filter(**same).first():
        return row
    bands = [column.removeprefix("mag_") for column in table.dtype.names if column.startswith("mag_")]
    mags = np.concatenate([table[f"mag_{band}"] for band in bands]) if bands else np.zeros(0)
    mags = mags[np.isfinite(mags)]
    row = CatalogExcerpt(
        origin=name,
        epoch=epoch,
        n_stars=len(table),
        filters=bands,
        order=order,
        cell=cell,
        limit=faintest,
        is_whole=is_whole,
        brightest=float(mags.min()) if mags.size else None,
        faintest=float(mags.max()) if mags.size else None,
        contents_sha256=same["contents_sha256"],
        table=table,
    ).set_footprint(cell_corners(*place) if is_whole else bounding_corners(table["ra"], table["dec"]))
    if keep([row], provenance):
        return row
    return CatalogExcerpt.objects.get(**same)


def bounding_corners(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Corners (4, 2), degrees, of a box along east and north of their middle around positions (degrees) near it.

    Its edges are great circles, as those of footprints are; neither RA 0 nor a pole is a special place.
    """
    middle = _middle(ra, dec)
    xi, eta = tangent_plane(ra, dec, *middle)
    pad = 0.36  # arcsec
    (left, right), (bottom, top) = ((values.min() - pad, values.max() + pad) for values in (xi, eta))
    return np.stack(from_tangent_plane([left, right, right, left], [bottom, bottom, top, top], *middle), axis=1)


def _middle(ra: np.ndarray, dec: np.ndarray) -> tuple[float, float]:
    """The direction in which positions (n,) are on average, degrees."""
    x, y, z = unit_vectors(ra, dec).mean(axis=0)
    return float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def in_order(table: np.ndarray) -> np.ndarray:
    """The stars in an order that depends on nothing but them."""
    mags = [table[name] for name in table.dtype.names if name.startswith("mag_")]
    return table[np.lexsort([*mags[:1], table["ra"], table["dec"]])]


# Tables that people bring -----------------------------------------------------------------------------------


def import_tables(
    paths: Iterable[Path], name: str, epoch: float, progress: Progress = lambda text: None
) -> list[CatalogExcerpt]:
    """Keep the stars of table files: those of one field in one excerpt, others by HEALPix cell.

    All files are read before anything is kept. Memory holds a piece of a file or one cell; what is between waits in the
    folder for scratch. An import that was interrupted goes on when it is begun again: what is kept is found.
    """
    scratch = Path(settings.SEECHANGE_DATA) / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="catalog-", dir=scratch) as folder:
        spool = _Spool(Path(folder))
        for path in paths:
            for piece in star_pieces(path):
                spool.add(piece)
            progress(f"{path.name}: {spool.stars} stars so far")
        if spool.stars and not spool.measured:
            raise BadInput(what=", ".join(map(str, paths))[:200], reason="no magnitude in it is between -5 and 40")
        if (table := spool.field()) is not None:
            return [keep_excerpt(table, name, epoch)]
        rows = []
        for cell, table in spool.cells():
            parts = np.unique(cells(table["ra"], table["dec"], spool.order + _PARTS))
            whole = len(parts) == 4**_PARTS
            row = keep_excerpt(in_order(table), name, epoch, place=(spool.order, cell), is_whole=whole)
            row.free()  # or all cells would be in memory at the end
            rows.append(row)
            if len(rows) % 100 == 0:
                progress(f"{len(rows)} cells are kept")
        return rows


class _Spool:
    """Stars on their way into cells: in memory while they may be one field, then in a file for each cell."""

    order = StarCatalogSource.cell_order

    def __init__(self, folder: Path) -> None:
        self.folder, self.stars, self.measured = folder, 0, False
        self._held: list[np.ndarray] = []
        self._spread: set[int] = set()

    def add(self, piece: np.ndarray) -> None:
        """Take more stars."""
        self.stars += len(piece)
        self.measured = self.measured or has_magnitudes(piece)
        self._held.append(piece)
        if self.stars > ONE_PIECE:
            self._write()

    def field(self) -> np.ndarray | None:
        """All stars in the order in which they came, where they are those of one field; None otherwise."""
        if self._spread:
            return None
        table = joined(self._held)
        if len(table) == 0:
            return table
        middle = _middle(table["ra"], table["dec"])
        return table if separation(*middle, table["ra"], table["dec"]).max() <= FIELD else None

    def cells(self) -> Iterator[tuple[int, np.ndarray]]:
        """The number of each cell that has stars, in order, and its stars; a row that came twice is there once."""
        self._write()
        for cell in sorted(self._spread):
            path, tables = self._path(cell), []
            with path.open("rb") as file:
                while file.tell() < path.stat().st_size:
                    tables.append(np.load(file))
            path.unlink()
            yield cell, without_doubles(joined(tables))

    def _write(self) -> None:
        if not self._held:
            return
        table = joined(self._held)
        self._held = []
        numbers = cells(table["ra"], table["dec"], self.order)
        order = np.argsort(numbers, kind="stable")
        found, starts = np.unique(numbers[order], return_index=True)
        for cell, rows in zip(found.tolist(), np.split(order, starts[1:])):
            try:
                self._path(cell).parent.mkdir(exist_ok=True)
                with self._path(cell).open("ab") as file:
                    np.save(file, table[rows])
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                free = shutil.disk_usage(self.folder).free / 1e6
                written = self.stars * table.itemsize / 1e6
                raise DiskFull(path=str(self.folder), written_mb=written, free_mb=free) from error
            self._spread.add(cell)

    def _path(self, cell: int) -> Path:
        return self.folder / str(cell // 1000) / f"{cell}.npy"


def without_doubles(table: np.ndarray) -> np.ndarray:
    """Each star once: the first of those at one place, to a milliarcsecond, in the order in which they came."""
    ra, dec = (np.round(table[name] * 3.6e6).astype(np.int64) for name in ("ra", "dec"))
    _, first = np.unique((ra << 31) + dec, return_index=True)
    return table[np.sort(first)]
