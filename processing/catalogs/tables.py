"""Tables of stars in files, read in pieces: Parquet, FITS, CSV and ECSV (packed by gzip too), VOTable."""

from __future__ import annotations

import contextlib
import gzip
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table

from processing.admission.admitting import ensure_admitted
from processing.catalogs.base import has_magnitudes, joined
from processing.catalogs.columns import IDENTITIES, stars_of, used
from processing.errors import BadInput

ROWS = 250_000  # of a piece
_BLOCK = 1 << 25  # bytes of a piece of CSV
_KINDS = {
    "parquet": ("parquet", "parq", "pq"),
    "fits": ("fits", "fit", "fts", "fits.gz", "fit.gz", "fts.gz"),
    "csv": ("csv", "csv.gz", "ecsv", "ecsv.gz"),
    "votable": ("vot", "votable", "xml", "vot.gz", "xml.gz"),
}
ENDINGS = {f".{ending}": kind for kind, endings in _KINDS.items() for ending in endings}
_NULLS = ["", "null", "NULL", "nan", "NaN", "NAN", "--", "N/A"]


def read_catalog(path: Path) -> np.ndarray:
    """Stars of a table file as `star_table` gives them. BadInput says what is missing."""
    table = joined(list(star_pieces(Path(path))))
    if len(table) and not has_magnitudes(table):
        raise BadInput(what=str(path), reason="no magnitude in it is between -5 and 40")
    return table


def star_pieces(path: Path) -> Iterator[np.ndarray]:
    """The stars of a table file, some 10^5 at a time, so that a table of any size can be read; at least one piece."""
    empty = True
    for piece in pieces(path):
        yield stars_of(piece, str(path))
        empty = False
    if empty:
        raise BadInput(what=str(path), reason="there are no rows in it")


def pieces(path: Path) -> Iterator[Table]:
    """The rows of a table file in order, with the units of its columns; columns of no use are left out."""
    kind = kind_of(path)
    if not path.is_file():
        raise BadInput(what=str(path), reason="there is no such file")
    if kind == "fits":
        ensure_admitted(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from _READERS[kind](path)
    except BadInput:
        raise
    except Exception as error:  # every format has its own way of being unreadable
        text = " ".join(str(error).split())
        raise BadInput(what=str(path), reason=f"it cannot be read as a table: {text[:150]}") from error


def kind_of(path: Path) -> str:
    """How a file is written, by its ending; BadInput for an ending of no table."""
    name = path.name.lower()
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if name.endswith(ending):
            return ENDINGS[ending]
    text = "its ending tells no format; let it end in .fits, .parquet, .csv, .ecsv (or .csv.gz) or .vot (VOTable)"
    raise BadInput(what=str(path), reason=text)


def _parquet(path: Path) -> Iterator[Table]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        schema = file.schema_arrow
        units = _parquet_units(schema.metadata or {})
        units |= {field.name: field.metadata[b"unit"].decode() for field in schema if b"unit" in (field.metadata or {})}
        for batch in file.iter_batches(batch_size=ROWS, columns=used(schema.names) or None):
            yield _table(batch, units, schema.names)


def _parquet_units(metadata: dict[bytes, bytes]) -> dict[str, str]:
    """Units of the columns of a Parquet file that Astropy wrote."""
    import yaml
    from astropy.table.meta import get_header_from_yaml

    lines = metadata.get(b"table_meta_yaml")
    if not lines:
        return {}
    with contextlib.suppress(ValueError, TypeError, KeyError, yaml.YAMLError):
        header = get_header_from_yaml(lines.decode().split("\n"))
        return {column["name"]: str(column["unit"]) for column in header["datatype"] if column.get("unit")}
    return {}


def _fits(path: Path) -> Iterator[Table]:
    with fits.open(path, memmap=not path.name.lower().endswith(".gz")) as file:
        found = next((hdu for hdu in file if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
        if found is None:
            raise BadInput(what=str(path), reason="there is no table in it")
        units = {column.name: column.unit for column in found.columns if column.unit}
        nulls = {column.name: column.null for column in found.columns if column.null is not None}
        names = used(found.columns.names) or found.columns.names
        for start in range(0, max(len(found.data), 1), ROWS):
            rows, table = found.data[start : start + ROWS], Table(meta={"names": found.columns.names})
            for name in names:
                values = np.array(rows[name])
                if name in nulls and values.dtype.kind in "iu":
                    table[name] = MaskedColumn(values, mask=values == nulls[name], unit=units.get(name))
                else:
                    table[name] = Column(values, unit=units.get(name))
            yield table


def _csv(path: Path) -> Iterator[Table]:
    """Text with a separator; the comments at the head of ECSV give its units."""
    import pyarrow
    from pyarrow import csv

    head, names, delimiter = _csv_head(path)
    units = _csv_units(head, names, delimiter)
    reading = csv.ReadOptions(skip_rows=len(head) + 1, column_names=names, block_size=_BLOCK)
    parsing = csv.ParseOptions(delimiter=delimiter)

    def converting(types: Any) -> csv.ConvertOptions:
        return csv.ConvertOptions(
            include_columns=used(names) or None, null_values=_NULLS, strings_can_be_null=True, column_types=types
        )

    def stream() -> Any:
        return pyarrow.input_stream(str(path), compression="gzip" if path.name.lower().endswith(".gz") else None)

    types = {}  # as the first piece has them: numbers that are whole there need not be so further on
    with stream() as source, csv.open_csv(source, reading, parsing, converting(None)) as file:
        for field in file.schema:
            whole = pyarrow.types.is_integer(field.type) and field.name.lower() not in IDENTITIES
            types[field.name] = pyarrow.float64() if whole or pyarrow.types.is_null(field.type) else field.type
    with stream() as source, csv.open_csv(source, reading, parsing, converting(types)) as file:
        for batch in file:
            yield _table(batch, units, names)


def _csv_head(path: Path) -> tuple[list[str], list[str], str]:
    """The comments before the line of names, the names, and what separates them."""
    head: list[str] = []
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig") as file:  # spreadsheets begin their files with a mark of the encoding
        for line in file:
            if line.startswith("#") or not line.strip():
                head.append(line)
                continue
            is_ecsv = bool(head) and head[0].startswith("# %ECSV")
            if is_ecsv:
                delimiter = "," if any(re.match(r"# delimiter: .*,", one) for one in head) else " "
            else:
                delimiter = next((mark for mark in ",;\t| " if mark in line.strip()), ",")
            return head, [name.strip('" ') for name in line.rstrip("\r\n").split(delimiter)], delimiter
    raise BadInput(what=str(path), reason="there is no line of names in it")


def _csv_units(head: list[str], names: list[str], delimiter: str) -> dict[str, str]:
    """Units that the comments at the head of ECSV give."""
    if not head or not head[0].startswith("# %ECSV"):
        return {}
    empty = Table.read([*head, delimiter.join(f'"{name}"' for name in names)], format="ascii.ecsv")
    return {name: str(empty[name].unit) for name in empty.colnames if empty[name].unit is not None}


def _votable(path: Path) -> Iterator[Table]:
    yield Table.read(path, format="votable")


def _table(batch: Any, units: dict[str, str], names: list[str]) -> Table:
    """A piece of Arrow as a table: numbers with NaN where they are unknown, whole numbers as they are."""
    table = Table(meta={"names": names})
    for name, values in zip(batch.schema.names, batch.columns):
        table[name] = Column(values.to_numpy(zero_copy_only=False), unit=units.get(name))
    return table


_READERS = {"parquet": _parquet, "fits": _fits, "csv": _csv, "votable": _votable}
