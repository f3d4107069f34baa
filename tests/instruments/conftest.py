"""An archive that answers as that of NOIRLab, and its pauses."""

from __future__ import annotations

import pytest

from processing.archives import noirlab
from processing.archives.http import Site
from tests.instruments.archive_server import serving


@pytest.fixture
def archive(settings):
    """An archive, which the settings name."""
    with serving() as found:
        settings.SEECHANGE_NOIRLAB = found.address
        settings.SEECHANGE_NOIRLAB_TOKEN = ""
        yield found


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made between attempts, without making them."""
    made: list[float] = []
    real = noirlab.site
    monkeypatch.setattr(noirlab, "site", lambda: _quick(real(), made))
    return made


def _quick(site: Site, made: list[float]) -> Site:
    site.sleep, site.answer_within = made.append, 1.0
    return site
