"""Forms of accounts: to log in, to change one's own, to make tokens, to give accounts to others."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User

from seechange_site import audit, roles
from seechange_site.endpoints import scopes_for
from seechange_site.models import LONGEST, ApiToken, Scope

MINUTES = round(audit.WINDOW.total_seconds() / 60)


class LoginForm(AuthenticationForm):
    """Name and password; after many failures the next attempt is not tried, whether there is such an account or not."""

    error_messages = {
        "invalid_login": "Name and password do not fit together, or the account is closed. Capitals count in both.",
        "inactive": "Name and password do not fit together, or the account is closed. Capitals count in both.",
        "too_many": f"Too many attempts failed. Wait {MINUTES} minutes, or have a new password sent to you.",
    }

    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username")
        if name and audit.too_many_attempts(name, self.request):
            audit.note(audit.Action.LOGIN_REFUSED, about=audit.account_named(name), request=self.request)
            raise forms.ValidationError(self.error_messages["too_many"], code="too_many")
        return super().clean()


class AccountForm(forms.ModelForm):
    """What people say of themselves."""

    class Meta:
        model = User
        fields = ["first_name", "last_name", "email"]
        labels = {"first_name": "first name", "last_name": "last name", "email": "mail"}


class TokenForm(forms.Form):
    """A new token; only scopes that open something to its owner are offered."""

    name = forms.CharField(label="what it is for", max_length=ApiToken._meta.get_field("name").max_length)
    scopes = forms.MultipleChoiceField(label="scopes", widget=forms.CheckboxSelectMultiple)
    days = forms.IntegerField(label="days that it lives", min_value=1, max_value=LONGEST.days, initial=90)

    def __init__(self, person: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scopes"].choices = [(scope.value, scope.label) for scope in scopes_for(person)]
        self.fields["scopes"].initial = [Scope.READ]


class RoleForm(forms.Form):
    """A role; only those that the giver may give."""

    role = forms.ChoiceField(label="role")

    def __init__(self, giver: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [(name, name) for name in roles.NAMES if roles.may_give(giver, [name])]


class PersonForm(RoleForm, forms.ModelForm):
    """A new account."""

    class Meta:
        model = User
        fields = ["username", "first_name", "last_name", "email"]
        labels = AccountForm.Meta.labels | {"username": "name to log in with"}

    field_order = ["username", "first_name", "last_name", "email", "role"]


class PeopleSearch(forms.Form):
    """What the list of people asks for in its address."""

    q = forms.CharField(label="name or mail", required=False, max_length=100)
    role = forms.ChoiceField(
        label="role", required=False, choices=[("", "any"), *((name, name) for name in roles.NAMES), ("none", "none")]
    )
    state = forms.ChoiceField(
        label="account", required=False, choices=[("", "any"), ("open", "open"), ("closed", "closed")]
    )


class AuditSearch(forms.Form):
    """What the record of accounts asks for in its address."""

    q = forms.CharField(label="account", required=False, max_length=150)
    action = forms.ChoiceField(label="what", required=False, choices=[("", "anything"), *audit.Action.choices])
    address = forms.GenericIPAddressField(label="from address", required=False)
