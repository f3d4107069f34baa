"""Star catalogues: tables that people bring, and Gaia over TAP."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from processing.catalogs.base import StarCatalogSource
from processing.catalogs.gaia import magnitudes
from processing.catalogs.tables import read_catalog
from processing.errors import BadInput, EmptyCatalog


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "vot"])
def test_a_table_in_any_format_gives_the_same_stars(ending, tmp_path):
    path = tmp_path / f"stars.{ending}"
    table = Table(
        {"RA": [10.0, 11.0, np.nan], "Dec": [-5.0, 6.0, 7.0], "g": [17.0, -9999.0, 18.0], "g_err": [0.01] * 3}
    )
    table["starnotgal"] = [1, 0, 1]
    table.write(path, format={"vot": "votable"}.get(ending))
    stars = read_catalog(path)
    assert len(stars) == 2  # the one without a position is left out
    assert stars["mag_g"][0] == 17
    assert np.isnan(stars["mag_g"][1])
    assert stars["is_star"].tolist() == [True, False]
    assert np.isnan(stars["pmra"]).all()


def test_the_case_of_a_filter_matters(tmp_path):
    Table({"ra": [1.0], "dec": [2.0], "Rmag": [15.0], "r": [15.4]}).write(tmp_path / "x.csv")
    stars = read_catalog(tmp_path / "x.csv")
    assert (stars["mag_R"][0], stars["mag_r"][0]) == (15.0, np.float32(15.4))


@pytest.mark.parametrize(
    ("columns", "what"), [({"x": [1.0]}, "no column ra"), ({"ra": [1.0], "dec": [2.0]}, "no magnitudes")]
)
def test_a_table_without_positions_or_magnitudes_is_refused(columns, what, tmp_path):
    Table(columns).write(tmp_path / "x.csv")
    with pytest.raises(BadInput, match=what):
        read_catalog(tmp_path / "x.csv")


def test_a_table_of_gaia_that_lacks_a_column_is_refused_by_its_name(tmp_path):
    Table({"ra": [1.0], "dec": [2.0], "phot_g_mean_mag": [15.0]}).write(tmp_path / "x.csv")
    with pytest.raises(BadInput, match="phot_bp_mean_mag"):
        read_catalog(tmp_path / "x.csv")


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "x.fits").write_bytes(b"nothing")
    for name in ("x.fits", "missing.csv"):
        with pytest.raises(BadInput, match=name):
            read_catalog(tmp_path / name)


def test_the_colours_of_gaia_give_sdss_like_magnitudes():
    # a star like the Sun: BP − RP = 0.82, G − r ≈ −0.03, g − r ≈ 0.45 to 0.5
    unknown = [np.array([np.nan])] * 3
    sun = magnitudes(np.array([15.0]), np.array([15.33]), np.array([14.51]), *unknown)
    assert sun["mag_g"][0] - sun["mag_r"][0] == pytest.approx(0.47, abs=0.08)
    assert sun["mag_r"][0] - sun["mag_i"][0] == pytest.approx(0.13, abs=0.08)
    red = magnitudes(np.array([15.0]), np.array([19.0]), np.array([14.51]), *unknown)
    assert np.isnan(red["mag_g"][0])  # the relation does not reach such colours


def test_synthetic_photometry_of_gaia_is_read_with_its_errors(tmp_path):
    table = Table({name: [10.0, 20.0] for name in ("ra", "dec", "pmra", "pmdec")})
    for name, value in (("g", 15.0), ("bp", 15.3), ("rp", 14.5)):
        table[f"phot_{name}_mean_mag"] = value
    table["r_sdss_mag"], table["r_sdss_flux"], table["r_sdss_flux_error"] = [15.1, np.nan], 1e-28, 1e-30
    table.write(tmp_path / "gspc.ecsv")
    stars = read_catalog(tmp_path / "gspc.ecsv")
    assert stars["mag_G"].tolist() == [15.0, 15.0] and stars["mag_BP"][0] == pytest.approx(15.3)
    assert stars["mag_r_sdss"][0] == pytest.approx(15.1) and np.isnan(stars["mag_r_sdss"][1])
    assert stars["err_r_sdss"][0] == pytest.approx(0.01086, rel=1e-3)
    assert "mag_g_sdss" not in stars.dtype.names


def test_the_local_catalogue_says_how_to_import_one():
    with pytest.raises(EmptyCatalog, match="import_catalog"):
        StarCatalogSource.member("local")().fetch(150.0, 2.0, 0.3, 20.0)


def test_positions_are_brought_to_degrees_by_the_unit_of_their_column(tmp_path):
    table = Table({"ra": [np.pi], "dec": [-0.5], "mag_Clear": [17.0]})
    table["ra"].unit = table["dec"].unit = "rad"
    table.write(tmp_path / "stars.ecsv")
    stars = read_catalog(tmp_path / "stars.ecsv")
    assert (stars["ra"][0], stars["dec"][0]) == (pytest.approx(180.0), pytest.approx(np.degrees(-0.5)))
    assert stars["mag_Clear"][0] == 17.0


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"ra": ["05:01:02"], "dec": [1.0], "mag_r": [15.0]}, "the column ra holds '05:01:02'; numbers in deg are needed"),
        ({"ra": [1.0], "dec": [1.0], "mag_r": [99.0]}, "no magnitude in it is between"),
        ({"ra": [1.0], "dec": [1.0], "rmagnitude": [15.0]}, "mag_g, mag_r, …; it has ra, dec, rmagnitude"),
        ({"alpha": [1.0], "dec": [1.0], "mag_r": [15.0]}, "no column ra .*raj2000.*it has alpha, dec, mag_r"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_serve_says_which_column_is_wrong(columns, why, tmp_path):
    Table(columns).write(tmp_path / "stars.csv")
    with pytest.raises(BadInput, match=why):
        read_catalog(tmp_path / "stars.csv")
