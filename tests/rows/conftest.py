"""What tests of rows, pages and the REST API share."""

from __future__ import annotations

import pytest

from tests.rows.archive import Archive, archive


@pytest.fixture
def site() -> Archive:
    """A small archive that has something of everything."""
    return archive()
