"""What is answered when something fails, and whether anything does."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from seechange_site.api import AWAY, AWAY_TEXT, RETRY_AFTER, shape

FLOOR = 2**30  # bytes of free disk below which the site is not well


def failed(request: HttpRequest) -> HttpResponse:
    """503 where the database is away, 500 for a fault of ours; both without asking the database."""
    trouble: BaseException | None = sys.exc_info()[1]
    while trouble is not None and not isinstance(trouble, AWAY):
        trouble = trouble.__cause__ or trouble.__context__
    status = 503 if trouble is not None else 500
    answer: HttpResponse
    if request.path.startswith("/api/"):
        said = shape("unavailable", AWAY_TEXT) if status == 503 else shape("error", "a fault of the site; it is logged")
        answer = JsonResponse(said, status=status)
    else:
        answer = HttpResponse(render_to_string(f"{status}.html"), status=status)
    if status == 503:
        answer["Retry-After"] = RETRY_AFTER
    return answer


def unreadable(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 for a request that no page or endpoint is asked about, e.g. with a wrong name of the site."""
    if request.path.startswith("/api/"):
        return JsonResponse(shape("invalid", "the request cannot be read, or names another site"), status=400)
    return HttpResponse(render_to_string("400.html"), status=400)


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 where the site can work, 503 where it cannot; what is wrong is told to the staff only."""
    found = dict(_checks())
    is_well = not any(found.values())
    said: dict[str, object] = {"status": "ok" if is_well else "unavailable"}
    if not found["database"] and request.user.is_staff:
        said["checks"] = {name: trouble or "ok" for name, trouble in found.items()}
    return JsonResponse(said, status=200 if is_well else 503, headers={} if is_well else {"Retry-After": RETRY_AFTER})


def _checks() -> Iterator[tuple[str, str]]:
    """(what, trouble or an empty string)."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        yield "database", ""
    except Error as error:
        yield "database", str(error)
    data = Path(settings.SEECHANGE_DATA)
    try:
        free = shutil.disk_usage(data).free
        yield "disk", "" if free > FLOOR else f"{free / 2**30:.1f} GB are left in {data}"
    except OSError as error:
        yield "disk", str(error)
    archive = settings.SEECHANGE_ARCHIVE
    yield "archive", "" if not archive or Path(archive).is_dir() else f"{archive} is not there"
