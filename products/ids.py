"""Identifiers that exist before a row is saved."""

from __future__ import annotations

import os
import time
import uuid

NAMESPACE = uuid.UUID("5eec4a9e-0000-5000-8000-000000000001")


def uuid7() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, then random bits; sorts by the time it was made."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def stable_id(*parts: object) -> uuid.UUID:
    """A UUID of version 5 from what it is about: the same parts give the same id anywhere."""
    return uuid.uuid5(NAMESPACE, "/".join(map(str, parts)))
