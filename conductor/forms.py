"""Forms of the conductor's page: exposures to be added, and watches."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from django import forms
from django.contrib.auth.models import AbstractBaseUser

from conductor.asking import LONGEST_REASON, STEPS
from conductor.errors import BadValue, ConductorError, NotAllowed
from conductor.incoming import allowed_folders, check_folder, checked_path
from conductor.models import Watch
from conductor.services.adding import named_instrument
from conductor.uploads import LARGEST, offers_of
from conductor.watching import check_arguments
from processing.instruments.base import Instrument
from processing.instruments.offers import Argument, Offer, declared_arguments

MOST_PATHS = 100
FIELD_OF_KIND = {str: forms.CharField, int: forms.IntegerField, float: forms.FloatField, bool: forms.BooleanField}
ARGUMENT = "argument-"  # before the name of an argument, so that none meets a field of the watch


def instruments() -> list[tuple[str, str]]:
    """The instruments to choose from."""
    return [(name, name) for name in sorted(Instrument.members())]


class AddForm(forms.Form):
    """Exposures that exist: raw files on the server, or rows in a file."""

    instrument = forms.ChoiceField(label="instrument", choices=instruments)
    paths = forms.CharField(
        label="raw files on the server",
        required=False,
        max_length=MOST_PATHS * 1000,
        widget=forms.Textarea(attrs={"rows": 6, "cols": 80, "spellcheck": "false"}),
        help_text=f"Whole paths, one a line, at most {MOST_PATHS}.",
    )
    file = forms.FileField(
        label="or a file with rows",
        required=False,
        help_text=f"JSON or CSV, at most {LARGEST / 1e6:g} MB: identifier, kind, mjd, …, path, size, sha256.",
    )
    hold = forms.BooleanField(required=False, label="hold them", help_text="Until somebody makes them ready.")
    priority = forms.IntegerField(
        label="priority",
        initial=0,
        min_value=-1_000_000,
        max_value=1_000_000,
        help_text="Higher is handed out first.",
    )
    through_step = forms.ChoiceField(label="last step", required=False, choices=STEPS)

    @property
    def named_fields(self) -> list[forms.BoundField]:
        """The fields that say which exposures."""
        return [self[name] for name in ("instrument", "paths", "file")]

    @property
    def other_fields(self) -> list[forms.BoundField]:
        """The others."""
        return [self[name] for name in ("hold", "priority", "through_step")]

    def clean(self) -> dict[str, Any]:
        """Either paths or a file; `found` holds offers, and what cannot be offered."""
        values = super().clean()
        if self.errors:
            return values
        lines = [line.strip() for line in values["paths"].splitlines() if line.strip()]
        if bool(lines) == bool(values["file"]):
            raise forms.ValidationError("Name raw files, or choose a file with rows: one of both.")
        values["found"] = self._of_file(values["file"]) if values["file"] else self._of_paths(lines)
        return values

    def _of_paths(self, lines: list[str]) -> list[Any]:
        if len(lines) > MOST_PATHS:
            self.add_error("paths", f"{len(lines)} files; at most {MOST_PATHS} at once, a watch takes any number")
            return []
        try:
            folders = allowed_folders()
            paths = [checked_path(line, folders) for line in lines]
        except ConductorError as error:
            self.add_error("paths", str(error))
            return []
        instrument = named_instrument(self.cleaned_data["instrument"])
        return [instrument.offer(path) for path in dict.fromkeys(paths)]

    def _of_file(self, file: Any) -> list[Offer]:
        try:
            return offers_of(file.read(LARGEST + 1), allowed_folders())
        except BadValue as error:
            self.add_error("file", error.details["reason"])
            return []


class WatchForm(forms.ModelForm):
    """A watch; what its instrument's search takes are fields of their own, read from the declaration."""

    through_step = forms.ChoiceField(label="last step", required=False, choices=STEPS)
    reason = forms.CharField(label="reason", max_length=LONGEST_REASON, help_text="Why; kept with your name.")

    class Meta:
        model = Watch
        fields = ["name", "interval", "hold", "is_paused", "priority", "through_step"]
        labels = {
            "name": "name",
            "priority": "priority",
            "is_paused": "pause",
            "interval": "look every (s)",
            "hold": "hold what is new",
        }

    def __init__(self, *args: Any, person: AbstractBaseUser, **options: Any) -> None:
        super().__init__(*args, **options)
        self.person = person
        self.declared = declared_arguments(named_instrument(self.instance.instrument).offers)
        given = self.instance.arguments if isinstance(self.instance.arguments, dict) else {}
        for argument in self.declared:
            self.fields[ARGUMENT + argument.name] = _field(argument, given)

    @property
    def argument_fields(self) -> list[forms.BoundField]:
        """The fields of the search."""
        return [self[ARGUMENT + argument.name] for argument in self.declared]

    @property
    def own_fields(self) -> list[forms.BoundField]:
        """The others."""
        return [field for field in self if not field.name.startswith(ARGUMENT)]

    def clean_name(self) -> str:
        """In one line."""
        return " ".join(self.cleaned_data["name"].split())

    def clean(self) -> dict[str, Any]:
        """The values, once the instrument agrees and the folder may be named."""
        values = super().clean()
        if self.errors:
            return values
        given = {argument.name: values[ARGUMENT + argument.name] for argument in self.declared}
        found = {name: value for name, value in given.items() if value not in (None, "")}
        try:
            check_arguments(self.instance.instrument, found)
            check_folder(found, self.person)
        except NotAllowed as error:
            self.add_error(f"{ARGUMENT}folder", str(error))
        except ConductorError as error:
            raise forms.ValidationError(error.details["reason"]) from error
        self.instance.arguments = found
        return values


def _field(argument: Argument, given: dict[str, Any]) -> forms.Field:
    """The field for an argument of a search; what is no plain value is written as JSON."""
    needed = argument.default is ...
    choices = get_args(argument.kind) if get_origin(argument.kind) is Literal else ()
    kind = forms.ChoiceField if choices else FIELD_OF_KIND.get(_without_none(argument.kind), forms.JSONField)
    options: dict[str, Any] = {"label": argument.name.replace("_", " "), "help_text": argument.help}
    options["required"] = needed and kind is not forms.BooleanField
    options["initial"] = given.get(argument.name, None if needed else argument.default)
    if kind is forms.JSONField:
        options["widget"] = forms.TextInput
        options["help_text"] = f"{argument.help} as JSON".strip()
    if choices:
        options["choices"] = [(one, one) for one in choices]
    return kind(**options)


def _without_none(kind: Any) -> Any:
    """`float` of `float | None`: an empty field leaves an argument out."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    kinds = [one for one in get_args(kind) if one is not NoneType]
    return kinds[0] if len(kinds) == 1 else kind
