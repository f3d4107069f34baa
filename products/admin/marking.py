"""Products in the admin: read-only but for their badness, which is told to everything made of them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db import models, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from products.admin.base import RowAdmin
from products.forms import BitsField, bit_choices
from products.models.badness import Badness, HasBadness
from products.models.files import FileBacked
from products.services.badness import set_badness

FILE_FIELDS = ("filepath", "sha256", "filesize")
BADNESS_FIELDS = ("badness_own", "badness_upstream", "description")


class BadnessForm(forms.ModelForm):
    """Own badness as one checkbox a bit that this kind of product can have."""

    own_bits = BitsField(
        label="own badness", help_text="Everything that was made of this product inherits what is set here."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = Badness(self.instance.badness_own)
        self.fields["own_bits"].choices = bit_choices(self.instance.ALLOWED_BADNESS)
        self.fields["own_bits"].initial = [bit for bit, _ in bit_choices(own)]


class MarkingForm(forms.Form):
    """Bits to set and to clear on many products at once."""

    set_bits = BitsField(label="Set")
    clear_bits = BitsField(label="Clear")
    remark = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="Why; empty keeps it.")

    def __init__(self, allowed: Badness, data: Any = None) -> None:
        super().__init__(data)
        for name in ("set_bits", "clear_bits"):
            self.fields[name].choices = bit_choices(allowed)

    def clean(self) -> None:
        both = self.cleaned_data.get("set_bits", Badness(0)) & self.cleaned_data.get("clear_bits", Badness(0))
        if both:
            raise forms.ValidationError(f"{both.label}: either set it or clear it")
        if not any(self.cleaned_data.get(name) for name in ("set_bits", "clear_bits", "remark")):
            raise forms.ValidationError("Choose what to set or to clear.")


class BadnessFilter(admin.SimpleListFilter):
    """Good and bad, own and inherited, and each bit that these products may have of their own."""

    title = "badness"
    parameter_name = "badness"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        kinds = [("none", "none"), ("any", "any"), ("own", "own"), ("inherited", "inherited")]
        allowed = model_admin.model.ALLOWED_BADNESS
        return kinds + [(str(int(bit)), bit.label) for bit in Badness if bit & allowed]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet) -> models.QuerySet:
        value = self.value()
        if value not in dict(self.lookup_choices):
            return queryset
        bits = {"own": F("badness_own"), "inherited": F("badness_upstream")}.get(
            value, F("badness_own").bitor(F("badness_upstream"))
        )
        if value.isdecimal():
            bits = bits.bitand(int(value))
        found = queryset.alias(chosen_bits=bits)
        return found.filter(chosen_bits=0) if value == "none" else found.exclude(chosen_bits=0)


class MarkableAdmin(RowAdmin):
    """Rows that can be bad."""

    form = BadnessForm
    editable = ("own_bits", "description")
    hidden = ("badness_own", "badness_upstream")
    actions = ["mark"]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [BadnessFilter, *super().get_list_filter(request)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[tuple[str | None, dict[str, Any]]]:
        opts = self.opts
        parents = [f.name for f in opts.concrete_fields if f.many_to_one and f.name not in self.hidden]
        made = [*parents, *self.readonly_fields, "made_of_it", "created_at"]
        files = FILE_FIELDS if issubclass(self.model, FileBacked) else ()
        rest = {*made, *files, *BADNESS_FIELDS, *self.hidden}
        own = [name for name in self.fields_of(editable=False) if name not in rest]
        changes = self.has_change_permission(request, obj)
        marks = ["badness_shown", "own_bits", "description"] if changes else ["badness_shown", "description"]
        sets: list[tuple[str | None, dict[str, Any]]] = [(None, {"fields": own}), ("Badness", {"fields": marks})]
        sets.append(("Where it comes from", {"fields": made}))
        return [*sets, ("File", {"fields": files})] if files else sets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), "badness_shown"]

    def save_model(self, request: HttpRequest, obj: HasBadness, form: forms.ModelForm, change: bool) -> None:
        if not form.changed_data:
            return
        told = set_badness(obj, form.cleaned_data["own_bits"], description=form.cleaned_data["description"])
        if "own_bits" in form.changed_data:
            messages.info(request, f"{told} products made of it changed their inherited badness.")

    @admin.display(description="badness")
    def badness_shown(self, row: HasBadness) -> str:
        """Own bits, then inherited ones."""
        own, inherited = Badness(row.badness_own).label, Badness(row.badness_upstream).label
        return "; ".join(filter(None, [own, inherited and f"inherited: {inherited}"])) or "–"

    @admin.action(description="Set or clear badness of the chosen %(verbose_name_plural)s", permissions=["change"])
    def mark(self, request: HttpRequest, queryset: models.QuerySet) -> HttpResponse | None:
        """Ask for the bits, then set and clear them on every chosen row, or on none."""
        form = MarkingForm(self.model.ALLOWED_BADNESS, request.POST if "apply" in request.POST else None)
        if form.is_bound and form.is_valid():
            self._mark_all(request, list(queryset), form.cleaned_data)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": f"Badness of {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "form": form,
            "rows": queryset,
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/products/mark.html", context)

    def _mark_all(self, request: HttpRequest, rows: list[HasBadness], asked: dict[str, Any]) -> None:
        told = 0
        with transaction.atomic():
            for row in rows:
                bits = (Badness(row.badness_own) | asked["set_bits"]) & ~asked["clear_bits"]
                told += set_badness(row, bits, description=asked["remark"] or None)
                self.log_change(request, row, f"Badness: {bits.label or 'none'}.")
        messages.success(
            request, f"{len(rows)} {self.opts.verbose_name_plural} marked; {told} products made of them were told."
        )


class ProductAdmin(MarkableAdmin):
    """Outputs of steps."""

    date_hierarchy = None

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return super().get_queryset(request).select_related("provenance")
