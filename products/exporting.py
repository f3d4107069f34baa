"""Tables as files of other programs: CSV, FITS, ECSV (CSV with units) and JSON."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from products.fits import printable
from products.storage import whole_file

MEDIA = {
    "csv": "text/csv; charset=utf-8", "ecsv": "text/plain; charset=utf-8", "json": "application/json",
    "fits": "application/fits", "vot": "application/x-votable+xml",
}  # fmt: skip
FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".json": "json"}


def format_of(path: Path) -> str:
    """The format by the ending of the name; ValueError for one that is not written."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise ValueError(f"{path.name} ends in none of {', '.join(FORMATS)}: the ending chooses the format")
    return FORMATS[ending]


def write(table: Table, path: Path) -> None:
    """Write a table whole, or not at all; a file of that name is replaced."""
    form = format_of(path)
    with whole_file(path) as partial:
        if form == "json":
            partial.write_text(json.dumps(as_json(table), indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        elif form == "fits":
            fits.HDUList([fits.PrimaryHDU(), _hdu(table)]).writeto(partial, checksum=True)
        else:
            table.write(partial, format=form)


def _hdu(table: Table) -> fits.BinTableHDU:
    """The table as an extension. Units are set as text: FITS readers take any, astropy would leave some out."""
    copy = table.copy(copy_data=False)
    copy.meta = {key: printable(str(value)) for key, value in table.meta.items()}
    for column in copy.itercols():
        column.unit, column.description = None, printable(column.description or "")
    hdu = fits.table_to_hdu(copy)
    for column in hdu.columns:
        column.unit = str(table[column.name].unit or "") or None
    return hdu


def as_bytes(table: Table, ending: str) -> bytes:
    """The table as a file with this ending: csv, ecsv, json, fits or vot; ValueError for any other."""
    if ending == "csv":
        return as_csv(table).encode()
    if ending == "json":
        return json.dumps(as_json(table), indent=1, allow_nan=False, ensure_ascii=False).encode() + b"\n"
    buffer = io.BytesIO()
    if ending == "fits":
        fits.HDUList([fits.PrimaryHDU(), _hdu(table)]).writeto(buffer, checksum=True)
    elif ending == "vot":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units that VOTable has no word for stay as text
            table.write(buffer, format="votable")
    elif ending == "ecsv":
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        return text.getvalue().encode()
    else:
        raise ValueError(f"there is no format {ending}; there are: {', '.join(MEDIA)}")
    return buffer.getvalue()


def as_csv(table: Table) -> str:
    """The table as CSV with one line of names."""
    buffer = io.StringIO()
    table.write(buffer, format="ascii.csv")
    return buffer.getvalue().replace("\r\n", "\n")


def as_json(table: Table) -> dict[str, Any]:
    """Units, explanations and rows; null where there is no value."""
    columns = {name: [_plain(value) for value in table[name]] for name in table.colnames}
    return {
        **table.meta,
        "units": {name: str(table[name].unit or "") for name in table.colnames},
        "descriptions": {name: table[name].description for name in table.colnames},
        "rows": [dict(zip(columns, values)) for values in zip(*columns.values())],
    }


def _plain(value: Any) -> Any:
    if np.ma.is_masked(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
