"""Say that a product is bad, or good after all: what will inherit it is told before it is done."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.decorators import login_required
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from products.forms import BadForm
from products.models import Alert, AlertBatch, Measurement
from products.models.badness import Badness, HasBadness
from products.selectors import lineage as selector
from products.services.badness import batches, heirs_of
from products.services.marking import mark_product
from products.views.lineage import may_mark, own_page, product_or_404


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def mark(request: HttpRequest, kind: str, key: UUID) -> HttpResponse:
    """What is wrong with one product: the form, and what follows of it; `bits` of the address are ticked before."""
    row = product_or_404(kind, key)
    if not may_mark(request.user, row):
        raise PermissionDenied
    posted = request.method == "POST"
    form = BadForm(row.ALLOWED_BADNESS, request.POST if posted else None, initial={"bits": ticked(request, row)})
    if posted and form.is_valid():
        return done(request, row, form.cleaned_data["bits"], form.cleaned_data["reason"])
    heirs = heirs_of(row)
    of_it = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(row), object_id=row.pk)
    context = {
        "row": row,
        "centre": selector.centre_of(row),
        "form": form,
        "heirs": sorted((str(model._meta.verbose_name_plural), len(keys)) for model, keys in heirs.items()),
        "alerts": alerts_of(row, heirs),
        "history": of_it.select_related("user")[:20],
        "back": own_page(row) or reverse("product", args=[kind, row.pk]),
    }
    return render(request, "products/mark.html", context, status=400 if form.errors else 200)


def ticked(request: HttpRequest, row: HasBadness) -> list[int]:
    """The bits that the form shows as set: those that the address asks for, else those of the product."""
    if "bits" in request.GET:
        return [int(text) for text in request.GET.getlist("bits") if text.isdecimal() and len(text) < 20]
    return [int(bit) for bit in Badness if bit & row.badness_own]


def alerts_of(row: HasBadness, heirs: dict[type[HasBadness], set[UUID]]) -> dict[str, int]:
    """State → number of the alerts that rest on a product."""
    found: Counter[str] = Counter()
    receipts = heirs.get(AlertBatch, set()) | ({row.pk} if isinstance(row, AlertBatch) else set())
    for keys in batches(receipts):
        found.update(Alert.objects.filter(batch__in=keys).order_by().values_list("state", flat=True))
    if isinstance(row, Measurement):
        found.update(Alert.objects.filter(score__measurement=row).order_by().values_list("state", flat=True))
    return dict(found)


def done(request: HttpRequest, row: HasBadness, bits: Badness, reason: str) -> HttpResponse:
    """Mark it, say what happened, and lead back to it."""
    before = {"bits": [int(bit) for bit in Badness if bit & row.badness_own] or 0}
    told = mark_product(row, bits, reason, request.user)
    kind = selector.slug_of(row._meta.concrete_model)
    said = f"Marked as {bits.label}" if bits else "Its mark is cleared"
    undo = f"{reverse('mark_product', args=[kind, row.pk])}?{urlencode(before, doseq=True)}"
    text = '{}: {} products made of it follow. <a href="{}">Undo…</a>'
    messages.success(request, format_html(text, said, told, undo))
    return redirect(own_page(row) or reverse("product", args=[kind, row.pk]))
