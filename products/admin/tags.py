"""Provenance tags: one row a tag; open, fill, clone, compare and delete them. Products are never touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Count, Max, Min, OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from products.errors import ArchiveError
from products.models import Provenance, ProvenanceTag
from products.selectors import tags as selector
from products.selectors.provenances import provenances_by_id
from products.services import tagging
from products.services.tag_log import note

FOLDER = "admin/products/provenancetag"


def tag_address(tag: str, page: str = "change") -> str:
    """Address of a page of a tag in the admin."""
    return reverse(f"admin:products_provenancetag_{page}", args=[quote(tag)])


class NewTag(forms.Form):
    """A name and what to put into it."""

    tag = forms.CharField(max_length=tagging.LONGEST, help_text="A new name, or a tag to add to.")
    provenances = forms.ModelMultipleChoiceField(
        Provenance.objects.order_by("process", "-created_at"),
        widget=FilteredSelectMultiple("provenances", is_stacked=False),
        help_text="One a process; several only of referencing.",
    )


class CloneActionForm(admin.helpers.ActionForm):
    """The new name beside the choice of an action."""

    new_tag = forms.CharField(required=False, max_length=tagging.LONGEST, label="new name (to clone)")


@admin.register(ProvenanceTag)
class TagAdmin(admin.ModelAdmin):
    """A row of the list stands for a whole tag, and the name of the tag is its id in addresses."""

    list_display = ["name", "held", "changed"]
    list_display_links = None
    list_per_page = 50
    search_fields = ["tag"]
    ordering = ["tag"]
    action_form = CloneActionForm
    actions = ["compare_chosen", "clone_chosen"]

    # What may be done -------------------------------------------------------------------------------------
    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request)

    # The list ---------------------------------------------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        """The first row of each tag, with what all its rows say together."""
        rows = ProvenanceTag.objects.order_by()
        firsts = rows.values("tag").annotate(first=Min("pk")).values("first")
        same = rows.filter(tag=OuterRef("tag")).values("tag")
        return super().get_queryset(request).filter(pk__in=firsts).annotate(
            number=Subquery(same.annotate(n=Count("pk")).values("n")),
            latest=Subquery(same.annotate(last=Max("created_at")).values("last")),
        )  # fmt: skip

    @admin.display(description="tag", ordering="tag")
    def name(self, row: ProvenanceTag) -> SafeString:
        """The name, as a link to what it holds."""
        return format_html('<a href="{}">{}</a>', tag_address(row.tag), row.tag)

    @admin.display(description="provenances", ordering="number")
    def held(self, row: ProvenanceTag) -> int:
        """How many provenances it holds."""
        return row.number

    @admin.display(description="last changed (UTC)", ordering="latest")
    def changed(self, row: ProvenanceTag) -> Any:
        """When a provenance was last put into it."""
        return row.latest

    @admin.action(description="Compare the two chosen tags", permissions=["view"])
    def compare_chosen(self, request: HttpRequest, queryset: models.QuerySet) -> HttpResponse | None:
        """Go to the comparison."""
        tags = sorted(row.tag for row in queryset)
        if len(tags) != 2:
            messages.error(request, f"Choose two tags to compare; {len(tags)} are chosen.")
            return None
        return HttpResponseRedirect(reverse("admin:compare_tags", query={"a": tags[0], "b": tags[1]}))

    @admin.action(description="Clone the chosen tag under the new name", permissions=["change"])
    def clone_chosen(self, request: HttpRequest, queryset: models.QuerySet) -> HttpResponse | None:
        """Give one tag a second name."""
        tags = [row.tag for row in queryset]
        if len(tags) != 1:
            messages.error(request, f"Choose one tag to clone; {len(tags)} are chosen.")
            return None
        new_tag = request.POST.get("new_tag", "").strip()
        return HttpResponseRedirect(tag_address(new_tag)) if self._clone(request, tags[0], new_tag) else None

    # Deleting: the name goes, provenances and products stay ---------------------------------------------------
    def get_deleted_objects(
        self, objs: Iterable[ProvenanceTag], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        tags = [row.tag for row in objs]
        lines = [f"{tag}: {ProvenanceTag.objects.filter(tag=tag).count()} provenances" for tag in tags]
        lacking = set() if self.has_delete_permission(request) else {"provenance tag"}
        return lines, {"tags": len(tags)}, lacking, []

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        for tag in [row.tag for row in queryset]:
            tagging.untag(tag)

    def log_deletions(self, request: HttpRequest, queryset: Iterable[ProvenanceTag]) -> None:
        for row in queryset:
            note(request.user, row.tag, "The tag was deleted.", DELETION)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Ask, then delete the whole tag."""
        tag = self._known(unquote(object_id))
        if not self.has_delete_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            number = tagging.untag(tag)
            note(request.user, tag, f"The tag was deleted; it held {number} provenances.", DELETION)
            messages.success(request, f"The tag '{tag}' is gone; its provenances and their products stay.")
            return HttpResponseRedirect(reverse("admin:products_provenancetag_changelist"))
        return self._page(request, "delete", f"Delete the tag {tag}?", tag_name=tag, rows=selector.contents(tag))

    # One tag ----------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        compare = path("compare/", self.admin_site.admin_view(self.compare_view), name="compare_tags")
        return [compare, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """What a tag holds; what is chosen there is untagged, or tagged elsewhere."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        tag = self._known(unquote(object_id))
        if request.method == "POST":
            if not self.has_change_permission(request):
                raise PermissionDenied
            return self._operate(request, tag)
        return self._page(
            request,
            "tag",
            f"Tag {tag}",
            tag_name=tag,
            rows=selector.contents(tag),
            others=[name for name in tagging.known_tags() if name != tag],
            history=LogEntry.objects.filter(content_type__model="provenancetag", object_id=tag)[:10],
            may_change=self.has_change_permission(request),
            may_delete=self.has_delete_permission(request),
            delete_address=tag_address(tag, "delete"),
        )

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The page of the tag ends with its history."""
        return HttpResponseRedirect(tag_address(unquote(object_id)))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Put provenances into a new tag, or into one that exists."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewTag(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            tag, chosen = form.cleaned_data["tag"], form.cleaned_data["provenances"]
            try:
                number = tagging.tag_provenances(tag, chosen)
            except ArchiveError as error:
                form.add_error(None, str(error))
            else:
                note(request.user, tag, f"{number} provenances were put into it.", ADDITION)
                messages.success(request, f"{number} provenances were put into '{tag}'.")
                return HttpResponseRedirect(tag_address(tag))
        return self._page(request, "add", "Tag provenances", form=form, media=self.media + form.media)

    def compare_view(self, request: HttpRequest) -> HttpResponse:
        """Two tags side by side."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        known = tagging.known_tags()
        a, b = request.GET.get("a", ""), request.GET.get("b", "")
        missing = [tag for tag in (a, b) if tag and tag not in known]
        found = selector.compare(a, b) if a and b and not missing else None
        return self._page(request, "compare", "Two tags compared", a=a, b=b, known=known, missing=missing, found=found)

    def _operate(self, request: HttpRequest, tag: str) -> HttpResponse:
        """Untag, tag elsewhere, add or clone, as the pressed button says."""
        operation = request.POST.get("operation", "")
        keys = [key for key in request.POST.getlist("provenance") if key.isalnum()]
        chosen = list(Provenance.objects.filter(pk__in=keys))
        target = request.POST.get("target", "").strip()
        if operation == "clone":
            return HttpResponseRedirect(tag_address(target if self._clone(request, tag, target) else tag))
        try:
            if operation == "add":
                chosen, target = provenances_by_id(request.POST.get("ids", "").replace(",", " ").split()), tag
            if not chosen:
                raise ArchiveError(reason="No provenance was chosen; nothing was changed.")
            if operation == "untag":
                number, said, target = tagging.untag(tag, chosen), "taken out of", tag
            else:
                number, said = tagging.tag_provenances(target, chosen), "put into"
        except ArchiveError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(tag_address(tag))
        note(request.user, target, f"{number} provenances were {said} it.")
        messages.success(request, f"{number} provenances were {said} '{target}'.")
        gone = target not in tagging.known_tags()
        return HttpResponseRedirect(reverse("admin:products_provenancetag_changelist") if gone else tag_address(target))

    def _clone(self, request: HttpRequest, tag: str, new_tag: str) -> bool:
        try:
            number = tagging.clone(tag, new_tag)
        except ArchiveError as error:
            messages.error(request, str(error))
            return False
        note(request.user, new_tag, f"{number} provenances were put into it, cloned from '{tag}'.", ADDITION)
        messages.success(request, f"'{new_tag}' holds the provenances of '{tag}'; {number} are new in it.")
        return True

    @staticmethod
    def _known(tag: str) -> str:
        if tag not in tagging.known_tags():
            raise Http404(f"There is no tag called {tag}.")
        return tag

    def _page(self, request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "media": self.media}
        return TemplateResponse(request, f"{FOLDER}/{template}.html", {**shared, **context})
