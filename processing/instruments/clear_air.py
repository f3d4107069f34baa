"""The zero point that an instrument should have in clear air, from tables: what stars lack of it was lost on the way.

The table of a photometric system is `tables/<system>_zero_points.ecsv` here; one of an archive's own, in the same form,
is `instruments/<system>_zero_points_<name>.ecsv` in the data folder, where `photocal.photometry_table` gives the name.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from processing.errors import BadInput
from processing.instruments.section_tables import own_path, read_table, table_path

COLUMNS = ("filter", "zero_point", "extinction", "source")


def clear_zero_point(
    system: str, band: str, exposure_time: float, airmass: float | None, table: str = ""
) -> float | None:
    """AB magnitude of one electron in `exposure_time` seconds; None where nobody knows. An unknown airmass counts as 1.

    BadInput where a table cannot be used.
    """
    own = [own_path(system, f"zero_points_{table}")] if table else []
    for path in (*own, table_path(system, "zero_points")):
        found = _rows(path, path.stat().st_mtime_ns).get(band) if path.is_file() else None
        if found is not None and exposure_time > 0:
            zero_point, extinction = found
            return float(zero_point + 2.5 * np.log10(exposure_time) - extinction * ((airmass or 1.0) - 1))
    return None


@lru_cache(maxsize=16)
def _rows(path: Path, changed: int) -> dict[str, tuple[float, float]]:
    table = read_table(path)
    if set(table.colnames) != set(COLUMNS):
        raise BadInput(
            what=str(path), reason=f"it has {', '.join(table.colnames)}; there must be: {', '.join(COLUMNS)}"
        )
    found = {}
    for number, row in enumerate(table, start=1):
        try:
            values = float(row["zero_point"]), float(row["extinction"])
        except (TypeError, ValueError):
            values = np.nan, np.nan
        if not np.isfinite(values).all():
            raise BadInput(what=f"{path} row {number}", reason="zero_point and extinction must be numbers")
        found[str(row["filter"])] = values
    return found
