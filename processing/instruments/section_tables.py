"""What is known of the CCDs of an instrument between two dates, from tables: which are dead, what headers do not say.

The table of an instrument is `tables/<instrument>_sections.ecsv` here; rows of an archive's own, in the same form, are
in `instruments/<instrument>_sections.ecsv` in the data folder and come after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from django.conf import settings

from processing.errors import BadInput

TABLES = Path(__file__).parent / "tables"
VALUES = ("gain", "read_noise", "saturation")  # electron/ADU, electron, ADU as read
WORDS = ("filter", "readout", "comment")
COLUMNS = ("section", "amplifier", "valid_from", "valid_to", "is_usable", *WORDS, *VALUES, "source")


@dataclass(frozen=True)
class SectionState:
    """A CCD at some date; what nobody knows is empty."""

    is_usable: bool = True
    filter: str = ""  # short name of what is fixed in front of it
    readout: str = ""  # the side to which it is read, where headers do not say
    comment: str = ""  # what happened to it
    amplifiers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # name ("": all) to VALUES

    def amplifier(self, name: str) -> dict[str, float]:
        """What is known of one amplifier: gain (electron/ADU), read_noise (electron), saturation (ADU as read)."""
        return {**self.amplifiers.get("", {}), **self.amplifiers.get(name, {})}


def table_path(instrument: str, kind: str) -> Path:
    """The table of an instrument that comes with the code."""
    return TABLES / f"{instrument}_{kind}.ecsv"


def own_path(instrument: str, kind: str) -> Path:
    """The table of an instrument that the archive may bring."""
    return Path(settings.SEECHANGE_DATA) / "instruments" / f"{instrument}_{kind}.ecsv"


def table_state(instrument: str, section: str, mjd: float) -> SectionState:
    """What the tables say of a CCD on a date (MJD, UTC); later rows go before earlier ones where both say something.

    BadInput where a table cannot be used.
    """
    said: dict[str, Any] = {}
    amplifiers: dict[str, dict[str, float]] = {}
    for row in _rows_of(instrument):
        if not fnmatchcase(section, row["section"]) or not row["valid_from"] <= mjd <= row["valid_to"]:
            continue
        said |= {name: row[name] for name in ("is_usable", *WORDS) if name in row}
        values = {name: row[name] for name in VALUES if name in row}
        if values:
            amplifiers.setdefault(row.get("amplifier", ""), {}).update(values)
    return SectionState(amplifiers=amplifiers, **said)


def _rows_of(instrument: str) -> list[dict[str, Any]]:
    paths = [table_path(instrument, "sections"), own_path(instrument, "sections")]
    return [row for path in paths if path.is_file() for row in _rows(path, path.stat().st_mtime_ns)]


def read_table(path: Path) -> Table:
    """An ECSV table; BadInput where it is none."""
    try:
        return Table.read(path, format="ascii.ecsv")
    except Exception as error:  # the reader raises many kinds of its own
        reason = f"it cannot be read as an ECSV table: {' '.join(str(error).split())[:200]}"
        raise BadInput(what=str(path), reason=reason) from error


@lru_cache(maxsize=16)
def _rows(path: Path, changed: int) -> tuple[dict[str, Any], ...]:
    table = read_table(path)
    if unknown := [name for name in table.colnames if name not in COLUMNS]:
        raise BadInput(what=str(path), reason=f"unknown column {', '.join(unknown)}; there are: {', '.join(COLUMNS)}")
    if "section" not in table.colnames:
        raise BadInput(what=str(path), reason="it has no column 'section'")
    return tuple(_row(row, f"{path} row {number}") for number, row in enumerate(table, start=1))


def _row(row: Any, where: str) -> dict[str, Any]:
    """The cells of a row that say something; open dates are infinite."""
    cells = {name: row[name] for name in row.colnames if row[name] is not np.ma.masked and str(row[name]).strip()}
    if "section" not in cells:
        raise BadInput(what=where, reason="it names no section")
    found: dict[str, Any] = {"valid_from": -np.inf, "valid_to": np.inf}
    for name, value in cells.items():
        if name == "is_usable":
            if not isinstance(value, bool | np.bool_):
                raise BadInput(what=where, reason=f"is_usable = {value!r} must be True or False (datatype bool)")
            found[name] = bool(value)
        elif name in VALUES or name.startswith("valid_"):
            found[name] = _number(name, value, where)
        else:
            found[name] = str(value).strip()
    if found["valid_from"] > found["valid_to"]:
        raise BadInput(what=where, reason="valid_to is before valid_from")
    return found


def _number(name: str, value: Any, where: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = np.nan
    least = -np.inf if name.startswith("valid_") else 0
    if not (np.isfinite(found) and (found > least or (name == "read_noise" and found == 0))):
        hint = "a date (MJD)" if name.startswith("valid_") else "a positive number"
        raise BadInput(what=where, reason=f"{name} = {value!r} must be {hint}")
    return found
