"""JSON of the REST API."""

from __future__ import annotations

import json
import math
from typing import Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer

DEEPEST = 32  # nested lists and objects


class Numbers(JSONRenderer):
    """JSON in which what is not a number, or infinite, is null."""

    charset = None  # JSON is UTF-8 by definition

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """The answer's bytes."""
        try:
            return super().render(data, accepted_media_type, renderer_context)
        except ValueError:  # something is not finite, which is rare: to look at every number takes long
            return super().render(finite(data), accepted_media_type, renderer_context)


def finite(value: Any) -> Any:
    """The same with None for every NaN and infinity, however deep."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value


class TooLarge(APIException):
    """More than a request may send."""

    status_code = 413
    default_code = "too_large"
    default_detail = "the body is larger than this site takes"


class Strict(JSONParser):
    """JSON without what databases refuse or disagree about: no NaN, no infinity, no NUL, no half characters."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The value of the body; 400 for what is no such JSON, 413 for more than DATA_UPLOAD_MAX_MEMORY_SIZE."""
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge
        try:
            found = json.loads(body.decode(), parse_float=_number, parse_constant=_number)
            _inspect(found, DEEPEST)
        except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
            raise ParseError(f"the body is not JSON that can be taken: {str(error)[:200] or 'too deep'}") from None
        return found


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:30]} is not a finite number")
    return number


def _inspect(value: Any, depth: int) -> None:
    """ValueError for what is nested too deeply or has a character that no database keeps."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a NUL character")
        value.encode()  # a half of a surrogate pair cannot be
    elif isinstance(value, (dict, list)):
        if not depth:
            raise ValueError(f"it is nested more than {DEEPEST} times")
        for one in (*value, *value.values()) if isinstance(value, dict) else value:
            _inspect(one, depth - 1)
