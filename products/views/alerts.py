"""Alerts: the ledger, one alert with its packet, what streams decided about a measurement, the schemas."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from products.alerts import avro, frozen
from products.alerts.packet import Packet
from products.alerts.reading import described
from products.errors import ArchiveError
from products.filters.alerts import AlertFilter
from products.forms import SendAgainForm
from products.models import Alert, Exposure, Measurement
from products.selectors import alerts as selector
from products.selectors import candidates
from products.selectors.nights import night_of
from products.selectors.provenances import bad_provenances
from products.selectors.tags import chosen_tag
from products.services.resending import send_again
from products.views.paging import page_of

SORTS = {
    "made": "created_at", "sent": "sent_at", "attempts": "attempts", "size": "payload_size", "stream": "stream",
    "score": "score__score", "object": "score__measurement__object__name", "measured": "score__measurement__mjd",
}  # fmt: skip
WITH_GAPS = {"sent", "size"}
CHIPS = {
    "sent": ("done", "sent"), "pending": ("ready", "waiting"), "withheld": ("held", "withheld"),
    "dead": ("failed", "cannot be sent"),
}  # fmt: skip
RESEND = "products.change_alert"


def filtered(request: HttpRequest) -> AlertFilter:
    """The alerts of the tag with the filters of the address."""
    return AlertFilter(request.GET, queryset=selector.of_tag(chosen_tag(request)), request=request)


@require_safe
def alert_list(request: HttpRequest) -> HttpResponse:
    """The ledger: every alert, filtered and sorted, with the numbers of each stream."""
    filters, tag = filtered(request), chosen_tag(request)
    wanted = filters.wanted
    sort = request.GET.get("sort", "-made")
    sort = sort if sort.lstrip("-") in SORTS else "-made"
    field = F(SORTS[sort.lstrip("-")])
    gaps = {"nulls_last": True} if sort.lstrip("-") in WITH_GAPS else {}  # else an index could not serve
    order = field.desc(**gaps) if sort.startswith("-") else field.asc(**gaps)
    page = page_of(request, filters.qs.order_by(order, "pk").values_list("pk", flat=True), 50)
    keys = list(page.object_list)
    rows = {alert.pk: alert for alert in selector.with_subject(Alert.objects.filter(pk__in=keys))}
    night = night_shown(request, filters)
    within = Exposure.objects.filter(name=wanted.get("exposure", "")).values_list("name", flat=True).first() or ""
    states = selector.totals(selector.counts(selector.of_tag(tag)))
    return render(
        request,
        "products/alerts.html",
        {
            "form": filters.form,
            "narrowed": filters.is_narrowed,
            "sort": sort,
            "page": page,
            "rows": [rows[key] for key in keys],
            "chips": CHIPS,
            "states": states,
            "total": states.total(),
            "schema_version": avro.VERSION,
            "streams": selector.balance(tag, night=night, exposure=within),
            "night": night,
            "exposure": within,
            "again": SendAgainForm(),
            "may_resend": request.user.has_perm(RESEND),
        },
    )


def night_shown(request: HttpRequest, filters: AlertFilter) -> int | None:
    """The night whose balance is shown: that of the address, else the last one with an alert or a receipt."""
    wanted = filters.wanted
    if "night" in wanted:
        return int(wanted["night"])
    if wanted.get("exposure"):
        return None
    mjd = selector.latest_mjd(chosen_tag(request))
    return None if mjd is None else night_of(mjd)


@require_safe
def alert(request: HttpRequest, key: UUID) -> HttpResponse:
    """One alert: what its packet says, where it went, every attempt."""
    found = alert_or_404(key)
    row = candidates.with_source(Measurement.objects.filter(pk=found.score.measurement_id)).get()
    packet, trouble = packet_of(found)
    return render(
        request,
        "products/alert.html",
        {
            "alert": found,
            "chip": CHIPS[found.shown_state],
            "row": row,
            "source": candidates.source(row),
            "packet": packet,
            "trouble": trouble,
            "fields": described(packet) if packet else {},
            "cuts": {name: value for name, value in selector.cuts_of(found).items() if name != "name"},
            "events": list(found.events.all()),
            "bad_provenances": bad_provenances([found.provenance_id]) if found.badly_made else [],
            "again": SendAgainForm(),
            "may_resend": request.user.has_perm(RESEND),
        },
    )


def alert_or_404(key: UUID) -> Alert:
    """The alert with this id, with what it is about."""
    rows = selector.with_subject(Alert.objects.all()).select_related("batch__provenance", "score__measurement__object")
    return get_object_or_404(rows, pk=key)


def packet_of(found: Alert) -> tuple[Packet | None, str]:
    """The packet of an alert, or why there is none."""
    try:
        packet = frozen.packet_of(found)
    except (ArchiveError, OSError) as error:
        return None, str(error)
    return packet, "" if packet else "the measurement does not fit the schema"


@require_safe
def packet_file(request: HttpRequest, key: UUID) -> HttpResponse:
    """The packet of an alert, with the bytes that are, or were, sent."""
    packet, trouble = packet_of(alert_or_404(key))
    if packet is None:
        raise Http404(f"There is no packet: {trouble}.")
    return avro_answer(avro.encode(packet), f"{key}.avro")


def avro_answer(payload: bytes, name: str) -> HttpResponse:
    """An Avro file to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(payload, content_type="application/avro", headers=headers)


@require_safe
def schema(request: HttpRequest, version: str) -> HttpResponse:
    """The Avro schema of a version."""
    try:
        text = avro.schema_text(version)
    except KeyError:
        raise Http404(f"There is no schema {version[:20]}; there are {', '.join(avro.versions())}.") from None
    return HttpResponse(text, content_type="application/json", headers={"Cache-Control": "public, max-age=86400"})


@require_safe
def decided(request: HttpRequest, key: UUID) -> HttpResponse:
    """What every stream decided about a measurement, and which cut kept it back."""
    row = get_object_or_404(candidates.with_source(Measurement.objects.all()), pk=key)
    context: dict[str, Any] = {
        "row": row,
        "source": candidates.source(row),
        "decisions": selector.decisions(row, chosen_tag(request)),
        "chips": CHIPS,
    }
    return render(request, "products/decisions.html", context)


@require_POST
@login_required
@permission_required(RESEND, raise_exception=True)
def again(request: HttpRequest, key: UUID | None = None) -> HttpResponse:
    """Put one alert, or all given-up ones that the filters of the address choose, back on the list."""
    form = SendAgainForm(request.POST)
    back = reverse("alert", args=[key]) if key else f"{reverse('alerts')}?{request.GET.urlencode()}"
    if not form.is_valid():
        messages.error(request, "Say why they are sent again.")
        return redirect(back)
    choice = filtered(request)
    if not key and choice.errors:  # the others would be more than what was meant
        messages.error(request, f"Nothing is sent again: correct {', '.join(choice.errors)} first.")
        return redirect(back)
    dead = choice.qs.filter(state=Alert.State.DEAD)
    keys = [alert_or_404(key).pk] if key else dead.values_list("pk", flat=True)
    number = send_again(keys, who=request.user.get_username(), why=form.cleaned_data["why"])
    messages.success(request, f"{number} to be sent again; the next run of send_alerts takes them.")
    return redirect(back)
