"""What becomes of CCDs: rows are added by hand, and hold from then on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest

from products.admin.base import RowAdmin
from products.models import Exposure, SensorSection

_TOLD = ("instrument", "section", "valid_from", "valid_to", "is_usable", "amplifiers", "comment")
_EXAMPLE = 'For example {"A": {"gain": 4.1}}; what is said of "" holds for all amplifiers.'


@admin.register(SensorSection)
class SensorSectionAdmin(RowAdmin):
    """A row is corrected by a later one: images keep the one that they were made with, so only its end may change."""

    editable = ("valid_to", "comment")
    list_display = ["instrument", "section", "valid_from", "valid_to", "is_usable", "comment", "created_at"]
    list_filter = ["instrument", "is_usable"]
    search_fields = ["instrument", "section", "comment"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("products.add_sensorsection")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[tuple[str | None, dict[str, Any]]]:
        return [(None, {"fields": list(_TOLD)})] if obj is None else super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else super().get_readonly_fields(request, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[ModelForm]:
        text = f"{self.opts.get_field('amplifiers').help_text} {_EXAMPLE}"
        return super().get_form(request, obj, change, help_texts={"amplifiers": text}, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        """Write it, and say where nothing in the archive is of such a CCD: it may be a slip of the pen."""
        if change:
            super().save_model(request, obj, form, change)
            return
        obj.save()
        if not Exposure.objects.filter(instrument=obj.instrument).exists():
            said = f"No exposure of an instrument '{obj.instrument}' is known yet; is that its name?"
            messages.warning(request, said)
