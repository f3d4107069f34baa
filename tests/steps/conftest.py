"""The products of one simulated CCD, made once for all tests of steps, without any database."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from processing.training.chain import Chain, Found
from processing.training.fields import Field, draw_field
from processing.training.labels import label
from tests.steps.night import CCD

UNSEEN, SIDE = 777_001, 768  # seeds of training are small


class Searched(NamedTuple):
    """A simulated field, what was found in it, and what that truly is."""

    field: Field
    found: Found
    kind: np.ndarray


@pytest.fixture(scope="session")
def ccd() -> CCD:
    return CCD()


@pytest.fixture(scope="session")
def searched() -> Searched:
    """A field that no model learned from, searched by the whole pipeline."""
    field = draw_field(UNSEEN, SIDE)
    found = Chain({}).run(field)
    return Searched(field, found, label(field, found))
