"""What a sender is: it takes packets and says of each whether it arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from processing.plugins import Plugin


@dataclass(frozen=True)
class Packet:
    """One alert, encoded."""

    id: str  # of the alert: the same whenever it is sent again
    topic_key: str  # keeps the alerts of one object in order
    payload: bytes
    created: datetime  # UTC
    schema_version: str = ""

    @property
    def sha256(self) -> str:
        """Checksum of the bytes, hexadecimal."""
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True)
class Delivery:
    """What became of one packet."""

    id: str
    ok: bool
    where: str = ""
    error: str = ""
    fatal: bool = False  # it would fail again whenever it is tried
    topic: str = ""
    partition: int | None = None
    offset: int | None = None


class Sender(Plugin):
    """A way to send alerts. What it reports as arrived is never sent again; everything else stays on the list."""

    package: ClassVar[str] = "processing.senders"

    def send(self, packets: Sequence[Packet]) -> Iterable[Delivery]:
        """Send every packet; one Delivery each, in any order. It does not raise for a broker that is down."""
        raise NotImplementedError
