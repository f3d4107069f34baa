"""The conductor's page, and one known exposure."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Case, F, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from conductor import movements, selectors
from conductor.asking import ASKS
from conductor.filters import KnownExposureFilter
from conductor.models import KnownExposure, Watch
from conductor.models.known_exposures import MAX_ATTEMPTS
from conductor.services import policy, watches
from conductor.services.claiming import LEASE
from conductor.services.undoing import with_undo
from conductor.views.access import seen_by
from processing.instruments.base import Instrument
from products.models import Report
from products.views.paging import page_of

State = KnownExposure.State
URGENT_FIRST = (State.FAILED, State.PARTIAL, State.RUNNING, State.CLAIMED, State.READY, State.HELD, State.DONE)
SORTS: dict[str, tuple[Any, ...]] = {
    "state": (
        Case(*(When(state=state, then=Value(n)) for n, state in enumerate(URGENT_FIRST))),
        Case(When(state=State.READY, then=-F("priority"))),  # what is handed out next comes first
        Case(When(state=State.READY, then=F("mjd"))),
    ),
    "priority": (F("priority"),),
    "identifier": (F("identifier"),),
    "mjd": (F("mjd"),),
    "target": (F("target"),),
    "tries": (F("attempt"),),
    "lease": (F("lease_expires"),),
    "worker": (F("worker__cluster"), F("worker__node")),
    "error": (F("last_error"),),
}
FIRST = "state"
MOVEMENTS = 7  # of the card at the side
NIGHTS = (("1", "tonight"), ("2", "last two nights"), ("7", "last week"), ("30", "last 30 nights"))


@seen_by()
def conductor(request: HttpRequest) -> HttpResponse:
    """Known exposures by what they can be searched by, workers, watches, what moved; `part=table`: what changes."""
    part = request.GET.get("part") == "table"
    request.GET = without_part(request)  # so that no link of the part leads to the part
    found = KnownExposureFilter(request.GET, queryset=selectors.rows(), request=request)
    sort = request.GET.get("sort", FIRST)
    sort = sort if sort.lstrip("-") in SORTS else FIRST
    page = page_of(request, sorted_rows(found.qs, sort), 25)
    page.object_list = decorated(page.object_list)
    overview = selectors.overview()
    looks = list(Watch.objects.all())
    paused = watches.why_paused(looks)
    context = {
        "filter": found,
        "form": found.form,
        "narrowed": found.is_narrowed,
        "sort": sort,
        "page": page,
        "pills": pills(request),
        "overview": overview,
        "policy_event": policy.last_pause() if overview.policy.is_paused else None,
        "workers": selectors.workers(),
        "watches": [(watch, paused.get(watch.pk)) for watch in looks],
        "movements": movements.latest(MOVEMENTS),
        "asks": asks_of(request),
        "lease": LEASE,
        "max_attempts": MAX_ATTEMPTS,
        "instruments": sorted(Instrument.members()),
        "nights": NIGHTS,
        "here_again": f"{request.path}?{request.GET.urlencode()}",
    }
    return render(request, f"conductor/{'live' if part else 'conductor'}.html", context)


def without_part(request: HttpRequest) -> QueryDict:
    """What the address asks for, of the whole page."""
    query = request.GET.copy()
    query.pop("part", None)
    return query


def sorted_rows(rows: QuerySet, sort: str) -> QuerySet:
    """The rows in order; what is missing comes last, and the youngest come first among equals."""
    keys = [
        key.desc(nulls_last=True) if sort.startswith("-") else key.asc(nulls_last=True)
        for key in SORTS[sort.lstrip("-")]
    ]
    return rows.order_by(*keys, "-mjd", "-id")


def pills(request: HttpRequest) -> list[tuple[str, int, bool]]:
    """State, how many fit all other filters, and whether it is chosen."""
    others = request.GET.copy()
    chosen = set(others.pop("state", []))
    found = KnownExposureFilter(others, queryset=KnownExposure.objects.all(), request=request)
    return [(state, number, state in chosen) for state, number in selectors.counts(found.qs).items()]


def decorated(rows: Any) -> list[KnownExposure]:
    """Rows with what is left of the lease (s, and of a bar of 64), who held it and why, and until when it waits."""
    rows, now = list(rows), timezone.now()
    holds = movements.reasons_of_holds(rows)
    for row in rows:
        row.lease_left = (row.lease_expires - now).total_seconds() if row.lease_expires else None
        row.lease_bar = None if row.lease_left is None else round(64 * min(max(row.lease_left / LEASE, 0.0), 1.0))
        row.why = selectors.why(row)
        row.hold = holds.get(row.pk)
        row.waits_until = row.not_before if row.not_before and row.not_before > now else None
    return rows


def asks_of(request: HttpRequest) -> list[Any]:
    """The buttons for what this person may do."""
    return [ask for ask in ASKS.values() if request.user.has_perm(ask.permission)]


@seen_by()
def known_exposure(request: HttpRequest, key: str) -> HttpResponse:
    """One known exposure by id or identifier: facts, holder, CCDs, events, reports, and what can be done with it."""
    row = _named(key)
    if row is None:
        return redirect(f"{reverse('conductor')}?{urlencode({'identifier': key})}")
    (row,) = decorated([row])
    before, after = selectors.neighbours(row)
    reports = Report.objects.filter(exposure=row.exposure).defer("traceback", "error_details") if row.exposure else ()
    return render(
        request,
        "conductor/known_exposure.html",
        {
            "row": row,
            "before": before,
            "after": after,
            "sections": sections_of(row),
            "events": movements.marked(with_undo(selectors.history(row))[:200]),
            "reports": reports and reports.order_by("-started_at")[:100],
            "asks": [ask for ask in asks_of(request) if row.state in ask.allowed],
            "lease": LEASE,
            "max_attempts": MAX_ATTEMPTS,
        },
    )


def _named(key: str) -> KnownExposure | None:
    """The known exposure of that id or identifier; None where several instruments have one; 404 without any."""
    try:
        found = list(selectors.rows().filter(pk=uuid.UUID(key)))
    except ValueError:
        found = list(selectors.rows().filter(identifier=key)[:2])
    if not found:
        raise Http404("There is no such known exposure.")
    return found[0] if len(found) == 1 else None


def sections_of(row: KnownExposure) -> list[dict[str, Any]]:
    """What was last said of each CCD, failures first; a row that is not as it should be shows what it has."""
    told = row.sections if isinstance(row.sections, dict) else {}
    rows = [{"name": name, **(said if isinstance(said, dict) else {"error": str(said)})} for name, said in told.items()]
    return sorted(rows, key=lambda said: (said.get("state") == "done", said["name"]))
