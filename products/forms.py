"""What pages ask for in their addresses, checked; a wrong value names its field."""

from __future__ import annotations

import datetime
import re
from typing import Any
from uuid import UUID

from django import forms

from products.dates import mjd_of
from products.models import Label
from products.models.badness import DESCRIPTIONS, Badness
from products.selectors.exposures import resolve_position


class DateField(forms.CharField):
    """A date (`2026-11-23`, with or without a time) or an MJD, as MJD (UTC); `ends` takes the end of a plain date."""

    def __init__(self, *, ends: bool = False, **options: Any) -> None:
        super().__init__(**{**options, "required": False})
        self.ends = ends

    def clean(self, value: str | None) -> float | None:
        text = super().clean(value).strip()
        if not text:
            return None
        if re.fullmatch(r"\d{5}(\.\d*)?", text):
            return float(text)
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise forms.ValidationError("a date (2026-11-23) or an MJD (61367.2) is needed") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        whole_day = self.ends and len(text) <= 10
        return mjd_of(moment) + (1 if whole_day else 0)


class PositionField(forms.CharField):
    """A position in any usual notation or the name of an object, as (ra, dec) in degrees."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "required": False})

    def clean(self, value: str | None) -> tuple[float, float] | None:
        text = super().clean(value).strip()
        if not text:
            return None
        try:
            return resolve_position(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class MeasurementsField(forms.Field):
    """Ids of at most 500 measurements, as often in the form as there are."""

    widget = forms.SelectMultiple
    most = 500

    def clean(self, value: Any) -> list[UUID]:
        try:
            found = [UUID(text) for text in value or []]
        except ValueError:
            raise forms.ValidationError("that is not the id of a measurement") from None
        if not 1 <= len(found) <= self.most:
            raise forms.ValidationError(f"choose from 1 to {self.most} measurements")
        return found


def bit_choices(bits: Badness) -> list[tuple[int, str]]:
    """(bit, name and meaning) of each of `bits`."""
    return [(int(bit), f"{bit.label}: {DESCRIPTIONS[bit]}") for bit in Badness if bit & bits]


class BitsField(forms.TypedMultipleChoiceField):
    """Bits as checkboxes; clean values are a Badness."""

    def __init__(self, **options: Any) -> None:
        super().__init__(coerce=int, required=False, widget=forms.CheckboxSelectMultiple, **options)

    def clean(self, value: Any) -> Badness:
        return Badness(sum(set(super().clean(value))))


class Search(forms.Form):
    """A form of GET: what is wrong is left out of the search and named beside its field."""

    @classmethod
    def of(cls, data: Any) -> tuple[Search, dict[str, Any]]:
        """The bound form and its clean values."""
        form = cls(data)
        form.is_valid()
        return form, form.cleaned_data


def _text(**options: Any) -> forms.CharField:
    return forms.CharField(required=False, max_length=120, **options)


class TraceForm(Search):
    """Fields of the trace."""

    position = PositionField(label="position (RA Dec, or a name)")
    radius = forms.FloatField(required=False, label="within (″)", min_value=0.1, max_value=600)
    night = DateField(label="night (its evening)")
    start = DateField(label="from (date or MJD)")
    end = DateField(label="to", ends=True)


class ComparisonSearch(Search):
    """Exposures on which two tags are compared."""

    start = DateField(label="on exposures from")
    end = DateField(label="to", ends=True)
    project = _text(label="project")


class LabelForm(forms.Form):
    """What a person says of one or many measurements; an empty verdict takes their label back."""

    measurement = MeasurementsField()
    verdict = forms.ChoiceField(required=False, choices=[("", "take back"), *Label.Verdict.choices])


class BadForm(forms.Form):
    """All that is wrong with one product, nothing where it is good, and why."""

    bits = BitsField(label="what is wrong with it")
    reason = forms.CharField(label="why", max_length=500)

    def __init__(self, allowed: Badness, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["bits"].choices = bit_choices(allowed)
        self.fields["reason"].widget.attrs["size"] = 60


class SendAgainForm(forms.Form):
    """Why alerts are to be sent again."""

    why = forms.CharField(max_length=500, strip=True)
