"""What people may do with known exposures on the page: the name of the button, the move, and what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms

from conductor import steps
from conductor.models import KnownExposure
from conductor.services.moving import ACTIONS

LONGEST_REASON = 1000
STEPS = [("", "to the end"), *((name, name) for name in steps.NAMES)]


@dataclass(frozen=True)
class Ask:
    """A button that asks before it does something."""

    name: str
    button: str
    action: str  # of `conductor.services.moving`
    sentence: str
    value: str = ""  # of `change`
    permission: str = "conductor.change_knownexposure"

    @property
    def allowed(self) -> tuple[str, ...]:
        """The states from which it can be done."""
        return ACTIONS[self.action].allowed

    def able(self, rows: Sequence[KnownExposure]) -> int:
        """How many of the rows it can be done with now."""
        return sum(row.state in self.allowed for row in rows)


ASKS = {
    ask.name: ask
    for ask in (
        Ask("ready", "Try again", "ready", "It is handed out again, and its attempts begin at nought."),
        Ask("hold", "Hold", "hold", "It is not handed out until somebody makes it ready."),
        Ask("release", "Give back the claim", "release",
            "It is taken from its worker, whose further messages count for nothing, and can be claimed by another."),
        Ask("priority", "Priority", "change", "What has a higher priority is handed out first.", "priority"),
        Ask("not_before", "Not before", "change", "It is not handed out earlier.", "not_before"),
        Ask("through_step", "Through step", "change",
            "It is processed up to this step; the policy or the launcher may stop earlier.", "through_step"),
        Ask("accept", "Accept as it is", "accept", "It counts as done, whatever failed; its errors stay to be seen."),
        Ask("delete", "Delete", "delete",
            "The conductor forgets it. Its products and events stay; a watch that sees it again adds it again.",
            permission="conductor.delete_knownexposure"),
    )
}  # fmt: skip


class ReasonForm(forms.Form):
    """Why."""

    reason = forms.CharField(
        label="reason",
        max_length=LONGEST_REASON,
        widget=forms.TextInput(attrs={"size": 48, "autocomplete": "off", "autofocus": True}),
        help_text="Kept with your name.",
    )

    def clean_reason(self) -> str:
        """In one line."""
        return " ".join(self.cleaned_data["reason"].split())


class StepForm(ReasonForm):
    """How far."""

    through_step = forms.ChoiceField(label="last step", required=False, choices=STEPS)
    field_order = ("through_step", "reason")


class PriorityForm(ReasonForm):
    """How urgent."""

    priority = forms.IntegerField(
        label="priority", min_value=-1_000_000, max_value=1_000_000, help_text="Usual: 0. Negative is possible."
    )
    field_order = ("priority", "reason")


class NotBeforeForm(ReasonForm):
    """From when on."""

    not_before = forms.DateTimeField(
        label="not before (UTC)",
        required=False,
        widget=forms.TextInput(attrs={"size": 22, "placeholder": "2026-11-24T06:00"}),
        help_text="Empty: at once.",
    )
    field_order = ("not_before", "reason")


class ReleaseForm(ReasonForm):
    """Whose fault it was."""

    counts = forms.ChoiceField(
        label="its attempt",
        required=False,
        choices=[("", "does not count"), ("yes", "counts: its worker is lost")],
    )
    field_order = ("counts", "reason")


FORMS = {
    "priority": PriorityForm, "not_before": NotBeforeForm, "through_step": StepForm, "release": ReleaseForm,
}  # fmt: skip


def form_for(ask: Ask, data: Any = None, rows: Sequence[KnownExposure] = ()) -> ReasonForm:
    """The form that goes with a button; the value that all rows have stands in it."""
    initial = {}
    if ask.value and len(values := {getattr(row, ask.value) for row in rows}) == 1:
        initial[ask.value] = values.pop()
    return FORMS.get(ask.name, ReasonForm)(data, initial=initial)


def move_of(ask: Ask, form: ReasonForm) -> tuple[str, dict[str, Any]]:
    """The action of `moving.move` and its values, from a valid form."""
    if ask.name == "release" and form.cleaned_data["counts"]:
        return "expire", {}
    return ask.action, {ask.value: form.cleaned_data[ask.value]} if ask.value else {}
