"""Magnitudes in the filters of instruments from those of catalogues, by tables that are data."""

from __future__ import annotations

import numpy as np
import pytest
from django.test import override_settings

from processing.errors import BadInput, EmptyCatalog
from processing.instruments.base import Instrument
from processing.instruments.decam import Decam
from processing.instruments.demo import Demo
from processing.instruments.ls4 import Ls4
from processing.instruments.photometry_tables import COLUMNS, transformations
from processing.instruments.ptf import Ptf
from processing.instruments.sdss import Sdss

SYSTEMS = {"decam": "griz", "ls4": "giz", "sdss": "ugriz"}


def gaia(color, g=17.0, **columns) -> np.ndarray:
    """Stars as the catalogue gives them: of colours BP − RP."""
    color = np.atleast_1d(np.asarray(color, float))
    names = ["mag_G", "err_G", "mag_BP", "err_BP", "mag_RP", "err_RP", *columns]
    table = np.zeros(len(color), [(name, "f8") for name in names])
    table["mag_G"], table["mag_RP"], table["mag_BP"] = g, g - 0.5, g - 0.5 + color
    for name in ("err_G", "err_BP", "err_RP"):
        table[name] = 0.002
    for name, values in columns.items():
        table[name] = values
    return table


@pytest.mark.parametrize(("system", "bands"), SYSTEMS.items())
def test_every_row_has_a_source_and_a_range(system, bands):
    for band in bands:
        rows = transformations(system, band)
        assert rows, band
        for row in rows:
            assert (
                len(row.source) > 20 and row.color_range[0] < row.color_range[1] and row.mag_range[0] < row.mag_range[1]
            )
    assert transformations(system, "Y") == ()


def test_tables_that_are_not_measured_say_so():
    assert all("until LS4 is measured" in row.source for band in "giz" for row in transformations("ls4", band))


def test_the_polynomial_of_decam_follows_its_definition():
    mag, error, color = Decam().calibration_magnitude(gaia(1.0), "r")
    assert mag[0] == pytest.approx(17.0 - (-0.28526417 + 0.65444024 - 0.25415955 - 0.00204337))
    slope = 0.65444024 - 2 * 0.25415955 - 3 * 0.00204337
    assert error[0] == pytest.approx(0.002 * np.sqrt(1 + 2 * slope**2))
    assert color[0] == pytest.approx(1.0)
    assert Ls4().calibration_magnitude(gaia(1.0), "i")[0] == Decam().calibration_magnitude(gaia(1.0), "i")[0]


@pytest.mark.parametrize("band", "gri")
def test_the_filters_of_decam_are_like_those_of_sdss(band):
    """They differ by up to 0.2 mag for red stars; a wrong sign or coefficient would be seen."""
    stars = gaia(np.linspace(0.55, 1.55, 21))
    ours, theirs = (camera.calibration_magnitude(stars, band)[0] for camera in (Decam(), Sdss()))
    assert np.all(np.abs(ours - theirs) < 0.2) and np.all(np.isfinite(ours))


@pytest.mark.parametrize(("color", "g"), [(0.3, 17), (2.2, 17), (1.0, 13.0), (1.0, 19.5), (np.nan, 17)])
def test_stars_outside_the_range_do_not_calibrate_but_are_known_to_be_bright_or_faint(color, g):
    stars = gaia(color, g)
    assert np.isnan(Decam().calibration_magnitude(stars, "r")[0][0])
    assert Decam().catalog_magnitude(stars, "r")[0][0] == pytest.approx(g, abs=1)


def test_synthetic_photometry_goes_before_polynomials_star_by_star():
    stars = gaia([0.8, 0.8, 0.8], mag_r_sdss=[16.9, np.nan, 19.0], err_r_sdss=[0.004, np.nan, 0.1])
    mag, error, _ = Sdss().calibration_magnitude(stars, "r")
    plain = Sdss().calibration_magnitude(gaia(0.8), "r")[0][0]
    np.testing.assert_allclose(mag, [16.9, plain, plain])  # too faint for its spectrum; without one
    assert error[0] == pytest.approx(0.004)
    np.testing.assert_allclose(Ptf().calibration_magnitude(stars, "R")[0], mag)
    np.testing.assert_allclose(Demo().calibration_magnitude(stars, "r")[0], mag)


