"""What tests of rows, pages and the REST API share."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.test import Client

from tests.instruments.test_instruments import demo_file
from tests.rows.archive import Archive, archive
from tests.rows.conducting import Asker, Text, person


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


# The conductor -------------------------------------------------------------------------------------------


@pytest.fixture
def operator(client: Client) -> User:
    """Ada, who is logged in and may do everything with the conductor, and is not of the staff."""
    codes = Permission.objects.filter(content_type__app_label="conductor").values_list("codename", flat=True)
    return person(client, *codes)


@pytest.fixture
def text(client: Client) -> Text:
    """The text of a page that must answer 200."""

    def get(address: str, **options) -> str:
        answer = client.get(address, **options)
        assert answer.status_code == 200, (address, answer.status_code)
        return answer.content.decode()

    return get


@pytest.fixture
def launcher(operator: User) -> Asker:
    """A program with a token for claims."""
    return Asker(operator, "claim")


@pytest.fixture
def ada(operator: User) -> Asker:
    """The operator as somebody who asks the REST API."""
    return Asker(operator)


@pytest.fixture
def incoming(tmp_path: Path, settings) -> Path:
    """A folder of which files may be named, with nothing in it."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    settings.SEECHANGE_INCOMING = [str(folder)]
    return folder


@pytest.fixture
def raw(incoming: Path) -> Path:
    """A raw file there."""
    demo_file(incoming / "raw1.fits")
    return incoming / "raw1.fits"
