"""One claim in the hands of a launcher: its lease is kept alive from the side, and its loss stops the work."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from conductor.client import Client, ClientError, Unreachable

BEAT = 15.0  # seconds between heartbeats
FINISH_PATIENCE = 600.0  # seconds in which the result of hours is offered to a conductor that does not answer
RELEASE_PATIENCE = 20.0


class Claim:
    """A known exposure that this launcher claimed, and what it says of it to the conductor."""

    def __init__(
        self, client: Client, answer: Mapping[str, Any], token: uuid.UUID, lease: float, say: Callable[[str], None]
    ) -> None:
        self.client = client
        self.known: dict[str, Any] = answer["known_exposure"]
        self.through: str = answer["through_step"]
        self.token = str(token)
        self.lease = lease
        self._say = say
        self._over = threading.Event()
        self._is_kept = False
        self._lost: ClientError | None = None

    def __str__(self) -> str:
        return str(self.known["identifier"])

    def _tell(self, what: str, *, patience: float | None = None, **content: Any) -> dict[str, Any]:
        path = f"known-exposures/{self.known['id']}/{what}/"
        return self.client.post(path, patience=patience, token=self.token, **content)

    def start(self, exposure: uuid.UUID, sections: Sequence[str]) -> None:
        """Processing begins; these are the CCDs that must finish."""
        self._tell("start", exposure=str(exposure), sections=list(sections))

    def finish(self, sections: Mapping[str, Mapping[str, Any]], error: str = "", transient: bool = False) -> str:
        """What became of it; the state that follows."""
        answer = self._tell(
            "finish", patience=FINISH_PATIENCE, sections=sections, error=error[:10_000], transient=transient
        )
        return str(answer["state"])

    def release(self, reason: str) -> None:
        """Give it back; the attempt does not count."""
        self._tell("release", patience=RELEASE_PATIENCE, reason=reason)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Send heartbeats meanwhile. A claim that is lost raises its error here, in the main thread, whatever it does.

        The thread has its turns since this process only waits: what computes, and holds Python's lock for seconds, are
        the processes of the CCDs.
        """
        before = signal.signal(signal.SIGUSR1, self._stop_work)
        thread = threading.Thread(target=self._beat, daemon=True)
        self._is_kept = True
        thread.start()
        try:
            yield
        finally:
            self._is_kept = False
            self._over.set()
            signal.signal(signal.SIGUSR1, before)

    def _beat(self) -> None:
        silent = False
        while not self._over.wait(min(BEAT, self.lease / 4)):
            try:
                self._tell("heartbeat", patience=0, lease=self.lease)
                silent = False
            except Unreachable as error:
                if not silent:
                    self._say(f"{error}; the work goes on")
                silent = True
            except ClientError as error:
                self._lost = error
                os.kill(os.getpid(), signal.SIGUSR1)
                return

    def _stop_work(self, number: int, frame: Any) -> None:
        if self._is_kept and self._lost:
            self._is_kept = False  # what stops now is not stopped again
            raise self._lost
