"""Tables of stars in files: any format in pieces, units and names of several archives, catalogues larger than memory."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from astropy.io import fits
from astropy.table import Table
from pyarrow import parquet

from processing import star_catalogs
from processing.catalogs import tables
from processing.catalogs.base import joined, star_table
from processing.catalogs.columns import stars_of
from processing.catalogs.partitions import files_of
from processing.catalogs.tables import read_catalog, star_pieces
from processing.errors import BadInput, EmptyCatalog
from processing.star_catalogs import import_tables
from products.models import CatalogExcerpt
from products.sky import cells
from tests.catalogs.catalog_server import gaia_sky

BULK = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n"


@pytest.fixture(scope="module")
def gaia():
    return gaia_sky(3000, 1.6)


def bulk_file(path, table: Table):
    """A file as in the bulk download of Gaia: ECSV with commas and `null`, packed."""
    lines = [BULK, *(f"# - {{name: {name}, datatype: float64}}\n" for name in table.colnames)]
    lines.append(",".join(table.colnames) + "\n")
    lines += [",".join("null" if value is np.ma.masked else f"{value}" for value in row) + "\n" for row in table]
    with gzip.open(path, "wt") as file:
        file.writelines(lines)
    return path


def same(one: np.ndarray, other: np.ndarray) -> None:
    assert one.dtype == other.dtype
    for name in one.dtype.names:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("ending", ["parquet", "fits", "csv", "ecsv", "vot", "csv.gz"])
def test_a_table_of_gaia_is_the_same_in_every_format_and_in_pieces(gaia, ending, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 700)
    monkeypatch.setattr(tables, "_BLOCK", 100_000)
    path = tmp_path / f"stars.{ending}"
    if ending == "parquet":
        parquet.write_table(pyarrow.table({name: np.asarray(gaia[name]) for name in gaia.colnames}), path)
    elif ending == "csv.gz":
        bulk_file(path, gaia)
    else:
        gaia.write(path, format={"vot": "votable"}.get(ending))
    pieces = list(star_pieces(path))
    assert len(pieces) > 1 or ending == "vot"
    same(joined(pieces), stars_of(gaia, "as it was made"))


def test_what_is_not_known_is_nan_in_every_format(tmp_path):
    table = Table(
        {"ra": [1.0, 2.0], "dec": [3.0, 4.0], "mag_r": [15.0, 16.0], "parallax": [0.5, 0.1], "ruwe": [1.0, 1.1]}
    )
    table = Table(table, masked=True)
    table["parallax"].mask = table["mag_r"].mask = [False, True]
    for ending, form in (("csv", None), ("ecsv", None), ("fits", None), ("vot", "votable")):
        table.write(tmp_path / f"x.{ending}", format=form)
    bulk_file(tmp_path / "x.csv.gz", table)
    parquet.write_table(
        pyarrow.table({"ra": [1.0, 2.0], "dec": [3.0, 4.0], "mag_r": [15.0, None], "parallax": [0.5, None], "ruwe": [1.0, 1.1]}),
        tmp_path / "x.parquet",
    )  # fmt: skip
    for path in sorted(tmp_path.iterdir()):
        stars = read_catalog(path)
        assert np.isnan(stars["mag_r"]).tolist() == np.isnan(stars["parallax"]).tolist() == [False, True], path


def test_numbers_that_are_whole_at_first_need_not_stay_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK", 300)
    lines = ["ra,dec,mag_r", *(f"{i},0,15" for i in range(50)), "50.5,0.25,15.5"]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    stars = read_catalog(tmp_path / "x.csv")
    assert len(stars) == 51 and (stars["ra"][-1], stars["mag_r"][-1]) == (50.5, 15.5)


@pytest.mark.parametrize("mark", [";", "\t", "|", " "])
def test_what_separates_columns_is_seen(mark, tmp_path):
    (tmp_path / "x.csv").write_text(f"ra{mark}dec{mark}mag_r\n1.5{mark}-2{mark}15\n")
    assert read_catalog(tmp_path / "x.csv")[["ra", "dec", "mag_r"]].tolist() == [(1.5, -2.0, 15.0)]


def test_names_of_vizier_are_understood():
    stars = stars_of(Table({
        "Source": [7], "RA_ICRS": [10.0], "DE_ICRS": [-5.0], "e_RA_ICRS": [0.1], "Plx": [2.0], "e_Plx": [0.2],
        "pmRA": [3.0], "e_pmRA": [0.3], "pmDE": [4.0], "RUWE": [1.1], "Dup": [1], "VarFlag": ["VARIABLE"],
        "Gmag": [15.0], "e_Gmag": [0.003], "BPmag": [15.4], "RPmag": [14.5],
    }), "a table")  # fmt: skip
    row = stars[0]
    assert (row["source_id"], row["ra"], row["pmdec"], row["is_duplicate"], row["is_variable"]) == (
        7,
        10,
        4,
        True,
        True,
    )
    assert [
        float(row[n]) for n in ("ra_error", "parallax", "parallax_error", "pmra_error", "ruwe", "err_G")
    ] == pytest.approx([0.1, 2.0, 0.2, 0.3, 1.1, 0.003])
    assert np.isfinite(row["mag_g"]) and np.isnan(row["err_BP"])


def test_a_reference_catalogue_of_lsst_has_radians_and_nanojanskys():
    mas = np.radians(1 / 3.6e6)
    table = Table(
        {"coord_ra": [np.pi], "coord_dec": [-0.5], "pm_ra": [3 * mas], "pm_dec": [-4 * mas], "coord_raErr": [0.2 * mas]}
    )
    for name in table.colnames:
        table[name].unit = "rad"
    for band, zero in (("g", 0.1136), ("bp", 0.0155), ("rp", 0.3561)):  # AB − Vega
        table[f"phot_{band}_mean_flux"] = [10 ** (0.4 * (31.4 - 15.0 - zero))]
        table[f"phot_{band}_mean_fluxErr"] = table[f"phot_{band}_mean_flux"] / 100
        table[f"phot_{band}_mean_flux"].unit = "nJy"
    row = stars_of(table, "a table")[0]
    assert (row["ra"], row["dec"]) == (pytest.approx(180.0), pytest.approx(np.degrees(-0.5)))
    assert (row["pmra"], row["pmdec"], row["ra_error"]) == pytest.approx((3.0, -4.0, 0.2))
    assert [row[f"mag_{band}"] for band in ("G", "BP", "RP")] == pytest.approx([15.0] * 3, abs=1e-5)
    assert row["err_G"] == pytest.approx(0.010857, rel=1e-3)


@pytest.mark.real
def test_the_reference_catalogue_of_hyper_suprime_cam_is_read(real_data):
    stars = read_catalog(real_data / "hsc_gaia_astrometry" / "gaia_refCat.parquet")
    assert len(stars) == 10_278, "the other 2,727 rows have no position"
    assert stars["ra"].min() > 149 and stars["ra"].max() < 153 and 0 < stars["dec"].min() < stars["dec"].max() < 4
    assert 1 < np.median(np.abs(stars["pmra"])) < 20
    assert 0.01 < np.nanmedian(stars["ra_error"]) < 2
    assert np.nanmin(stars["mag_G"]) > 2 and np.nanmax(stars["mag_G"]) < 22.5
    color = stars["mag_BP"] - stars["mag_RP"]
    assert 0.6 < np.nanmedian(color) < 1.8


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x.txt", b"ra dec", "its ending tells no format"),
        ("x.parquet", b"PAR1 nothing", "cannot be read as a table"),
        ("x.csv", b"", "no line of names"),
        ("x.csv", b"ra,dec,mag_r\n1,2\n1,2,3,4\n", "cannot be read as a table.*column"),
        ("x.csv", b"\x00\x01\xff\xfe", "cannot be read as a table"),
        ("x.csv.gz", b"not packed", "cannot be read as a table"),
    ],
)
def test_a_file_that_is_no_table_says_why(name, content, why, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=why):
        read_catalog(tmp_path / name)


# Imports -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_table_of_a_field_is_kept_as_it_is(tmp_path):
    gaia_sky(500, 0.5).write(tmp_path / "x.fits")
    (row,) = import_tables([tmp_path / "x.fits"], "mine", 2016.0)
    assert (row.order, row.cell, row.limit, row.n_stars) == (None, None, None, 500)
    same(row.table, read_catalog(tmp_path / "x.fits"))


@pytest.mark.django_db
def test_a_large_table_is_kept_by_cell_each_star_once_in_whatever_order_it_comes(gaia, tmp_path, monkeypatch):
    monkeypatch.setattr(star_catalogs, "ONE_PIECE", 1000)
    monkeypatch.setattr(tables, "ROWS", 400)
    gaia.write(tmp_path / "a.fits")
    gaia[::-1].write(tmp_path / "b.fits")
    rows = import_tables([tmp_path / "a.fits"], "mine", 2016.0)
    assert sum(row.n_stars for row in rows) == len(gaia)
    assert {row.cell for row in rows} == set(cells(gaia["ra"], gaia["dec"], 6).tolist()) and len(rows) > 6
    for row in rows:
        assert (cells(row.table["ra"], row.table["dec"], 6) == row.cell).all() and row.order == 6
        assert row.covers(row.table["ra"], row.table["dec"]).mean() > 0.9
    assert any(row.is_whole for row in rows) and not all(row.is_whole for row in rows), "the edge of the table is one"
    again = import_tables([tmp_path / "b.fits", tmp_path / "a.fits"], "mine", 2016.0)
    assert [row.pk for row in again] == [row.pk for row in rows]
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.django_db
def test_a_folder_of_tables_is_one_catalogue(gaia, tmp_path):
    folder = tmp_path / "survey"
    (folder / "south").mkdir(parents=True)
    gaia[:1500].write(folder / "a.fits")
    bulk_file(folder / "south" / "b.csv.gz", gaia[1500:])
    (folder / "README.txt").write_text("read me")
    assert [path.name for path in files_of(folder)] == ["a.fits", "b.csv.gz"]
    rows = import_tables(files_of(folder), "survey", 2016.0)
    assert sum(row.n_stars for row in rows) == len(gaia)


@pytest.mark.django_db
def test_a_bad_file_among_good_ones_leaves_nothing(gaia, tmp_path, monkeypatch):
    monkeypatch.setattr(star_catalogs, "ONE_PIECE", 1000)
    gaia.write(tmp_path / "a.fits")
    Table({"ra": [1.0], "mag_r": [15.0]}).write(tmp_path / "b.csv")
    with pytest.raises(BadInput, match=r"b\.csv.*no column dec"):
        import_tables([tmp_path / "a.fits", tmp_path / "b.csv"], "mine", 2016.0)
    Table({"ra": np.zeros(0), "dec": np.zeros(0), "mag_r": np.zeros(0)}).write(tmp_path / "c.fits")
    with pytest.raises(EmptyCatalog, match="no rows"):
        import_tables([tmp_path / "c.fits"], "mine", 2016.0)
    assert not CatalogExcerpt.objects.exists() and not list((tmp_path / "scratch").iterdir())
    with pytest.raises(BadInput, match="no table in it"):
        files_of(tmp_path / "scratch")


def peak_of_splitting(number: int, folder: Path) -> float:
    """Bytes that were held at once while a table of so many stars was split into cells."""
    rng = np.random.default_rng(2)
    table = np.zeros(number, [("ra", "f8"), ("dec", "f8"), ("mag_r", "f8")])
    table["ra"], table["dec"], table["mag_r"] = rng.uniform(0, 6, number), rng.uniform(0, 6, number), 15
    fits.BinTableHDU(table).writeto(folder / f"{number}.fits")
    del table
    spool = star_catalogs._Spool(folder / "spool")
    tracemalloc.start()
    for piece in star_pieces(folder / f"{number}.fits"):
        spool.add(piece)
    found = [len(table) for _, table in spool.cells()]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(found) == number and len(found) > 40
    return peak


def test_memory_does_not_grow_with_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 20_000)
    monkeypatch.setattr(star_catalogs, "ONE_PIECE", 20_000)
    (tmp_path / "spool").mkdir()
    peak_of_splitting(20_000, tmp_path)  # what is imported on the way counts once
    assert peak_of_splitting(200_000, tmp_path) < 1.3 * peak_of_splitting(40_000, tmp_path)


def test_what_tables_lack_is_unknown_when_they_are_joined():
    one = star_table({"ra": np.array([1.0]), "dec": np.array([2.0]), "mag_g": np.array([15.0])})
    other = star_table(
        {"ra": np.array([3.0]), "dec": np.array([4.0]), "mag_r": np.array([16.0]), "source_id": np.array([5])}
    )
    found = joined([one, other])
    assert np.isnan(found["mag_g"]).tolist() == [False, True] and np.isnan(found["mag_r"]).tolist() == [True, False]
    assert found["source_id"].tolist() == [0, 5] and found["is_star"].all()


@pytest.mark.parametrize("column", ["ra", "mag_g", "source_id", "is_star"])
def test_a_column_with_several_values_a_row_is_refused_by_its_name(column, tmp_path):
    table = Table({"source_id": [1, 2], "ra": [1.0, 2.0], "dec": [3.0, 4.0], "mag_g": [15.0, 16.0], "is_star": [1, 1]})
    table["unused"] = np.zeros((2, 3))
    table.write(tmp_path / "good.fits")
    assert len(read_catalog(tmp_path / "good.fits")) == 2
    table[column] = np.stack([table[column]] * 2, axis=1)
    table.write(tmp_path / "x.fits")
    with pytest.raises(BadInput, match=f"the column {column} holds several values a row"):
        read_catalog(tmp_path / "x.fits")


def test_a_file_of_a_spreadsheet_begins_with_a_mark_of_its_encoding(tmp_path):
    text = "\ufeffra,dec,mag_g\n1.5,2,15\n3,4,16\n"
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    with gzip.open(tmp_path / "x.csv.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    for name in ("x.csv", "x.csv.gz"):
        assert read_catalog(tmp_path / name)["ra"].tolist() == [1.5, 3.0]


def test_people_write_blanks_behind_commas(tmp_path):
    lines = ("# of a friend", "", "ra, dec, mag_g, phot_variable_flag", "1.5, -2, 15, VARIABLE", "3, 4, 16, no")
    (tmp_path / "x.csv").write_text("\n".join(lines))
    found = read_catalog(tmp_path / "x.csv")
    assert found["ra"].tolist() == [1.5, 3.0] and found["dec"].tolist() == [-2.0, 4.0]
    assert found["mag_g"].tolist() == [15.0, 16.0] and found["is_variable"].tolist() == [True, False]


@pytest.mark.parametrize("name", ["source_id", "Source", "ID"])
def test_numbers_of_stars_keep_all_their_digits(name, tmp_path):
    numbers = [4_611_686_018_427_387_905, 4_611_686_018_427_387_907]
    Table({name: numbers, "ra": [1.0, 2.0], "dec": [3.0, 4.0], "mag_g": [15, 16]}).write(tmp_path / "x.csv")
    assert read_catalog(tmp_path / "x.csv")["source_id"].tolist() == numbers
