"""What tests of rows, pages and the REST API share."""

from __future__ import annotations

import pytest
from django.core import mail

from tests.rows.archive import Archive, archive


@pytest.fixture
def site() -> Archive:
    """A small archive that has something of everything."""
    return archive()


@pytest.fixture
def fast_passwords(settings) -> None:
    """Passwords are hashed in no time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def sending(settings):
    """A site that sends mail; here it is gathered."""
    settings.EMAIL_HOST = "mail.example.org"
    return mail.outbox


@pytest.fixture
def silent(settings) -> None:
    """A site without a mail server."""
    settings.EMAIL_HOST, settings.EMAIL_BACKEND = "", "django.core.mail.backends.smtp.EmailBackend"
