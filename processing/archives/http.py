"""HTTP as archives need it: one origin and no other, answers of limited size, large files that go on where they broke.

Redirects that lead to another origin are refused, and so is plain HTTP, but to this machine: whoever may name an
exposure must not have the site ask, or send its token to, machines of their choice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from processing.errors import ArchiveAway, BadInput
from products.errors import CannotWrite, DiskFull
from products.storage import whole_file

HERE = ("localhost", "127.0.0.1", "::1")
CHUNK = 1 << 20
MAX_ANSWER = 200_000_000  # bytes of an answer that is not a file
MAX_FILE = 4_000_000_000
LONGEST_PAUSE = 120.0  # s
_BROKEN = (OSError, HTTPException)  # URLError and a time-out are OSErrors
BEYOND_ITS_END = 416
_LATER = (408, 425, 429, 500, 502, 503, 504)
Progress = Callable[[int, int], None]  # (bytes that are here, bytes in all)


@dataclass(frozen=True)
class RemoteFile:
    """A file of an archive and how to know that it came whole."""

    name: str
    url: str
    size: int
    md5: str  # hexadecimal


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Follows a redirect within the origin of the archive only."""

    max_redirections = 3

    def redirect_request(self, request: Any, answer: Any, code: int, message: str, headers: Any, new: str) -> Any:
        if origin_of(new) != origin_of(request.full_url):
            reason = f"it sends on to another machine ({urlsplit(new).hostname}); that is not followed"
            raise BadInput(what=request.full_url, reason=reason)
        return super().redirect_request(request, answer, code, message, headers, new)


@dataclass
class Site:
    """An archive at an address; what is asked of it is asked again where the answer is lost or says to wait."""

    address: str  # e.g. https://astroarchive.noirlab.edu
    token: str = ""  # for the header Authorization
    attempts: int = 5
    first_pause: float = 1.0  # s between two attempts, doubled each time
    answer_within: float = 60.0  # s without a byte after which the connection counts as lost
    file_within: float = 7200.0  # s that a file may take with all its attempts
    sleep: Callable[[float], None] = time.sleep
    _opener: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.address = self.address.rstrip("/")
        origin_of(self.address)
        if not (self.token.isascii() and (self.token.isprintable() or not self.token)):
            raise BadInput(
                what="the token of the archive", reason="it has a character that no token has, e.g. a line end"
            )
        self._opener = urllib.request.build_opener(_SameOrigin)

    def post(self, path: str, content: Any) -> Any:
        """The JSON that is answered to JSON. ArchiveAway where there is none, BadInput where the archive refuses."""
        url, deadline = f"{self.address}{path}", time.monotonic() + self.file_within
        body = json.dumps(content).encode()

        def ask() -> Any:
            text = bytearray()
            with self._open(url, body, {"Content-Type": "application/json"}) as answer:
                for piece in self._pieces(answer, url, deadline):
                    text += piece
                    if len(text) > MAX_ANSWER:
                        raise BadInput(what=self.address, reason="its answer is too long; search for less at once")
            try:
                return json.loads(text)
            except ValueError as error:
                raise ArchiveAway(what=self.address, reason="it answers, but with no JSON") from error

        return self._patiently(ask, deadline)

    def download(self, file: RemoteFile, folder: Path, progress: Progress | None = None) -> Path:
        """The file in the folder, whole: of its size and checksum; one that is there already is left as it is.

        What came is kept in `.<name>.part` until it is whole, and a later call goes on from there. BadInput for an
        address outside the archive, a file that is too large, or one that another process fetches; ArchiveAway where
        it does not come.
        """
        target = folder / file.name
        self._refuse_foreign(file)
        if target.is_file() and _is(target, file):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self.file_within
        part = folder / f".{file.name}.{file.md5[:8]}.part"
        with _held(part, file.name) as handle:
            self._patiently(
                lambda: self._go_on(file, handle, deadline, progress), deadline, lambda: part.stat().st_size
            )
            with whole_file(target) as partial:
                part.rename(partial)
        return target

    def _refuse_foreign(self, file: RemoteFile) -> None:
        if Path(file.name).name != file.name or file.name.startswith(".") or not file.name:
            raise BadInput(what=f"file '{file.name}'", reason="that is no name of a file in an archive")
        if origin_of(file.url) != origin_of(self.address):
            reason = f"it is not in the archive {self.address} (SEECHANGE_NOIRLAB)"
            raise BadInput(what=file.url, reason=reason)
        if not 0 < file.size <= MAX_FILE:
            raise BadInput(what=file.name, reason=f"{file.size / 1e9:.1f} GB; 0 to {MAX_FILE / 1e9:.0f} GB are fetched")

    def _go_on(self, file: RemoteFile, handle: Any, deadline: float, progress: Progress | None) -> None:
        """One attempt: fetch what is missing, then compare size and checksum."""
        there = handle.seek(0, os.SEEK_END)
        if there > file.size:
            there = _restart(handle)
        if there < file.size:
            _refuse_full_disk(Path(handle.name), file.size - there)
            try:
                with self._open(file.url, None, {"Range": f"bytes={there}-"} if there else {}) as answer:
                    if there and not _continues(answer, there):
                        _restart(handle)  # the archive sends all of it again
                    self._receive(answer, handle, file, deadline, progress)
            except ArchiveAway as error:
                if error.details.get("status") == BEYOND_ITS_END:
                    _restart(handle)
                raise
            finally:
                handle.flush()
        if (found := handle.seek(0, os.SEEK_END)) != file.size:
            raise ArchiveAway(what=file.name, reason=f"the connection broke off after {found} of {file.size} bytes")
        handle.seek(0)
        if (digest := hashlib.file_digest(handle, "md5").hexdigest()) != file.md5.lower():
            _restart(handle)
            reason = f"its checksum is {digest[:8]}…, {file.md5[:8]}… was promised; nothing of it was kept"
            raise ArchiveAway(what=file.name, reason=reason)

    def _receive(
        self, answer: HTTPResponse, handle: Any, file: RemoteFile, deadline: float, progress: Progress | None
    ) -> None:
        there = handle.tell()
        for piece in self._pieces(answer, file.name, deadline):
            there += len(piece)
            if there > file.size:
                _restart(handle)
                raise ArchiveAway(what=file.name, reason=f"more than the promised {file.size} bytes came")
            try:
                handle.write(piece)
            except OSError as error:
                _refuse_full_disk(Path(handle.name), len(piece))
                raise CannotWrite(path=handle.name, reason=os.strerror(error.errno or 0)) from error
            if progress:
                progress(there, file.size)

    def _pieces(self, answer: HTTPResponse, what: str, deadline: float) -> Iterator[bytes]:
        """The body of an answer as it comes: a byte now and then is no sign of life after the deadline."""
        while piece := answer.read1(CHUNK):
            yield piece
            if time.monotonic() > deadline:
                hint = "what came is kept, ask again to go on"
                raise _OutOfTime(what=what, reason=f"not whole after {self.file_within:g} s; {hint}")

    def _open(self, url: str, body: bytes | None, headers: dict[str, str]) -> HTTPResponse:
        """The answer to one request; ArchiveAway with `retry_after` where it may come another time."""
        headers = {"Accept": "*/*", "User-Agent": "SeeChange", **headers}
        if self.token:
            headers["Authorization"] = self.token
        request = urllib.request.Request(url, data=body, headers=headers)
        try:
            return self._opener.open(request, timeout=self.answer_within)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, url) from error

    def _patiently(self, ask: Callable[[], Any], deadline: float, size: Callable[[], int] = lambda: 0) -> Any:
        """What `ask` returns; asked again after a growing pause while the archive is away.

        An attempt that brought something, by the `size` of what is here, does not count as failed.
        """
        failures, pause, before = 0, self.first_pause, size()
        while True:
            try:
                return ask()
            except _OutOfTime as error:
                raise ArchiveAway(**error.details) from error
            except (ArchiveAway, *_BROKEN) as error:
                away = error if isinstance(error, ArchiveAway) else self._away(error)
            now = size()
            failures, pause = (0, self.first_pause) if now > before else (failures + 1, pause)
            before = now
            wait = max(pause * random.uniform(0.8, 1.2), away.details.get("retry_after", 0.0))
            if failures >= self.attempts or time.monotonic() + wait > deadline:
                raise away
            self.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _away(self, error: Exception) -> ArchiveAway:
        reason = getattr(error, "reason", error)
        return ArchiveAway(what=self.address, reason=f"no answer ({reason or type(error).__name__}); try again later")


