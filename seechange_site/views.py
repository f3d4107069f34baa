"""Pages that belong to no app: the night at a glance, the search of the bar, preferences, documentation."""

from __future__ import annotations

import datetime
import re
import uuid
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import markdown
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_POST, require_safe

from products import sky
from products.dates import date_of_mjd
from products.models import Alert, Exposure, Image, Measurement, Object, Provenance
from products.selectors import nights
from products.selectors.fakes import of_night
from products.selectors.tags import chosen_tag
from products.views.plotting import Frame, frame, padded
from seechange_site.authentication import may
from seechange_site.endpoints import Endpoint, endpoints

YEAR = 365 * 86400
FIRST_PAGES = ("overview", "setup", "processing", "configuration", "provenance")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The latest night with exposures, or the one that the address asks for (`night=2026-11-22`: where it begins)."""
    tag = chosen_tag(request)
    number, trouble = nights.latest_night(tag), ""
    if asked := request.GET.get("night", ""):
        try:
            day = datetime.date.fromisoformat(asked)
            if not 1900 <= day.year <= 2200:
                raise ValueError("no exposure is that old or that young")
            number = (day - datetime.date(1858, 11, 17)).days
        except ValueError:
            trouble = f"“{asked}” is not a date; the night that began on 22 November 2026 is 2026-11-22."
    context: dict[str, object] = {"trouble": trouble, "tonight": nights.night_now()}
    if number is not None:
        found = nights.night(number, tag, request.user)
        dates = [date_of_mjd(number + step).date() for step in (-1, 0, 1)]
        context["fakes"] = of_night(number, tag)
        context |= {"night": found, "plots": plots_of(found), "before": dates[0], "begins": dates[1], "after": dates[2]}
    return render(request, "home.html", context)


def plots_of(night: nights.Night) -> dict[str, object] | None:
    """Seeing and limits of the night against time, on one time axis."""
    seeing = [(row, row.exposure.mjd, row.seeing) for row in night.rows if row.seeing]
    limits = [(row, row.exposure.mjd, band, value) for row in night.rows for band, value in row.limits.items()]
    if not seeing and not limits:
        return None

    def hour(mjd: float) -> float:
        return 24 * (mjd - night.number)

    hours = padded([hour(row.exposure.mjd) for row in night.rows], part=0.04, least=0.5)
    strip = frame(hours, (0, 1), height=210, is_clock=True)
    found: dict[str, object] = {"strip": [(row, strip.x.at(hour(row.exposure.mjd))) for row in night.rows]}
    if seeing:
        drawn: Frame = frame(hours, padded([value for *_, value in seeing]), height=210, is_clock=True)
        found["seeing"] = {
            "frame": drawn,
            "marks": [(row, drawn.x.at(hour(mjd)), drawn.y.at(y)) for row, mjd, y in seeing],
        }
    if limits:
        drawn = frame(hours, padded([value for *_, value in limits]), height=210, is_clock=True)
        marks = [(row, band, drawn.x.at(hour(mjd)), drawn.y.at(y), y) for row, mjd, band, y in limits]
        found["limits"] = {"frame": drawn, "marks": marks, "bands": sorted({band for _, _, band, _ in limits})}
    return found


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """The search of the bar: an exposure, an object, or a position."""
    text = request.GET.get("q", "").replace("\0", "").strip()[:200]
    if not text:
        return redirect("home")
    tag = chosen_tag(request)
    if Exposure.objects.filter(name=text).exists():
        return redirect("exposure", name=text)
    if Object.objects.filter(name=text).exists():
        return redirect("object", name=text)
    if address := address_of_id(text):
        return redirect(address)
    try:
        sky.parse_position(text)
    except ValueError:
        pass
    else:
        return redirect(f"{reverse('objects')}?{urlencode({'position': text, 'radius': 10})}")
    exposures = tag.narrow(Exposure.objects.filter(name__icontains=text)).defer("header", "companions")[:25]
    things = Object.objects.filter(name__icontains=text)[:25]
    if len(exposures) + len(things) == 1:
        return redirect("exposure", name=exposures[0].name) if exposures else redirect("object", name=things[0].name)
    return render(request, "find.html", {"q": text, "exposures": exposures, "things": things})


def address_of_id(text: str) -> str:
    """Where the id of an alert, a measurement, an image or a provenance leads; an empty string for anything else."""
    if Provenance.objects.filter(pk=text.upper()).exists():
        return reverse("provenance", kwargs={"key": text.upper()})
    try:
        key = uuid.UUID(text)
    except ValueError:
        return ""
    if Image.objects.filter(pk=key).exists():
        return reverse("image", kwargs={"key": key})
    if Alert.objects.filter(pk=key).exists():
        return reverse("alert", kwargs={"key": key})
    told = Measurement.objects.filter(pk=key).select_related("object").first()
    return f"{reverse('object', kwargs={'name': told.object.name})}?point={told.pk}" if told else ""


@require_POST
def preferences(request: HttpRequest) -> HttpResponse:
    """Keep the theme or the chosen tag in a cookie and go back."""
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    response = redirect(back if safe else "home")
    for name in ("theme", "tag"):
        if value := request.POST.get(name, "")[:100]:
            response.set_cookie(name, quote(value), max_age=YEAR, samesite="Lax", secure=request.is_secure())
    return response


@require_safe
def api_index(request: HttpRequest) -> HttpResponse:
    """Every endpoint of the REST API with what it needs, and which of them are open to the one who looks."""
    groups: dict[str, list[tuple[Endpoint, bool]]] = {}
    for one in endpoints():
        is_open = request.user.is_authenticated and may(request.user, one.permission)
        groups.setdefault(one.path.split("/")[3], []).append((one, is_open))
    return render(request, "api.html", {"groups": groups, "total": len(endpoints())})


def docs_folder() -> Path:
    """Where the documentation is."""
    return Path(settings.BASE_DIR) / "templates" / "docs"


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """The first page of the documentation."""
    pages = [name for name, _ in contents()]
    if not pages:
        raise Http404("There is no documentation in templates/docs.")
    return redirect("doc", page=pages[0])


@require_safe
def doc(request: HttpRequest, page: str) -> HttpResponse:
    """A page of the documentation: Markdown from templates/docs."""
    known = dict(contents())
    if page not in known:
        raise Http404(f"There is no page '{page}' in the documentation.")
    path = docs_folder() / f"{page}.md"
    title, body, toc = rendered(path, path.stat().st_mtime_ns)
    return render(request, "doc.html", {"page": page, "title": title, "body": body, "toc": toc, "pages": contents()})


def contents() -> list[tuple[str, str]]:
    """(name, title) of every page, introductions first, folders last."""
    folder = docs_folder()
    found = []
    for path in folder.rglob("*.md"):
        name = path.relative_to(folder).with_suffix("").as_posix()
        order = next((i for i, first in enumerate(FIRST_PAGES) if name.startswith(first)), len(FIRST_PAGES))
        found.append(((name.count("/"), order, name), name, rendered(path, path.stat().st_mtime_ns)[0]))
    return [(name, title) for _, name, title in sorted(found)]


@lru_cache(maxsize=256)
def rendered(path: Path, changed: int) -> tuple[str, str, str]:
    """Title, body and table of contents of a page; links to `other.md` become addresses of the site."""
    parser = markdown.Markdown(
        extensions=["tables", "fenced_code", "toc"], extension_configs={"toc": {"toc_depth": "2-3"}}
    )
    text = path.read_text(encoding="utf-8")
    body = parser.convert(text)
    heading = re.match(r"#\s+(.+)", text.lstrip())
    title = heading.group(1).strip() if heading else path.stem.replace("_", " ")
    body = re.sub(r'href="(?![a-z]+:|/)([^"#]+)\.md(#[^"]*)?"', _address(path), body)
    body = body.replace("<table>", '<div class="table" tabindex="0"><table>').replace("</table>", "</table></div>")
    return title, mark_safe(body), mark_safe(parser.toc)


def _address(path: Path):
    folder = docs_folder().resolve()

    def replace(match: re.Match[str]) -> str:
        target = (path.parent / match.group(1)).resolve()
        name = target.relative_to(folder).as_posix() if target.is_relative_to(folder) else target.name
        return f'href="{reverse("doc", kwargs={"page": name})}{match.group(2) or ""}"'

    return replace
