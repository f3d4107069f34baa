"""The products of one simulated CCD, made once for all tests of steps, without any database."""

from __future__ import annotations

import pytest

from tests.steps.night import CCD


@pytest.fixture(scope="session")
def ccd() -> CCD:
    return CCD()