def test_only_synthetic_photometry_leads_to_z_of_sdss():
    stars = gaia([0.8], mag_z_sdss=[16.5], err_z_sdss=[0.01])
    assert Sdss().calibration_magnitude(stars, "z")[0][0] == 16.5
    with pytest.raises(EmptyCatalog, match="no table of 'sdss' leads to them"):
        Sdss().calibration_magnitude(gaia([0.8]), "z")
    assert Sdss().catalog_magnitude(gaia([0.8]), "z")[0][0] == 17.0  # enough to tell bright from faint


def test_a_survey_with_the_filter_needs_no_table():
    stars = np.zeros(2, [("mag_g", "f8"), ("mag_r", "f8"), ("err_r", "f8")])
    stars["mag_g"], stars["mag_r"], stars["err_r"] = 18.0, 17.4, 0.01
    for camera in (Decam(), Sdss(), Demo()):
        mag, error, color = camera.calibration_magnitude(stars, "r")
        assert np.all(mag == 17.4) and np.all(error == 0.01) and np.allclose(color, 0.6)


def test_every_instrument_has_a_system_with_a_table():
    for name, camera in Instrument.members().items():
        assert transformations(camera.photometric_system, camera.calibrated_by.get("g", "g")), name


def row(**changed) -> str:
    values = {
        "filter": "r", "magnitude": "mag_G", "blue": "mag_BP", "red": "mag_RP", "c0": 0.5, "c1": 0, "c2": 0, "c3": 0,
        "c4": 0, "color_min": 0, "color_max": 3, "mag_min": 10, "mag_max": 20, "scatter": 0.02, "source": "own night",
    } | changed  # fmt: skip
    return ",".join(f'"{values[name]}"' if isinstance(values[name], str) else str(values[name]) for name in COLUMNS)


def write(folder, text: str, columns=COLUMNS) -> None:
    words = ("filter", "magnitude", "blue", "red", "source")
    kinds = "".join(f"# - {{name: {n}, datatype: {'string' if n in words else 'float64'}}}\n" for n in columns)
    (folder / "instruments").mkdir()
    path = folder / "instruments" / "decam_photometry_mine.ecsv"
    path.write_text(
        f"# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n{kinds}# schema: astropy-2.0\n{','.join(columns)}\n{text}\n"
    )


def test_a_table_of_ones_own_goes_before_that_of_the_code(tmp_path):
    write(tmp_path, row())
    with override_settings(SEECHANGE_DATA=tmp_path):
        mag, _, _ = Decam().calibration_magnitude(gaia([1.0, 4.0]), "r", "mine")
        assert mag[0] == pytest.approx(16.5) and np.isnan(mag[1])
        assert Decam().calibration_magnitude(gaia(1.0), "r")[0][0] != mag[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (row(c0="much"), "cannot be read"),
        (row(color_min=3, color_max=0), "a range ends before it begins"),
        (row(source=""), "source is empty"),
        (row(magnitude="G"), "'G' is no column of magnitudes"),
        (row(c1=float("nan")), "c1 = nan must be a number"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(tmp_path, text, said):
    write(tmp_path, text)
    with override_settings(SEECHANGE_DATA=tmp_path), pytest.raises(BadInput, match=said):
        Decam().calibration_magnitude(gaia(1.0), "r", "mine")


def test_a_table_without_a_column_is_refused(tmp_path):
    write(tmp_path, "r,mag_G", COLUMNS[:2])
    with override_settings(SEECHANGE_DATA=tmp_path), pytest.raises(BadInput, match="no column blue"):
        Decam().calibration_magnitude(gaia(1.0), "r", "mine")


@pytest.mark.parametrize(("name", "said"), [("none", "there is no file"), ("../sdss", "name it by letters")])
def test_a_table_that_is_not_there_is_refused(tmp_path, name, said):
    with override_settings(SEECHANGE_DATA=tmp_path), pytest.raises(BadInput, match=said):
        Decam().calibration_magnitude(gaia(1.0), "r", name)
