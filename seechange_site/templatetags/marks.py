"""Marks that mean the same everywhere: bands, state chips, how far a CCD came, heads that sort."""

from __future__ import annotations

import math
from typing import Any

from django import template
from django.template.context import RequestContext
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from products.selectors.lineage import slug_of

register = template.Library()

BANDS = "ugrizy"
NOTHING = mark_safe('<span class="quiet">–</span>')
ICON = '<svg class="ico" aria-hidden="true"><use href="#{}"/></svg>'


def band_of(name: str) -> str:
    """The band whose mark and colour a filter takes, or an empty string."""
    first = name[:1].lower()
    return first if first in BANDS and first else ""


@register.filter
def band_letter(name: str) -> str:
    """The letter of `band_of`, for the names of marks and classes."""
    return band_of(name)


@register.simple_tag
def icon(name: str) -> SafeString:
    """One of the icons of base.html."""
    return format_html(ICON, name)


@register.simple_tag
def band(name: str | None) -> SafeString:
    """Mark, colour and letter of a filter; an open mark for one that is not of ugrizy."""
    if not name:
        return NOTHING
    letter = band_of(name)
    if not letter:
        return format_html('<span class="band" title="filter {0}">{0}</span>', name)
    open_mark = "" if name.lower() == letter else " open"
    svg = format_html('<svg class="mark{}" aria-hidden="true"><use href="#b-{}"/></svg>', open_mark, letter)
    return format_html('<span class="band b-{0}" title="filter {1}">{2}{1}</span>', letter, name, svg)


@register.simple_tag
def chip(state: str, text: str = "") -> SafeString:
    """State as icon, word and loudness."""
    return format_html('<span class="chip {0}">' + ICON.replace("{}", "{0}") + "{1}</span>", state, text or state)


@register.simple_tag
def how_far(ticks: list[tuple[str, str]]) -> SafeString:
    """One tick a step; `ticks` are (name, state) with states done, failed, running, none; a dash without any."""
    if not ticks:
        return NOTHING
    classes = {"done": "", "failed": "ko", "running": "go", "none": "no"}
    done = sum(state == "done" for _, state in ticks)
    stopped = next((name for name, state in ticks if state == "failed"), "")
    label = f"{done} of {len(ticks)} steps" + (f", stopped in {stopped}" if stopped else "")
    bars = format_html_join("", '<b class="{}"></b>', ((classes[state],) for _, state in ticks))
    return format_html('<span class="steps" role="img" aria-label="{0}" title="{0}">{1}</span>', label, bars)


@register.simple_tag(takes_context=True)
def head(context: RequestContext, text: str, field: str, *, unit: str = "", numeric: bool = False) -> SafeString:
    """A column head that sorts; the view puts the sorted field into `sort` (with a minus when descending)."""
    current = context.get("sort", "")
    descending = current == f"-{field}"
    query = context["request"].GET.copy()
    query["sort"] = field if descending else f"-{field}"
    query.pop("page", None)
    order = (
        format_html(' aria-sort="{}"', "descending" if descending else "ascending")
        if field == current.lstrip("-")
        else ""
    )
    below = format_html('<span class="unit">{}</span>', unit) if unit else ""
    kind = mark_safe(' class="n"') if numeric else ""
    return format_html('<th scope="col"{}{}><a href="?{}">{}</a>{}', kind, order, query.urlencode(), text, below)


@register.inclusion_tag("partials/against.html")
def against(cut: list[Any]) -> dict[str, Any]:
    """A value against its threshold: bar, tick and sentence."""
    name, value, threshold, passed = cut
    found = {"name": name, "cut": cut, "passed": passed, "drawn": False}
    if value is None or threshold is None:
        return found
    value, threshold = float(value), float(threshold)
    low, high = min(0.0, 1.25 * value, 1.25 * threshold), max(0.0, 1.25 * value, 1.6 * threshold)
    span = (high - low) or 1.0
    ends = sorted(100 * (number - low) / span for number in (0.0, value))
    return found | {
        "drawn": math.isfinite(span),
        "start": ends[0],
        "length": ends[1] - ends[0],
        "threshold": 100 * (threshold - low) / span,
    }


@register.filter
def enlarged(size: int, scale: int = 2) -> int:
    """The whole number by which stamps of `size` pixels are enlarged to be as large as 51 are by `scale`."""
    return max(1, round(51 * scale / size)) if size else scale


@register.inclusion_tag("partials/trio.html")
def trio(measurement: Any, scale: int = 2, pixel_scale: float | None = None, size: int = 51) -> dict[str, Any]:
    """New, reference and difference of one measurement; the scale bar of 10″ where the pixels' scale is known."""
    bar = 10 / pixel_scale / size * 51 if pixel_scale and size else 0
    planes = ("new", "reference", "difference")
    shown = round(5 + bar, 1) if 0 < bar < 36 else 0
    return {"measurement": measurement, "k": enlarged(size, scale), "bar": shown, "size": size, "planes": planes}


@register.filter
def kind_slug(product: Any) -> str:
    """The kind of a product in the address of its graph."""
    return slug_of(product._meta.concrete_model)
