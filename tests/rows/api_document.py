"""Requests made from the OpenAPI document: what each operation takes, with values that fit and values that hurt."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from drf_spectacular.generators import SchemaGenerator

METHODS = ("get", "post", "put", "patch", "delete")
DEEP = "[" * 2000 + "]" * 2000
TEXTS = (
    "", " ", "\0", "a\0b", "nan", "-inf", "1e400", "1" + "0" * 30, "-1", "9" * 5000, "²", "😀", "\ud800", "'; --",
    "../../etc/passwd", "..%2f..", "not-a-uuid", "2026-13-45", "9999-12-31T23:59:59-23:59", "nan nan", "0 91",
    "x" * 100_000, "<script>alert(1)</script>", "a\r\nSet-Cookie: x=1", "%s%n",
)  # fmt: skip
NUMBERS = (
    "",
    "\0",
    "nan",
    "-inf",
    "1e400",
    "1" + "0" * 30,
    "9" * 5000,
    "²",
    "x",
    "%s",
)  # for what is a number or a choice
# As they stand in a body: JSON and what is none.
VALUES = (
    *(json.dumps(text) for text in TEXTS), "NaN", "-Infinity", "1e400", "1" + "0" * 30, "-1", "0", "1.5", "true", "null",
    "[]", "{}", "[[]]", "[null]", '{"a": {"b": [1e308]}}', '["\\u0000"]', DEEP, "9" * 5000, "[" + "1," * 5000 + "1]",
)  # fmt: skip


def document() -> dict[str, Any]:
    """The OpenAPI document of the site."""
    return SchemaGenerator().get_schema(request=None, public=True)


# Of parameters that one piece of code reads for every endpoint.
SHARED = {
    "tag": ("", "\0", "x" * 100_000, "😀", "\ud800", "'; --", "%s"), "page_size": ("", "0", "-1", "²", "9" * 5000, "501"),
    "sort": ("", "-", "--pk", "pk", "id__x", "provenance__x", "\0", "?"), "cursor": ("", "\0", "²", "x" * 5000, "W10", "bnVsbA"),
}  # fmt: skip
CURSORS = ("NaN", "1e400", "1" + "0" * 400, '"x"', "null", "[]", "{}", '"\\u0000"', '"\\ud800"', '"9999-99-99"', "-1")


@dataclass(frozen=True)
class Operation:
    """A method of an address: names that stand in it, names of its query, fields of its body with values that fit."""

    method: str
    path: str
    in_path: tuple[str, ...]
    in_query: dict[str, bool]  # name → whether it is free text
    sorts: tuple[str, ...]
    body: dict[str, Any] | None
    statuses: frozenset[str]

    @property
    def name(self) -> str:
        """How a failure calls it."""
        return f"{self.method.upper()} {self.path}"


@dataclass(frozen=True)
class Asked:
    """A request: where, with which body, and which value is the one that hurts."""

    address: str
    body: bytes
    value: str


def operations(found: dict[str, Any]) -> list[Operation]:
    """Every operation of a document."""
    rows = []
    for path, methods in found["paths"].items():
        for method in set(methods) & set(METHODS):
            one = methods[method]
            takes = [*methods.get("parameters", []), *one.get("parameters", [])]
            schema = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            rows.append(
                Operation(
                    method,
                    path,
                    tuple(re.findall(r"\{(\w+)\}", path)),
                    {row["name"]: is_text(row["schema"]) for row in takes if row["in"] == "query"},
                    next((tuple(row["schema"]["enum"]) for row in takes if row["name"] == "sort"), ()),
                    fitting(schema, found) if schema else None,
                    frozenset(one["responses"]),
                )
            )
    return sorted(rows, key=lambda row: row.name)


def is_text(schema: dict[str, Any]) -> bool:
    """Whether a parameter is a text that is read further."""
    return schema.get("type") == "string" and "enum" not in schema and "format" not in schema


def fitting(schema: dict[str, Any], found: dict[str, Any], depth: int = 6) -> Any:
    """A small value that a schema allows."""
    if "$ref" in schema:
        schema = found["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for key in ("allOf", "oneOf", "anyOf"):
        if key in schema:
            return fitting(schema[key][0], found, depth - 1)
    if "enum" in schema:
        return next((value for value in schema["enum"] if value), "")
    if "properties" in schema and depth:
        rows = schema["properties"].items()
        return {name: fitting(row, found, depth - 1) for name, row in rows if not row.get("readOnly")}
    formats = {
        "uuid": "01938d5c-0000-7000-8000-000000000001", "date-time": "2026-11-22T05:00:00Z", "date": "2026-11-22",
        "uri": "https://example.org/", "email": "a@example.org",
    }  # fmt: skip
    if schema.get("type") == "array":
        return [fitting(schema.get("items", {}), found, depth - 1)] if depth else []
    kinds = {
        "integer": 1,
        "number": 1.0,
        "boolean": True,
        "object": {},
        "string": formats.get(schema.get("format"), "a"),
    }
    return kinds.get(schema.get("type"), "a")


def hostile(one: Operation, samples: dict[str, str]) -> Iterator[Asked]:
    """Each value that hurts in each place of an operation, all else as it should be: `samples` in the address."""

    def address(query: dict[str, str] | None = None, **names: str) -> str:
        path = one.path
        for name in one.in_path:
            path = path.replace(
                f"{{{name}}}", quote(names.get(name, samples.get(name, "1")), safe="", errors="surrogatepass")
            )
        return f"{path}?{urlencode(query, errors='surrogatepass')}" if query else path

    usual = json.dumps(one.body).encode() if one.body is not None else b""
    for name in one.in_path:
        yield from (
            Asked(address(**{name: text}), usual, f"{name}={text[:40]!r}") for text in TEXTS if text.strip("/.")
        )
    for name, is_free in one.in_query.items():
        tried = SHARED.get(name) or (TEXTS if is_free else NUMBERS)
        yield from (Asked(address({name: text}), usual, f"?{name}={text[:40]!r}") for text in tried)
    for sort in one.sorts if "cursor" in one.in_query else ():
        for value in CURSORS:
            for last in ('"01938d5c-0000-7000-8000-000000000001"', value):
                cursor = urlsafe_b64encode(f'["{sort.lstrip("-")}", {value}, {last}]'.encode()).decode().rstrip("=")
                yield Asked(address({"sort": sort, "cursor": cursor}), usual, f"?sort={sort}&cursor={value[:20]}")
    if one.body is None:
        return
    for value in VALUES:
        yield Asked(address(), value.encode(), f"body {value[:40]}")
        for field in one.body if isinstance(one.body, dict) else ():
            rest = "".join(f", {json.dumps(key)}: {json.dumps(kept)}" for key, kept in one.body.items() if key != field)
            body = f"{{{json.dumps(field)}: {value}{rest}}}"
            yield Asked(address(), body.encode(), f"{field}: {value[:40]}")
