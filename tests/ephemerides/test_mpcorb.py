"""Files of the Minor Planet Center: packed names and dates, good and bad lines."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from processing.algorithms.orbits import ORBIT
from processing.ephemerides import packed
from processing.ephemerides.mpcorb_lines import read_orbits
from processing.errors import BadInput
from tests.ephemerides.orbit_lines import CERES, HEAD, line


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes, name: str = "MPCORB.DAT"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text, mjd",
    [("J9611", 50083.0), ("J961A", 50092.0), ("J969U", 50356.0), ("K01AV", 52213.0), ("K239D", 60200.0)],
)
def test_packed_dates_are_those_of_the_minor_planet_center(text, mjd):
    """1996-01-01, 1996-01-10, 1996-09-30, 2001-10-31, 2023-09-13."""
    assert packed.mjd_of_epoch(text) == mjd


@pytest.mark.parametrize("text", ["", "K23", "X239D", "K23D3", "K232V", "K239d", "2023-09"])
def test_what_is_no_packed_date_is_refused(text):
    with pytest.raises(ValueError):
        packed.mjd_of_epoch(text)


@pytest.mark.parametrize(
    "text, name",
    [
        ("03202", "(3202)"), ("A0345", "(100345)"), ("a0017", "(360017)"), ("~0000", "(620000)"), ("~zzzz", "(15396335)"),
        ("J95X00A", "1995 XA"), ("J95X01L", "1995 XL1"), ("J98SA8S", "1998 SS108"), ("K07Tf8A", "2007 TA418"),
        ("PLS2040", "2040 P-L"), ("T1S3138", "3138 T-1"), ("_QC0000", "2026 CA620"), ("_QC0aEM", "2026 CZ6190"),
    ],
)  # fmt: skip
def test_packed_designations_are_those_of_the_minor_planet_center(text, name):
    assert packed.designation(text) == name


@pytest.mark.parametrize("text", ["", "K07", "K07If8A", "ZLS2040", "123", "K07Tf8I"])
def test_what_is_no_designation_is_refused(text):
    with pytest.raises(ValueError):
        packed.designation(text)


def test_a_line_is_read_as_it_is_written(written):
    found = read_orbits(written(HEAD + CERES + "\n"))
    assert list(found.names) == [b"(1) Ceres"] and found.n_bad == 0
    (row,) = found.table
    assert (row["epoch"], row["h"], row["g"], row["runoff"], row["observed"]) == (60200, 3.33, 0.15, 1.0, 60024)
    assert (row["mean_anomaly"], row["perihelion"], row["node"]) == (60.07881, 73.42179, 80.25496)
    assert (row["inclination"], row["eccentricity"], row["semi_major_axis"]) == (10.58688, 0.0789126, 2.7672543)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("head", ["", HEAD])
def test_heads_blank_lines_and_line_ends_of_any_kind_are_no_orbits(written, head, ending):
    found = read_orbits(written(head + ending.join([CERES] * 4)))
    assert len(found.table) == 4 and found.n_bad == 0


def test_a_packed_file_and_one_without_readable_names_are_read(written):
    short = CERES[:160].replace("00001  ", "K07Tf8A")
    found = read_orbits(written(gzip.compress((HEAD + short + "\n" + CERES).encode()), "MPCORB.DAT.gz"))
    assert list(found.names) == [b"2007 TA418", b"(1) Ceres"]
    assert np.isnan(found.table["observed"][0])


def test_unknown_brightness_and_uncertainty_are_unknown(written):
    bare = CERES[:8] + " " * 11 + CERES[19:105] + " " + CERES[106:]
    (row,) = read_orbits(written(bare)).table
    assert np.isnan(row["h"]) and np.isnan(row["g"]) and np.isnan(row["runoff"])


def test_bad_lines_are_left_out_and_told_with_their_numbers(written):
    wrong = {
        7: CERES.replace("60.07881", "60.0x881"), 20: CERES.replace("0.0789126", "1.0789126"), 31: CERES[:90],
        40: CERES.replace("K239D", "K23XD"),
    }  # fmt: skip
    lines = [wrong.get(number, CERES) for number in range(1, 1001)]
    found = read_orbits(written("\n".join(lines)))
    assert len(found.table) == 996 and found.n_bad == 4
    told = dict(found.bad)
    assert set(told) == set(wrong)
    assert "mean anomaly" in told[7] and "ellipse" in told[20] and "short" in told[31] and "date" in told[40]


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "empty"), ("not an orbit\n" * 10, "line 1: it is too short"), (HEAD, "no orbits"),
        (HEAD + CERES + "\n" + CERES[:50], "line 6: it is too short"), ("\x00\xff" * 300, "no orbits"),
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_an_error_that_names_the_line(written, text, told):
    with pytest.raises(BadInput, match=told):
        read_orbits(written(text.encode("latin-1")))


def test_a_missing_or_torn_file_is_a_typed_error(written, tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read_orbits(tmp_path / "none.dat")
    torn = gzip.compress((CERES + "\n").encode() * 1000)[:-40]
    with pytest.raises(BadInput, match="fetch it again"):
        read_orbits(written(torn, "MPCORB.DAT.gz"))


def test_what_is_written_as_the_center_does_comes_back(written):
    row = np.zeros(1, ORBIT)[0]
    for name, value in {"mean_anomaly": 12.34567, "perihelion": 340.1, "node": 0.5, "inclination": 3.25, "h": 17.5,
                        "eccentricity": 0.123456, "semi_major_axis": 2.3456789, "g": 0.15}.items():  # fmt: skip
        row[name] = value
    found = read_orbits(written(line(345678, row, "K269D", u="3")))
    assert list(found.names) == [b"(345678)"] and found.table["runoff"][0] == 86.5
    for name in ("mean_anomaly", "node", "eccentricity", "semi_major_axis", "h"):
        assert found.table[name][0] == pytest.approx(row[name], abs=1e-6)
