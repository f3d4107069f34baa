"""Times as modified Julian dates (UTC), and back."""

from __future__ import annotations

import datetime

MJD_OF_UNIX = 40587.0  # of 1970-01-01
EARLIEST, LATEST = 15_000.0, 100_000.0  # MJD of exposures: from the first plates that were scanned on


def mjd_of(moment: datetime.datetime) -> float:
    """The MJD of a time with its time zone."""
    return moment.timestamp() / 86400 + MJD_OF_UNIX


def date_of_mjd(mjd: float) -> datetime.datetime:
    """The UTC time of an MJD, to the microsecond."""
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return start + datetime.timedelta(days=mjd - MJD_OF_UNIX)
