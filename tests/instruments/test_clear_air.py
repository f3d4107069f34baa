"""The zero point of clear air, from tables."""

from __future__ import annotations

import numpy as np
import pytest
from django.test import override_settings

from processing.errors import BadInput
from processing.instruments.clear_air import clear_zero_point

HEADER = (
    "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: filter, datatype: string}\n"
    "# - {name: zero_point, datatype: float64}\n# - {name: extinction, datatype: float64}\n"
    "# - {name: source, datatype: string}\n# schema: astropy-2.0\nfilter,zero_point,extinction,source\n"
)


def test_the_zero_point_grows_with_exposure_time_and_falls_with_airmass():
    at_zenith = clear_zero_point("decam", "g", 1.0, 1.0)
    assert at_zenith == pytest.approx(26.61)
    assert clear_zero_point("decam", "g", 100.0, 1.0) == pytest.approx(at_zenith + 5)
    assert clear_zero_point("decam", "g", 1.0, 2.0) == pytest.approx(at_zenith - 0.17)
    assert clear_zero_point("decam", "g", 1.0, None) == at_zenith


@pytest.mark.parametrize(("system", "band", "time"), [("decam", "Y", 60), ("ls4", "g", 60), ("decam", "g", 0)])
def test_what_nobody_knows_is_none(system, band, time):
    assert clear_zero_point(system, band, time, 1.2) is None


@pytest.fixture
def own(tmp_path):
    (tmp_path / "instruments").mkdir()
    with override_settings(SEECHANGE_DATA=tmp_path):
        yield tmp_path / "instruments" / "ls4_zero_points_mine.ecsv"


def test_a_table_of_ones_own_knows_more(own):
    own.write_text(HEADER + 'g,24.5,0.2,"one night"\n')
    assert clear_zero_point("ls4", "g", 60, 1.0, "mine") == pytest.approx(24.5 + 2.5 * np.log10(60))
    assert clear_zero_point("ls4", "g", 60, 1.0) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + "g,nan,0.2,one night\n", "must be numbers"),
        (HEADER.replace("extinction", "loss") + "g,24.5,0.2,one night\n", "there must be: filter"),
        ("nothing", "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(own, text, said):
    own.write_text(text)
    with pytest.raises(BadInput, match=said):
        clear_zero_point("ls4", "g", 60, 1.0, "mine")
