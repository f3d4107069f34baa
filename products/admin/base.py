"""What the pages of all rows share: what may be edited is named, the rest is read; lists know their images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

MOST_LINKS = 200  # rows of a list of links
EXACT = {"ra", "dec", "mjd", "first_seen", "last_seen", "mjd_last", "valid_from", "valid_to"}  # degrees and days


def link_to(row: models.Model, text: str = "") -> SafeString:
    """A link to the admin page of a row."""
    opts = row._meta.concrete_model._meta
    address = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', address, text or str(row))


def links_to(rows: Iterable[models.Model]) -> SafeString:
    """Links to many rows, one a line; the first ones where there are too many."""
    rows = list(rows[: MOST_LINKS + 1])
    more = mark_safe("<br>…") if len(rows) > MOST_LINKS else ""
    return format_html_join(mark_safe("<br>"), "{}", ((link_to(row),) for row in rows[:MOST_LINKS])) + more or "–"


def list_of(model: type[models.Model], **lookups: Any) -> str:
    """Address of the admin's list of some rows of a model."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return address + "?" + "&".join(f"{key}={value}" for key, value in lookups.items())


def rounded(name: str, title: str) -> Any:
    """A column of floats as people read them: positions and times with five decimals, the rest with five digits."""

    @admin.display(description=title, ordering=name, empty_value="–")
    def column(row: models.Model) -> str | None:
        value = getattr(row, name)
        if value is None:
            return None
        return f"{value:.5f}" if name in EXACT else f"{value:.5g}"

    column.__name__ = name
    return column


class RowAdmin(admin.ModelAdmin):
    """Rows that the engine writes: no row is added or deleted here, and only `editable` fields are changed."""

    editable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    image_path = ""  # lookup from a row to the image that it is about
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.editable) and super().has_change_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        names = (f"products.{action}_{self.opts.model_name}" for action in ("view", "change"))
        return any(map(request.user.has_perm, names))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        through = [f"{self.image_path}__exposure"] if self.image_path else []
        related = [*(self.list_select_related or ()), *through]
        rows = super().get_queryset(request)
        return rows.select_related(*related) if related else rows

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        floats = {f.name: f for f in self.opts.concrete_fields if isinstance(f, models.FloatField)}
        return [rounded(name, floats[name].verbose_name) if name in floats else name for name in self.list_display]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        through = [f"{self.image_path}__exposure__name", f"{self.image_path}__section"] if self.image_path else []
        return [*self.search_fields, *through]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        through = [f"{self.image_path}__instrument", f"{self.image_path}__filter"] if self.image_path else []
        return [*self.list_filter, *through]

    def fields_of(self, *, editable: bool) -> list[str]:
        """Names of the fields to show, in the order of the model."""
        opts = self.opts
        names = [field.name for field in opts.concrete_fields if field.name not in self.hidden]
        return [name for name in names if (name in self.editable) == editable]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[tuple[str | None, dict[str, Any]]]:
        shown = [*self.fields_of(editable=True), *self.fields_of(editable=False), *self.readonly_fields]
        return [(None, {"fields": [*dict.fromkeys(shown), "made_of_it"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.fields_of(editable=False), *self.readonly_fields, "made_of_it"]

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        """Write only what was changed: the engine may have changed the rest since the page was opened."""
        if form.changed_data:
            obj.save(update_fields=form.changed_data)

    @admin.display(description="id", ordering="pk")
    def short_id(self, row: Any) -> str:
        """The end of the id, which is what differs between rows of one night."""
        return str(row.pk)[-12:]

    @admin.display(description="bad", ordering="is_bad")
    def bad(self, row: Any) -> str:
        """A word where a flag would show a cross for what is good."""
        return "bad" if row.is_bad else ""

    @admin.display(description="image")
    def of_image(self, row: Any) -> SafeString | str:
        """The image that the row is about, as a link."""
        for name in self.image_path.split("__"):
            row = getattr(row, name)
        return link_to(row)

    @admin.display(description="what refers to it")
    def made_of_it(self, row: Any) -> SafeString | str:
        """How many rows of each kind have a foreign key to it, as links to their lists."""
        found = []
        for relation in row._meta.concrete_model._meta.related_objects:
            model, name = relation.related_model, relation.field.name
            count = model._base_manager.filter(**{name: row.pk}).count() if model in self.admin_site._registry else 0
            if count:
                address = list_of(model, **{f"{name}__{row._meta.pk.name}__exact": row.pk})
                plural = model._meta.verbose_name_plural
                found.append((address, count, plural if relation.field.many_to_one else f"{plural} ({name})"))
        return format_html_join(mark_safe("<br>"), '<a href="{}">{} {}</a>', found) or "nothing"


def on_site(name: str, field: str) -> Any:
    """A ModelAdmin's `view_on_site`: the page called `name` with one field of the row in its address."""

    def address(self: RowAdmin, row: models.Model) -> str | None:
        try:
            return reverse(name, args=[getattr(row, field)])
        except NoReverseMatch:
            return None

    return address
