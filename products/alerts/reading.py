"""Packets for people and for JSON: fields with what the schema says of them, stamps as text."""

from __future__ import annotations

import base64
import json
from typing import Any

from products.alerts import avro
from products.alerts.packet import STAMPS, Packet

HISTORY = ("prvDiaSources", "prvDiaNonDetectionLimits")


def as_json(packet: Packet, *, stamps: bool = True) -> Packet:
    """The packet with its stamps as base64, or without them."""
    plain = {name: value for name, value in packet.items() if name not in STAMPS}
    if stamps:
        plain |= {name: _text(packet.get(name)) for name in STAMPS}
    return plain


def _text(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")


def _kinds(kind: Any) -> list[Any]:
    """The alternatives of a type of the schema."""
    return kind if isinstance(kind, list) else [kind]


Described = list[tuple[str, Any, str]]  # name, value, what the schema says


def described(packet: Packet) -> dict[str, Described]:
    """Record of the packet → its plain fields, in the order of the schema; the packet's own under an empty name."""
    found: dict[str, Described] = {"": []}
    for one in json.loads(avro.schema_text(packet["schemaVersion"]))["fields"]:
        name, kind, value = one["name"], one["type"], packet.get(one["name"])
        record = next((one for one in _kinds(kind) if isinstance(one, dict) and one["type"] == "record"), None)
        if record and value is not None:
            found[name] = [(part["name"], value[part["name"]], part.get("doc", "")) for part in record["fields"]]
        elif name not in STAMPS and name not in HISTORY:
            found[""].append((name, value, one.get("doc", "")))
    return found
