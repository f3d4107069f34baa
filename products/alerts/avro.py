"""Packets as Avro: the schemas of every version, encoding that gives the same bytes for the same packet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import fastavro
from fastavro.types import Schema

VERSION = "1.2"
FOLDER = Path(__file__).parent / "schemas"
MARKER = b"SeeChange alert."  # 16 bytes between blocks; by default they are random


def versions() -> list[str]:
    """The versions that there are schemas of, oldest first."""
    found = [path.stem.removeprefix("alert_v").replace("_", ".") for path in FOLDER.glob("alert_v*.avsc")]
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


@cache
def schema_text(version: str = VERSION) -> str:
    """The schema of a version as it lies in the repository; KeyError for one that there is not."""
    if version not in versions():
        raise KeyError(version)
    return (FOLDER / f"alert_v{version.replace('.', '_')}.avsc").read_text()


@cache
def schema(version: str = VERSION) -> Schema:
    """The parsed schema of a version; a packet of it can be read with any other one of the same major number."""
    return _ordered(fastavro.parse_schema(json.loads(schema_text(version))))


def _ordered(part: Any) -> Any:
    """The same with sorted keys: the order in which fastavro leaves them, and writes them, differs from run to run."""
    if isinstance(part, dict):
        return {key: _ordered(part[key]) for key in sorted(part)}
    return [_ordered(one) for one in part] if isinstance(part, list) else part


def encode(packet: dict[str, Any]) -> bytes:
    """One packet as an Avro container with its schema; the same packet gives the same bytes.

    ValueError, TypeError or KeyError for what does not fit the schema.
    """
    buffer = io.BytesIO()
    write(buffer, [packet], packet["schemaVersion"])
    return buffer.getvalue()


def write(file: BinaryIO, packets: Iterable[dict[str, Any]], version: str = VERSION) -> None:
    """Packets of one version as an Avro container."""
    fastavro.writer(file, schema(version), packets, sync_marker=MARKER)


def decode(payload: bytes) -> dict[str, Any]:
    """The packet in an Avro container."""
    return next(read(io.BytesIO(payload)))


def read(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The packets in an Avro container."""
    return iter(fastavro.reader(file))
