"""Rows of exposures in a file that somebody uploads: JSON or CSV, checked as the REST API checks them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conductor.api.serializers import OfferSerializer
from conductor.errors import BadValue
from processing.instruments.offers import Offer

LARGEST = 5_000_000  # bytes
MOST = 1000  # rows
PARAMS = ("path", "size", "sha256")  # what a person may say of where a raw file is
FIELDS = tuple(OfferSerializer().fields)
SHOWN = 10  # errors


def offers_of(content: bytes, folders: Iterable[Path]) -> list[Offer]:
    """The exposures of a file: a JSON list of objects, or CSV with a line of names. BadValue says what is wrong where.

    Raw files may only be in `folders`: what is fetched later must not be anything that the server can read.
    """
    text = _text(content)
    rows = _from_json(text) if text.lstrip()[:1] in ("[", "{") else _from_csv(text)
    if not 0 < len(rows) <= MOST:
        raise BadValue(field="file", reason=f"it has {len(rows)} rows; from 1 to {MOST} are possible")
    checked = OfferSerializer(data=rows, many=True, context={"folders": [*folders]})
    if not checked.is_valid():
        raise BadValue(field="file", reason="; ".join(_told(checked.errors)))
    for number, row in enumerate(checked.validated_data, 1):
        if unknown := sorted(set(row["params"]) - set(PARAMS)):
            said = f"row {number}: params: {', '.join(unknown)!r} cannot be given here; there are: {', '.join(PARAMS)}"
            raise BadValue(field="file", reason=said)
    return [Offer(**row) for row in checked.validated_data]


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        raise BadValue(field="file", reason=f"it is larger than {LARGEST / 1e6:g} MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadValue(field="file", reason=f"byte {error.start} is not UTF-8") from error
    if "\0" in text:
        raise BadValue(field="file", reason="there is a NUL character in it")
    return text


def _from_json(text: str) -> list[Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not a number")

    try:
        found = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadValue(field="file", reason=f"this is not JSON: {error}") from error
    if isinstance(found, dict):
        found = found.get("exposures")
    if not isinstance(found, list):
        raise BadValue(field="file", reason='a list of objects is needed, or {"exposures": [...]}')
    return found


def _from_csv(text: str) -> list[dict[str, Any]]:
    """Rows; empty cells are left out, and `path`, `size`, `sha256` become the parameters of the raw file."""
    try:
        lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        unknown = sorted(set(lines.fieldnames or ()) - {*FIELDS, *PARAMS})
        if unknown:
            names = ", ".join([*FIELDS, *PARAMS])
            raise BadValue(field="file", reason=f"there is no column {', '.join(unknown)!r}; there are: {names}")
        rows = []
        for line in lines:
            if None in line or None in line.values():
                raise BadValue(field="file", reason=f"line {lines.line_num} has not as many cells as the first")
            rows.append(_row_of(line))
    except csv.Error as error:
        raise BadValue(field="file", reason=f"line {lines.line_num}: {error}") from error
    return rows


def _row_of(line: dict[str, str]) -> dict[str, Any]:
    cells = {name: value.strip() for name, value in line.items() if value.strip()}
    params = {name: cells.pop(name) for name in PARAMS if name in cells}
    for name in ("params", "filters"):
        if name in cells:
            try:
                cells[name] = json.loads(cells[name])
            except (ValueError, RecursionError):
                continue  # said as what it is: no object
    if str(params.get("size", "")).isdecimal():
        params["size"] = int(params["size"])
    return {**cells, **({"params": params} if params else {})}


def _told(errors: Any) -> list[str]:
    """`row 3: mjd: A valid number is required.`, the first few of them."""
    found = []
    rows = errors.items() if isinstance(errors, dict) else enumerate(errors)  # the wrong ones, or all of them
    for index, wrong in rows:
        for name, said in wrong.items() if isinstance(wrong, dict) else [("", wrong)]:
            what = said[0] if isinstance(said, list) else said
            found.append(f"row {index + 1}: {'' if name in ('', 'non_field_errors') else f'{name}: '}{what}")
    more = len(found) - SHOWN
    return found[:SHOWN] + ([f"and {more} more"] if more > 0 else [])
