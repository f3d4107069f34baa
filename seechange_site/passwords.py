"""Log in, and passwords: changed, forgotten, and set through a link that works once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.urls import reverse, reverse_lazy
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from seechange_site import audit
from seechange_site.forms import LoginForm


def sends_mail() -> bool:
    """Whether the site can send mail."""
    return bool(settings.EMAIL_HOST) or not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend")


def link_for(person: User, request: HttpRequest) -> str:
    """An address at which a person sets a password; it works once, and for PASSWORD_RESET_TIMEOUT seconds."""
    uid, token = urlsafe_base64_encode(force_bytes(person.pk)), default_token_generator.make_token(person)
    return request.build_absolute_uri(reverse("password_reset_confirm", args=[uid, token]))


def mail_link(person: User, link: str) -> None:
    """Send such a link to its person."""
    days = settings.PASSWORD_RESET_TIMEOUT // 86400
    text = (
        f"An account was opened for you, or your password shall be set anew. Your name to log in with is\n\n"
        f"    {person.get_username()}\n\nand you choose the password here, once, within {days} days:\n\n    {link}\n"
    )
    send_mail("Your account at SeeChange", text, None, [person.email])


class Login(views.LoginView):
    """Log in."""

    form_class = LoginForm
    redirect_authenticated_user = True

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        """What the page says besides the form."""
        return super().get_context_data(
            **context, sends_mail=sends_mail(), anonymous_reading=settings.ANONYMOUS_READING
        )


class Change(views.PasswordChangeView):
    """A new password for oneself; other sessions end."""

    success_url = reverse_lazy("account")

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        person = self.request.user
        audit.note(audit.Action.PASSWORD, by=person, about=person.get_username(), request=self.request)
        messages.success(self.request, "The password was changed. Everywhere else you are logged out.")
        return answer


class Forgotten(views.PasswordResetView):
    """Ask for a link by mail; the answer is the same whether there is such an account or not."""

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        """What the page says besides the form."""
        return super().get_context_data(**context, sends_mail=sends_mail())

    def form_valid(self, form: Any) -> HttpResponse:
        about = audit.account_of_mail(form.cleaned_data["email"])
        if audit.too_many_links(self.request):
            form.add_error(None, "Too many links were asked for from here. Wait a quarter of an hour.")
            return self.form_invalid(form)
        audit.note(audit.Action.RESET, about=about, request=self.request)
        return super().form_valid(form) if sends_mail() else self.form_invalid(form)


class Confirm(views.PasswordResetConfirmView):
    """Set a password through a link."""

    success_url = reverse_lazy("login")

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        audit.note(
            audit.Action.PASSWORD, by=self.user, about=self.user.get_username(), request=self.request, detail="by link"
        )
        messages.success(self.request, "The password is set. Log in with it.")
        return answer
