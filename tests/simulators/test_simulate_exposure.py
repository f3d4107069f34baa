"""`manage.py simulate_exposure`: what it writes, what it says, what it refuses."""

from __future__ import annotations

import errno
import io

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from django.core.management import call_command
from django.core.management.base import CommandError

from processing.catalogs.tables import read_catalog
from processing.simulated_truth import MASKS

QUICK = ("--instrument", "ls4", "--sections", "SW_A", "--numprocs", "1", "--set", "simulator.rows=256")


def run(*arguments) -> str:
    out = io.StringIO()
    call_command("simulate_exposure", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One short CCD of the sky with its truth, its planes and a star catalogue; the folder and what was said."""
    folder = tmp_path_factory.mktemp("raw")
    said = run(folder, *QUICK, "--truth-planes", "--star-catalog", folder / "stars.ecsv", "--trails", 0)
    return folder, said


def test_an_exposure_comes_with_truth_planes_and_stars(made):
    folder, said = made
    names = sorted(path.name.partition("s_")[2].partition(".")[2] or path.name for path in folder.iterdir())
    assert names == ["fits.fz", "stars.ecsv", "truth.SW_A.fits", "truth.fits"]
    assert "science, MJD 61383." in said
    assert "stars, epoch 2016" in said


def test_the_star_catalogue_can_be_imported_and_has_the_stars_of_the_truth(made):
    folder, _ = made
    stars = read_catalog(folder / "stars.ecsv")
    truth = fits.getdata(next(folder.glob("*.truth.fits")), "SOURCES")
    truth = truth[(truth["kind"] == "star") & (truth["mag"] < 19)]
    assert len(truth) > 5
    for star in truth:
        away = np.hypot((stars["ra"] - star["ra"]) * np.cos(np.radians(star["dec"])), stars["dec"] - star["dec"])
        nearest = away.argmin()
        assert away[nearest] * 3600 < 1.0  # proper motion since 2016
        assert stars["mag_i"][nearest] == pytest.approx(star["mag"], abs=0.1)


def test_the_true_planes_are_those_of_the_raw_frame(made):
    folder, _ = made
    with fits.open(next(folder.glob("*.truth.SW_A.fits"))) as hdus:
        expected, masks = hdus["EXPECTED"].data, hdus["MASKS"].data
        response, dark = hdus["RESPONSE"].data, hdus["DARK"].data
        assert hdus["EXPECTED"].header["BUNIT"] == "electron"
        assert hdus["MASKS"].header["BIT saturated"] == MASKS["saturated"]
    with fits.open(next(folder.glob("*.truth.fits"))) as hdus:
        effects = hdus["EFFECTS"].data
    right = effects[effects["amplifier"] == "R"][0]
    with fits.open(next(folder.glob("*.fits.fz"))) as hdus:
        raw = hdus[1].data.astype(float)  # of the right amplifier
    electrons = (raw[:, 20:1044] - right["level"]) * right["gain"]
    part = np.s_[:, :1024]
    good = (masks[part] == 0) & (expected[part] < 5000)
    ratio = electrons[good].sum() / (expected * response + 60.0 * dark)[part][good].sum()
    assert ratio == pytest.approx(1, abs=0.02)  # bias structure, crosstalk and non-linearity are still in it
    assert np.count_nonzero(masks & MASKS["hot"]) == effects["hot"].sum()


def test_what_is_there_is_left_alone_unless_it_is_to_be_written_again(made):
    folder, _ = made
    raw = next(folder.glob("*.fits.fz"))
    before = raw.stat().st_mtime_ns, raw.read_bytes()
    assert "left alone" in run(folder, *QUICK, "--trails", 0)
    assert raw.stat().st_mtime_ns == before[0]
    run(folder, *QUICK, "--trails", 0, "--overwrite")
    assert raw.stat().st_mtime_ns != before[0]
    assert raw.read_bytes() == before[1]  # the same arguments: the same bytes


def test_stars_of_ones_own_take_the_place_of_drawn_ones(made, tmp_path):
    truth = fits.getdata(next(made[0].glob("*.truth.fits")), "SOURCES")
    inside = truth[(np.abs(truth["x"] - 1000) < 800) & (np.abs(truth["y"] - 128) < 90)][:2]
    mine = {"ra": inside["ra"], "dec": inside["dec"], "mag_g": [14.0, 15.0], "mag_i": [13.5, 14.0]}
    Table({**mine, "pmra": [0.0, 0.0], "pmdec": [0.0, 1000.0]}).write(tmp_path / "mine.csv")
    run(tmp_path, *QUICK, "--catalog", tmp_path / "mine.csv", "--epoch", 2020, "--set", "sky.galaxies=0")
    found = fits.getdata(next(tmp_path.glob("*.truth.fits")), "SOURCES")
    found = np.sort(found[found["kind"] == "star"], order="mag")
    assert found["mag"] == pytest.approx([13.5, 14.0])
    assert (found["dec"] - inside["dec"]) * 3600 == pytest.approx([0.0, 6.94], abs=0.02)  # 2020.0 to 2026.94


def test_several_nights_are_files_of_their_own(tmp_path):
    said = run(tmp_path, *QUICK, "--nights", 2, "--cadence", 3, "--set", "sky.galaxies=0", "--set", "sky.stars=100")
    assert len(list(tmp_path.glob("*.fits.fz"))) == 2
    assert [line.split("MJD ")[1][:5] for line in said.splitlines()] == ["61383", "61386"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--instrument", "keck"], "unknown Simulator 'keck'"),
        (["--instrument", "ls4", "--filters", "g"], "leave out --filters"),
        (["--instrument", "ls4", "--sections", "SW_Z"], "no such CCD"),
        (["--instrument", "ls4", "--dec", "85"], "--dec from -78 to 78"),
        (["--instrument", "ls4", "--ra", "232"], "it is highest"),
        (["--instrument", "ls4", "--mjd", "5"], "modified Julian dates"),
        (["--instrument", "ls4", "--exposure-time", "nan"], "--exposure-time must be above 0"),
        (["--instrument", "ls4", "--dark-time", "1e9"], "at most 3600"),
        (["--instrument", "ls4", "--night", "nan"], "modified Julian dates"),
        (["--instrument", "ls4", "--nights", "0"], "--nights must be"),
        (["--instrument", "ls4", "--set", "simulator.row=3"], "did you mean 'rows'"),
        (["--instrument", "ls4", "--set", "simulator.ccd.fringe=3"], "did you mean 'fringes'"),
        (["--instrument", "ls4", "--set", "simulator.rows=3"], "rows = 3"),
        (["--instrument", "ls4", "--set", "sky.star=3"], "did you mean 'stars'"),
        (["--instrument", "ls4", "--set", "camera.rows=3"], "only simulator.… and sky.…"),
        (["--instrument", "ls4", "--star-catalog", "stars.txt"], "ends in .fits"),
        (["--instrument", "ls4", "--level", "-3", "--kind", "dome"], "--level must be above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(CommandError) as raised:
        run(tmp_path / "raw", *arguments)
    assert message in str(raised.value)
    assert not (tmp_path / "raw").exists()


def test_a_folder_that_cannot_be_written_into_is_refused_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CommandError, match="is a file; name a folder"):
        run(tmp_path / "file", *QUICK, "--kind", "bias")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("processing.simulated_exposures.simulate_section", full)
    with pytest.raises(CommandError, match="disk"):
        run(tmp_path / "raw", *QUICK, "--kind", "bias")
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.django_db
def test_a_catalogue_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(CommandError, match="neither a file nor the name of an imported catalogue"):
        run(tmp_path, *QUICK, "--catalog", "gaia_dr9")


@pytest.mark.django_db
def test_an_imported_catalogue_is_found_by_its_name(made, tmp_path, settings):
    settings.SEECHANGE_DATA = tmp_path / "data"
    call_command("import_catalog", str(made[0] / "stars.ecsv"), "--name", "simulated", stdout=io.StringIO())
    run(tmp_path, *QUICK, "--catalog", "simulated")
    truth = fits.getdata(next(tmp_path.glob("*.truth.fits")), "SOURCES")
    assert np.count_nonzero(truth["kind"] == "star") > 5
    assert not np.count_nonzero(truth["kind"] == "variable")
