"""JSON of the REST API."""

from __future__ import annotations

import math
from typing import Any

from rest_framework.renderers import JSONRenderer


class Numbers(JSONRenderer):
    """JSON in which what is not a number, or infinite, is null."""

    charset = None  # JSON is UTF-8 by definition

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """The answer's bytes."""
        return super().render(finite(data), accepted_media_type, renderer_context)


def finite(value: Any) -> Any:
    """The same with None for every NaN and infinity, however deep."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value
