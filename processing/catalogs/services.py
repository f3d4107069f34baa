"""Archives that answer with VOTables: table access (TAP) and cone search; asked again where the answer is lost.

An answer counts only when it is whole: one that was cut short, by the archive or on its way, is never taken for all.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import requests
import urllib3
from astropy.io.votable import parse
from astropy.table import Table

from processing.catalogs.base import heartbeat
from processing.catalogs.columns import stars_of
from processing.errors import BadInput, CatalogAway, CatalogCut
from products.sky import separation

if TYPE_CHECKING:
    from pyvo.dal import DALResults

T = TypeVar("T")
MAX_ANSWER = 2_000_000_000  # bytes
_PIECE = 1 << 20
_LONGEST_PAUSE = 60.0  # s
_LONGEST = 10  # time-outs that one answer may take as long as something comes
LATER = (408, 425, 429)  # and everything from 500
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
POLL = 0.5  # s between two looks at a job
_ENDED = ("COMPLETED", "ERROR", "ABORTED", "ARCHIVED")


@dataclass(frozen=True)
class Patience:
    """How often, how long and with which pauses an archive is asked."""

    attempts: int = 3
    timeout: float = 60.0  # s without a byte
    pause: float = 2.0  # s, doubled after each attempt, up to a minute

    def __call__(self, ask: Callable[[], T], what: str) -> T:
        """What `ask` returns; asked again where the answer was lost. CatalogAway names `what` when it never came."""
        pause = self.pause
        for attempt in range(1, self.attempts + 1):
            heartbeat.get()()
            try:
                return ask()
            except (Lost, *_BROKEN) as error:
                if attempt == self.attempts:
                    told = " ".join(str(error).split())[:200] or type(error).__name__
                    reason = f"it does not answer ({attempt} attempts): {told}; import a catalogue or try again"
                    raise CatalogAway(what=what, reason=reason) from error
            heartbeat.get()()  # neither the attempt nor the pause after it is silent for longer than a lease
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("an attempt returns or raises")


class Lost(Exception):
    """An answer that may come another time."""


class Session(requests.Session):
    """HTTP in which every request has a time-out."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self.timeout = timeout
        self.headers["User-Agent"] = "SeeChange"

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", self.timeout)
        return super().request(*args, **kwargs)


@dataclass(frozen=True)
class TableService:
    """A service of the Table Access Protocol."""

    url: str
    patience: Patience
    max_rows: int
    table: str
    is_queued: bool

    def stars(self, ra: float, dec: float, radius: float, columns: tuple[str, ...], where: str) -> np.ndarray:
        """Stars in a cone, degrees, that fulfil a condition of ADQL: the array of `star_table`.

        Of `columns` those are asked for that the table has. CatalogCut where the answer is not complete.
        """
        there = _columns(self)
        names = [name for name in columns if not there or name in there]
        cone = f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra:.7f}, {dec:.7f}, {radius:.7f}))"
        query = f"SELECT {', '.join(names)} FROM {self.table} WHERE {cone} AND {where}"
        return whole_stars(self.answer(query), self.max_rows, (ra, dec, radius), self.what)

    @property
    def what(self) -> str:
        """What it is, for messages."""
        return f"the star catalogue at {self.url}"

    def answer(self, query: str) -> DALResults:
        """What is answered to ADQL. CatalogAway where nothing comes, or the archive does not want to answer."""
        return self.patience(lambda: self._by_job(query) if self.is_queued else self._at_once(query), self.what)

    def _at_once(self, adql: str) -> DALResults:
        from pyvo.dal.tap import TAPQuery, TAPResults

        with Session(self.patience.timeout) as session:
            query = TAPQuery(self.url, adql, maxrec=self.max_rows, session=session)
            return _results(query.submit(), TAPResults, self.patience, self.what)

    def _by_job(self, adql: str) -> DALResults:
        """Ask by a job of its own, wait for its end, and let the archive forget it."""
        from pyvo.dal.exceptions import DALQueryError, DALServiceError
        from pyvo.dal.tap import AsyncTAPJob, TAPResults

        deadline = time.monotonic() + _LONGEST * self.patience.timeout
        with Session(self.patience.timeout) as session:
            try:
                with AsyncTAPJob.create(self.url, adql, maxrec=self.max_rows, session=session) as job:
                    job.run()
                    while (phase := job.phase) not in _ENDED:
                        if time.monotonic() > deadline:
                            raise Lost(f"its job is {phase.lower()} after {_LONGEST * self.patience.timeout:g} s")
                        heartbeat.get()()
                        time.sleep(POLL)
                    job.raise_if_error()
                    answer = session.get(job.result_uri or f"{job.url}/results/result", stream=True)
                    return _results(answer, TAPResults, self.patience, self.what)
            except DALQueryError as error:
                raise _refused(self.what, str(error.reason)) from error
            except DALServiceError as error:
                if _is_final(error.code):
                    raise _refused(self.what, str(error.reason)) from error
                raise Lost(str(error.reason)) from error


