"""The conductor's numbers, for pages of others."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext

from conductor import selectors

register = template.Library()


@register.inclusion_tag("conductor/numbers.html", takes_context=True)
def conductor_numbers(context: RequestContext) -> dict[str, Any]:
    """Waiting, running, failed, held, workers alive; nothing for people who may not see the conductor."""
    person = getattr(context.get("request"), "user", None)
    seen = person is not None and person.has_perm("conductor.view_knownexposure")
    return {"overview": selectors.overview() if seen else None}
