"""The conductor in the admin: what people may set is edited, states are moved by actions, events are read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest

from conductor import steps
from conductor.errors import ConductorError
from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Policy, Watch
from conductor.services import policy, watches
from conductor.services.moving import ACTIONS, Moved, move
from conductor.watching import check_arguments

IN_THE_ADMIN = "in the admin"
MOST = 20  # refusals that are said one by one
VALUES = ("priority", "not_before", "through_step")  # what `change` sets


class StepForm(forms.ModelForm):
    """A form with the last step, chosen from those that there are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if found := self.fields.get("through_step"):
            found.widget = forms.Select(choices=[("", "to the end"), *((name, name) for name in steps.NAMES)])

    def clean_through_step(self) -> str:
        """A step that there is."""
        try:
            return steps.checked(self.cleaned_data["through_step"])
        except ConductorError as error:
            raise ValidationError(str(error)) from error


class WatchForm(StepForm):
    """A watch whose search arguments are those of its instrument."""

    def clean(self) -> dict[str, Any]:
        """The values, once the instrument agrees."""
        found = super().clean()
        try:
            check_arguments(found.get("instrument", ""), found.get("arguments") or {})
        except ConductorError as error:
            self.add_error(error.details["field"], error.details["reason"])
        return found


class ReadOnly(admin.ModelAdmin):
    """Rows to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _move(request: HttpRequest, action: str, chosen: models.QuerySet, **values: Any) -> list[Moved]:
    """Move the chosen known exposures; what is refused is said on the next page."""
    ids = chosen.values_list("pk", flat=True)
    moved = move(action, ids, actor=request.user.get_username(), reason=IN_THE_ADMIN, **values)
    for one in [one for one in moved if not one.ok][:MOST]:
        messages.error(request, f"{one.identifier}: {one.error}")
    return moved


def mover(name: str) -> Any:
    """The admin's action that does one of the moves with every chosen row."""

    @admin.action(
        description=f"{name.capitalize()}: {ACTIONS[name].help}",
        permissions=["delete" if name == "delete" else "change"],
    )
    def run(admin_of: admin.ModelAdmin, request: HttpRequest, chosen: models.QuerySet) -> None:
        if done := sum(one.ok for one in _move(request, name, chosen)):
            messages.success(request, f"{ACTIONS[name].done.capitalize()}: {done}.")

    run.__name__ = name
    return run


@admin.register(KnownExposure)
class KnownExposureAdmin(admin.ModelAdmin):
    """Known exposures: priority and the like are edited, states are moved."""

    form = StepForm
    list_display = [
        "identifier",
        "instrument",
        "kind",
        "mjd",
        "filter",
        "target",
        "state",
        "attempt",
        "priority",
        "worker",
    ]
    list_filter = ["state", "instrument", "kind", "watch"]
    search_fields = ["identifier", "target", "project"]
    list_select_related = ["worker"]
    list_per_page = 50
    actions = [mover(name) for name in ACTIONS if name != "change"]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The moves; the admin's own way to delete leaves no event."""
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in self.opts.concrete_fields if field.name not in VALUES and field.editable]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: KnownExposure | None = None) -> bool:
        """Whoever holds it must give it back first."""
        return super().has_delete_permission(request, obj) and not (obj and obj.is_leased)

    def save_model(self, request: HttpRequest, obj: KnownExposure, form: forms.ModelForm, change: bool) -> None:
        """As a move, so that there is an event."""
        values = {name: form.cleaned_data[name] for name in form.changed_data}
        if values:
            _move(request, "change", KnownExposure.objects.filter(pk=obj.pk), **values)

    def delete_model(self, request: HttpRequest, obj: KnownExposure) -> None:
        """As a move, so that there is an event."""
        _move(request, "delete", KnownExposure.objects.filter(pk=obj.pk))


@admin.register(ClaimEvent)
class ClaimEventAdmin(ReadOnly):
    """What happened; never changed."""

    list_display = ["at", "identifier", "what", "from_state", "to_state", "actor", "reason", "attempt"]
    list_filter = ["what", "instrument"]
    search_fields = ["identifier", "actor", "reason"]
    list_display_links = None
    list_per_page = 100


@admin.register(PipelineWorker)
class PipelineWorkerAdmin(ReadOnly):
    """Launchers, those that ended too; the conductor's page takes one from its list that is gone."""

    list_display = ["cluster", "node", "process_id", "version", "started_at", "last_heartbeat", "ended_at"]
    search_fields = ["cluster", "node"]


@admin.register(Watch)
class WatchAdmin(admin.ModelAdmin):
    """Where new exposures are looked for."""

    form = WatchForm
    list_display = ["name", "instrument", "interval", "hold", "is_paused", "last_run", "last_result", "last_error"]
    list_filter = ["instrument", "is_paused"]
    readonly_fields = ["last_run", "last_result", "last_counts", "last_error"]

    def save_model(self, request: HttpRequest, obj: Watch, form: forms.ModelForm, change: bool) -> None:
        """With an event."""
        watches.save(obj, actor=request.user.get_username(), reason=IN_THE_ADMIN)

    def delete_model(self, request: HttpRequest, obj: Watch) -> None:
        """With an event."""
        watches.delete(obj, actor=request.user.get_username(), reason=IN_THE_ADMIN)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        """With an event of each."""
        for watch in queryset:
            self.delete_model(request, watch)


@admin.register(Policy)
class PolicyAdmin(admin.ModelAdmin):
    """The one policy."""

    form = StepForm
    list_display = ["__str__", "is_paused", "through_step"]

    def save_model(self, request: HttpRequest, obj: Policy, form: forms.ModelForm, change: bool) -> None:
        """With an event."""
        values = {name: form.cleaned_data[name] for name in form.changed_data}
        policy.set_policy(**values, actor=request.user.get_username(), reason=IN_THE_ADMIN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not Policy.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