@dataclass(frozen=True)
class ConeService:
    """A service of Simple Cone Search: `url?RA=…&DEC=…&SR=…` (degrees) answers with a VOTable."""

    url: str
    patience: Patience
    max_rows: int

    def stars(self, ra: float, dec: float, radius: float) -> np.ndarray:
        """Stars in a cone, degrees: the array of `star_table`. CatalogCut where the answer is not complete."""
        from pyvo.dal.scs import SCSQuery, SCSResults

        what = f"the star catalogue at {self.url}"

        def ask() -> DALResults:
            with Session(self.patience.timeout) as session:
                query = SCSQuery(self.url, pos=(ra, dec), radius=radius, verbosity=3, session=session)
                query["MAXREC"] = self.max_rows
                return _results(query.submit(), SCSResults, self.patience, what)

        return whole_stars(self.patience(ask, what), self.max_rows, (ra, dec, radius), what)


def whole_stars(answer: DALResults, limit: int, cone: tuple[float, float, float], what: str) -> np.ndarray:
    """The stars of an answer about a cone (ra, dec, radius: degrees).

    CatalogCut where there are more of them than it holds; BadInput where it has stars, and none in the cone: taken for
    an answer, it would be kept as a piece of sky without stars.
    """
    table = _table(answer)
    # Some archives say nothing when they stop at a limit of their own; such limits are round numbers.
    if _is_cut(answer) or len(table) >= limit or (len(table) and len(table) % 1000 == 0):
        raise CatalogCut(what=what, rows=len(table))
    stars, (ra, dec, radius) = stars_of(table, what), cone
    if len(table) and not np.any(separation(ra, dec, stars["ra"], stars["dec"]) <= 1.01 * radius):
        reason = (
            f"of {len(table)} stars that it sends none is within {radius:.3f} degrees of ra {ra:.4f}, dec {dec:+.4f}"
        )
        raise BadInput(what=what, reason=f"{reason}, as was asked; are its positions ICRS degrees?")
    return stars


def _is_cut(answer: DALResults) -> bool:
    """Whether an answer says that it is not all; results of cone searches are not looked through for it by pyvo."""
    places = [answer.votable, *answer.votable.resources, answer.resultstable]
    infos = [info for place in places for info in place.infos]
    said = {(str(info.name).upper(), str(info.value).upper()) for info in infos}
    return ("QUERY_STATUS", "OVERFLOW") in said


def _table(answer: DALResults) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return answer.to_table()


_known_columns: dict[tuple[str, str], frozenset[str]] = {}


def _columns(service: TableService) -> frozenset[str]:
    """Names of the columns of its table, in small letters; none where the service does not tell."""
    key = (service.url, service.table)
    if key not in _known_columns:
        name = service.table.replace("'", "''")
        try:
            found = _table(service.answer(f"SELECT column_name FROM TAP_SCHEMA.columns WHERE table_name = '{name}'"))
        except CatalogAway as error:
            if not error.details.get("refused"):
                raise
            found = Table({"column_name": []})
        _known_columns[key] = frozenset(str(one).strip('" ').lower() for one in found.columns[0])
    return _known_columns[key]


def _results(answer: requests.Response, kind: type, patience: Patience, what: str) -> DALResults:
    """An answer, read to its end and understood; Lost where it may come another time, CatalogAway where it refuses."""
    from pyvo.dal.exceptions import DALFormatError, DALQueryError

    with answer:
        body = _body(answer, patience)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = kind(parse(BytesIO(body)), url=answer.url)
    except DALQueryError as error:  # whatever the status: archives say so with 200 and with 400
        if answer.status_code >= 500 or answer.status_code in LATER:
            raise Lost(f"it answers {answer.status_code}: {error.reason}") from error
        raise _refused(what, str(error.reason)) from error
    except (DALFormatError, ValueError, IndexError, TypeError, KeyError, AttributeError, SyntaxError) as error:
        if _is_final(answer.status_code):
            raise _refused(what, f"{answer.status_code} {answer.reason}; is the address right?") from error
        if answer.status_code >= 400:
            raise Lost(f"it answers {answer.status_code} {answer.reason}") from error
        raise Lost(f"its answer is no VOTable, or not whole: {' '.join(str(error).split())[:100]}") from error
    if answer.status_code >= 400:
        raise Lost(f"it answers {answer.status_code} {answer.reason}")
    return results


def _body(answer: requests.Response, patience: Patience) -> bytes:
    """The body as it comes: a byte now and then is no sign of life for ever."""
    deadline, found = time.monotonic() + _LONGEST * patience.timeout, bytearray()
    while piece := answer.raw.read1(_PIECE, decode_content=True):
        found += piece
        heartbeat.get()()
        if len(found) > MAX_ANSWER:
            raise BadInput(what=answer.url, reason="its answer is too long; let max_stars be smaller")
        if time.monotonic() > deadline:
            raise Lost(f"its answer is not whole after {_LONGEST * patience.timeout:g} s")
    if answer.raw.length_remaining:
        raise Lost(f"the connection broke off after {len(found)} bytes")
    return bytes(found)


def _is_final(status: int | None) -> bool:
    """Whether an answer of this HTTP status would be the same another time."""
    return status is not None and 400 <= status < 500 and status not in LATER


def _refused(what: str, told: str) -> CatalogAway:
    return CatalogAway(what=what, reason=f"it refuses to answer: {' '.join(told.split())[:200]}", refused=True)
