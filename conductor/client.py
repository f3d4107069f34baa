"""Asks the conductor over HTTP, as launchers do: they need its address and a token, nothing else of it.

What is lost on the way is asked again, since every request may be repeated: a claim belongs to the token that its asker
drew, and what is said twice counts once. What was understood and refused is not.
"""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.parse import urlsplit

from products.errors import ArchiveError

FIRST_PAUSE, LONGEST_PAUSE = 0.3, 30.0  # seconds between two tries
ANSWER = 20.0  # seconds that an answer may take
BUSY = 429


class ClientError(ArchiveError):
    """The conductor did not do what it was asked for."""

    message = "the conductor at {address}: {reason}"


class Unreachable(ClientError):
    """It does not answer, or only that it is broken; perhaps later."""


class NotAllowed(ClientError):
    """The token does not open this."""


class Lost(ClientError):
    """The claim is over: its exposure belongs to somebody else now."""


class Refused(ClientError):
    """It understood, and refused."""


class Conflict(Refused):
    """What was asked does not fit to how things stand."""


class Gone(Refused):
    """There is no such thing, or no longer."""


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A redirect would repeat a POST as a GET, and take the token to wherever it leads."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


class Client:
    """The conductor at an address, e.g. `https://seechange.example.org`."""

    def __init__(self, address: str, token: str, *, patience: float = 60.0) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Refused(address=address, reason="its address begins with http:// or https:// and names a machine")
        self.address = address.rstrip("/")
        self.patience = patience  # seconds in which a request is repeated
        self._token = token
        self._opener = urllib.request.build_opener(_StayHere)

    def post(self, path: str, *, patience: float | None = None, **content: Any) -> dict[str, Any]:
        """The answer to a request; repeated for `patience` seconds where there is none."""
        return self._patiently(lambda: self._once("POST", path, content), patience)

    def delete(self, path: str, *, patience: float | None = None) -> dict[str, Any]:
        """Take something away."""
        return self._patiently(lambda: self._once("DELETE", path, None), patience)

    def _patiently(self, ask: Callable[[], dict[str, Any]], patience: float | None) -> dict[str, Any]:
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        pause = FIRST_PAUSE
        while True:
            try:
                return ask()
            except Unreachable as error:
                wait = max(pause * random.uniform(0.5, 1.0), error.details.get("retry_after", 0.0))
                if time.monotonic() + wait > deadline:
                    raise
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(self, method: str, path: str, content: dict[str, Any] | None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.address}/api/v1/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Authorization": f"Token {self._token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=ANSWER) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                self._refuse(error)
        except (OSError, HTTPException) as error:  # URLError is one, with the real one in it
            reason = getattr(error, "reason", error)
            raise Unreachable(address=self.address, reason=f"no answer ({reason})") from error
        try:
            return json.loads(body) if body else {}
        except ValueError as error:
            raise Refused(address=self.address, reason="it answers, but not as SeeChange does") from error

    def _refuse(self, answer: urllib.error.HTTPError) -> NoReturn:
        """The error that an answer is."""
        code, reason = _told(answer)
        if answer.code == BUSY or answer.code >= 500:
            wait = answer.headers.get("Retry-After", "")
            wait = min(float(wait), LONGEST_PAUSE) if wait.isdecimal() else 0.0
            raise Unreachable(address=self.address, reason=reason, retry_after=wait)
        if answer.code in (301, 302, 303, 307, 308):
            raise Refused(address=self.address, reason=f"its address is {answer.headers.get('Location')} now")
        if answer.code in (401, 403):
            raise NotAllowed(address=self.address, reason=reason)
        if answer.code == 409 and code == "lease_lost":
            raise Lost(address=self.address, reason=reason)
        raise {409: Conflict, 404: Gone}.get(answer.code, Refused)(address=self.address, reason=reason)


def _told(answer: urllib.error.HTTPError) -> tuple[str, str]:
    """Code and sentence of the error in an answer; the status where it has none."""
    try:
        error = json.loads(answer.read(100_000))["error"]
        fields = "; ".join(f"{name}: {' '.join(said)}" for name, said in (error.get("fields") or {}).items())
        return str(error["code"]), " ".join(filter(None, [str(error["message"]), fields]))
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return "", f"status {answer.code} {answer.reason}"
