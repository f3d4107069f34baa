"""HEALPix cells of a catalogue that is fetched: any number of processes that need a cell at once fetch it once.

A row of `CatalogCell` holds a lease. Who has it asks the catalogue, and says before every attempt that it lives; the
others wait for what comes. They take over when the lease runs out, at once when the process that had it is gone.
"""

from __future__ import annotations

import datetime
import os
import platform
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from processing.catalogs.base import StarCatalogSource, heartbeat, joined
from processing.errors import BadInput, CatalogAway, CatalogCut
from processing.reporting import patiently
from processing.star_catalogs import in_order, keep_excerpt
from products.models import CatalogCell, CatalogExcerpt
from products.sky import cell_circle, cells

LEASE = 120.0  # s since the last sign of life; an attempt may be silent for 90 s
RENEWAL = 15.0  # s between two signs
POLLS = (0.1, 2.0)  # s between two looks at who fetches: at first, and at most
DEEPEST = 4  # orders finer than its own that a cell is divided where answers are cut off


def held(source: StarCatalogSource, cell: int, faintest: float) -> CatalogExcerpt | None:
    """What was fetched of a cell, at least down to a magnitude: the least that is enough, and of that the first."""
    rows = CatalogExcerpt.objects.filter(
        origin=source.name, epoch=source.epoch, order=source.cell_order, cell=cell, is_whole=True
    )
    return rows.filter(limit__gte=faintest).order_by("limit", "created_at", "pk").first()


def fetched(source: StarCatalogSource, cell: int, faintest: float) -> CatalogExcerpt:
    """The stars of a cell: what is held, or what another process is just fetching, or fetched now.

    CatalogAway, or another BadInput, where it cannot be had; who waited for the one that tried is told the same.
    """
    key = {"origin": source.name, "order": source.cell_order, "cell": cell, "limit": faintest}
    failures, pause = None, POLLS[0]
    while True:
        if row := held(source, cell, faintest):
            return row
        entry, _ = CatalogCell.objects.get_or_create(**key)
        if failures is not None and entry.failures > failures:
            raise CatalogAway(what=f"the star catalogue {source.name}", reason=entry.last_error)
        failures = entry.failures if failures is None else failures
        if lease := Lease.of(entry):
            return _fetch(source, entry, lease)
        time.sleep(pause)
        pause = min(1.5 * pause, POLLS[1])


def _fetch(source: StarCatalogSource, entry: CatalogCell, lease: Lease) -> CatalogExcerpt:
    """Ask for the stars of a cell, as the holder of its lease, and keep them."""
    beat = heartbeat.set(lease.renew)
    try:
        row = held(source, entry.cell, entry.limit)  # who had the lease before may have been quicker than we looked
        if row is None:
            table = in_order(stars_of_cell(source, source.cell_order, entry.cell, entry.limit))
            place = (source.cell_order, entry.cell)
            row = keep_excerpt(table, source.name, source.epoch, faintest=entry.limit, place=place, is_whole=True)
    except Exception as error:
        told = error.details.get("reason") if isinstance(error, BadInput) else None
        lease.end(failures=F("failures") + 1, last_error=(told or " ".join(str(error).split()))[:500])
        raise
    except BaseException:  # interrupted: that is no fault of the catalogue
        lease.end()
        raise
    finally:
        heartbeat.reset(beat)
    lease.end(excerpt=row, last_error="")
    return row


def stars_of_cell(source: StarCatalogSource, order: int, cell: int, faintest: float) -> np.ndarray:
    """All stars of a HEALPix cell: those of the circle around it, or of its parts where they are too many at once."""
    try:
        table = source.fetch(*cell_circle(order, cell), faintest)
    except CatalogCut:
        if order >= source.cell_order + DEEPEST:
            raise
        return joined([stars_of_cell(source, order + 1, 4 * cell + part, faintest) for part in range(4)])
    inside = cells(table["ra"], table["dec"], order) == cell if len(table) else np.zeros(0, bool)
    return brighter(table[inside], source, faintest)


def brighter(table: np.ndarray, source: StarCatalogSource, faintest: float) -> np.ndarray:
    """The stars that are brighter than a magnitude, where the table has the one that the catalogue is limited by."""
    if source.limited_by not in table.dtype.names:
        return table
    return table[table[source.limited_by] < faintest]


@dataclass
class Lease:
    """The right to fetch one cell."""

    entry: CatalogCell
    token: uuid.UUID
    _renewed: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, entry: CatalogCell) -> Lease | None:
        """The lease, where nobody has it: free, run out, or of a process that is gone from this machine."""
        free = Q(lease_token=None) | Q(lease_expires__lt=Now())
        if entry.lease_token and entry.node == _node() and not lives(entry.process):
            free |= Q(lease_token=entry.lease_token)
        token = uuid.uuid4()
        won = CatalogCell.objects.filter(free, pk=entry.pk).update(
            lease_token=token, lease_expires=_later(), node=_node(), process=process(os.getpid())
        )
        return cls(entry, token) if won else None

    def renew(self) -> None:
        """The holder lives."""
        if time.monotonic() - self._renewed < RENEWAL:
            return
        self._renewed = time.monotonic()
        patiently(lambda: self._mine().update(lease_expires=_later()))

    def end(self, **changes: object) -> None:
        """Give it back and note what came of it; one that was lost meanwhile is left to its new holder."""
        patiently(lambda: self._mine().update(lease_token=None, lease_expires=None, **changes))

    def _mine(self) -> QuerySet[CatalogCell]:
        return CatalogCell.objects.filter(pk=self.entry.pk, lease_token=self.token)


def _later() -> object:
    return Now() + datetime.timedelta(seconds=LEASE)


def _node() -> str:
    return platform.node()[:100]


def process(number: int) -> str:
    """A process of this machine as it is known to others: its number and when it began, for numbers are used again."""
    try:
        state, *rest = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return str(number)
    return f"{number} {rest[18]}" if state not in "ZX" else str(number)  # one that ended and was not asked how


def lives(known: str) -> bool:
    """Whether a process of this machine, as `process` names it, is still there."""
    number = int(known.partition(" ")[0] or 0)
    if Path("/proc/self/stat").exists():
        return " " in known and process(number) == known
    try:
        os.kill(number, 0)
    except OSError:
        return False
    return number > 0
