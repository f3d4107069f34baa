"""Provenances, code versions and sets of references; provenances are tagged and untagged from their list."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from products.admin.base import RowAdmin, links_to, list_of, on_site
from products.admin.tags import tag_address
from products.errors import ArchiveError
from products.models import CodeVersion, Provenance, RefSet
from products.selectors.tags import product_models
from products.services import tagging
from products.services.tag_log import note


class TagInput(forms.TextInput):
    """A text that offers the names of the tags there are."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        attrs = {**(attrs or {}), "list": "known-tags", "maxlength": tagging.LONGEST}
        options = format_html_join("", '<option value="{}">', ((tag,) for tag in tagging.known_tags()))
        return super().render(name, value, attrs, renderer) + format_html(
            '<datalist id="known-tags">{}</datalist>', options
        )


class TagActionForm(ActionForm):
    """The tag beside the choice of an action."""

    tag = forms.CharField(required=False, label="tag", widget=TagInput)


class TagFilter(admin.SimpleListFilter):
    """The provenances of one tag, or of none."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(tag, tag) for tag in tagging.known_tags()]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet) -> models.QuerySet:
        return queryset.filter(tags__tag=self.value()) if self.value() else queryset


@admin.register(Provenance)
class ProvenanceAdmin(RowAdmin):
    """What a provenance is never changes; whether it is bad does."""

    editable = ("is_bad", "bad_comment")
    hidden = ("parameters",)
    list_display = ["id", "process", "version", "in_tags", "created_at", "bad"]
    list_filter = ["process", TagFilter, "is_bad", "is_testing"]
    list_select_related = ["code_version"]
    search_fields = ["id", "process"]
    readonly_fields = ["content", "made_from", "led_to", "in_tags", "carried_by"]
    action_form = TagActionForm
    actions = ["tag_chosen", "untag_chosen"]
    view_on_site = on_site("provenance", "pk")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return super().get_queryset(request).prefetch_related("tags")

    def has_tag_permission(self, request: HttpRequest) -> bool:
        """Whether the user may change tags."""
        return request.user.has_perm("products.change_provenancetag")

    @admin.action(description="Put the chosen provenances into the tag", permissions=["tag"])
    def tag_chosen(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        """Tag them all, or none where one stands against it."""
        self._change_tag(request, queryset, tagging.tag_provenances, "provenances were put into")

    @admin.action(description="Take the chosen provenances out of the tag", permissions=["tag"])
    def untag_chosen(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        """Untag those of them that are in the tag."""
        self._change_tag(request, queryset, tagging.untag, "provenances were taken out of")

    def _change_tag(self, request: HttpRequest, chosen: models.QuerySet, change: Any, said: str) -> None:
        tag = request.POST.get("tag", "").strip()
        try:
            number = change(tag, list(chosen))
        except ArchiveError as error:
            messages.error(request, str(error))
            return
        note(request.user, tag, f"{number} {said} it.")
        messages.success(request, f"{number} {said} '{tag}'.")

    @admin.display(description="code version", ordering="code_version")
    def version(self, row: Provenance) -> str:
        """Major, minor and patch."""
        return f"{row.code_version.major}.{row.code_version.minor}.{row.code_version.patch}"

    @admin.display(description="tags")
    def in_tags(self, row: Provenance) -> SafeString | str:
        """The tags that hold it."""
        names = [(tag_address(entry.tag), entry.tag) for entry in row.tags.all()]
        return format_html_join(", ", '<a href="{}">{}</a>', names) or "–"

    @admin.display(description="parameters")
    def content(self, row: Provenance) -> SafeString:
        """The critical parameters."""
        return format_html("<pre>{}</pre>", json.dumps(row.parameters, indent=2, ensure_ascii=False))

    @admin.display(description="upstreams")
    def made_from(self, row: Provenance) -> SafeString | str:
        """Provenances of what the process read."""
        return links_to(row.upstreams.all())

    @admin.display(description="downstreams")
    def led_to(self, row: Provenance) -> SafeString | str:
        """Provenances of what was made from its products."""
        return links_to(row.downstreams.all())

    @admin.display(description="products that carry it")
    def carried_by(self, row: Provenance) -> SafeString | str:
        """How many of each kind, as links to their lists."""
        found = []
        for model in product_models():
            if count := model._base_manager.filter(provenance=row).count():
                found.append((list_of(model, provenance__id__exact=row.pk), count, model._meta.verbose_name_plural))
        return format_html_join(mark_safe("<br>"), '<a href="{}">{} {}</a>', found) or "none yet"


@admin.register(CodeVersion)
class CodeVersionAdmin(RowAdmin):
    list_display = ["process", "major", "minor", "patch"]
    list_filter = ["process"]
    search_fields = ["process"]


@admin.register(RefSet)
class RefSetAdmin(admin.ModelAdmin):
    list_display = ["name", "description", "provenance", "created_at"]
    list_select_related = ["provenance"]
    raw_id_fields = ["provenance"]
    search_fields = ["name", "description"]