class _OutOfTime(ArchiveAway):
    """Not to be tried again."""


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, machine and port. BadInput where it is neither https, nor http on this machine."""
    try:
        parts = urlsplit(str(url))
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise BadInput(what=f"address '{url}'", reason="it is no address of a machine") from error
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in HERE)
    if not host or not is_safe or parts.username or parts.password:
        raise BadInput(what=f"address '{url}'", reason="it must begin with https:// and name a machine, nothing else")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def _refusal(error: urllib.error.HTTPError, url: str) -> BadInput:
    """What an answer with an error status means."""
    told = _told(error)
    if error.code in _LATER:
        after = _seconds(error.headers.get("Retry-After", ""))
        return ArchiveAway(what=url, reason=f"it answers {error.code} ({told})", retry_after=after)
    if error.code in (401, 403):
        hint = "it is not public, or not yet; a token of somebody who may have it goes into SEECHANGE_NOIRLAB_TOKEN"
        return BadInput(what=url, reason=f"the archive refuses it ({error.code}): {hint}")
    if error.code == BEYOND_ITS_END:
        return ArchiveAway(what=url, reason="it has less of this file than is here", status=error.code)
    return BadInput(what=url, reason=f"the archive answers {error.code}: {told}")


def _told(error: urllib.error.HTTPError) -> str:
    """What the archive says of an error, in one short line."""
    try:
        text = error.read(10_000).decode("utf-8", "replace")
    except _BROKEN:
        return str(error.reason)
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        text = str(json.loads(text).get("errorMessage") or text)
    return " ".join(text.split())[:200] or str(error.reason)


def _seconds(text: str) -> float:
    """Seconds of a Retry-After, which is a number or a date; at most LONGEST_PAUSE."""
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError):
            return 0.0
    return min(max(wait, 0.0), LONGEST_PAUSE)


def _continues(answer: HTTPResponse, there: int) -> bool:
    """Whether an answer goes on at the byte that was asked for."""
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {there}-")


def _restart(handle: Any) -> int:
    handle.seek(0)
    handle.truncate()
    return 0


def _is(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest() == file.md5.lower()


def _refuse_full_disk(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise DiskFull(path=str(part), written_mb=part.stat().st_size / 1e6, free_mb=free / 1e6)


@contextlib.contextmanager
def _held(part: Path, name: str) -> Iterator[Any]:
    """The unfinished file, open, and locked while it is."""
    with part.open("a+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(what=name, reason="another process is fetching it into the same folder") from error
        yield handle
