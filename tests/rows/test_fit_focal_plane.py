"""The command that fits a focal plane, on solved rows of the archive."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from astropy.wcs import WCS
from django.core.management import CommandError, call_command

from processing.algorithms.distortion import displacements, with_distortion
from processing.algorithms.sky import from_tangent_plane
from processing.errors import BadInput
from processing.instruments.distortion_tables import distortion_in_use, header_with_distortion
from processing.instruments.focal_plane import focal_plane, rough_wcs
from processing.instruments.section_tables import own_path
from products.models import ScienceImage, SourceList, WorldCoordinates
from products.models.badness import Badness
from products.services.badness import set_badness
from tests import factories
from tests.instruments.test_focal_plane import SHAPE

pytestmark = pytest.mark.django_db
SOLVED = ("NE_A", "NE_B", "SE_A", "SW_D", "NW_H")
SHIFT = (12.0, -7.0)  # arcsec by which the camera was moved since the table was made


def solved_exposure(name: str, miss: tuple[float, float], *, instrument: str = "ls4") -> list[WorldCoordinates]:
    """An exposure that misses its field, of a camera that was moved."""
    exposure = factories.exposure(name, instrument=instrument, ra=120.0, dec=-30.0)
    made = factories.provenance("preprocessing", exposure.provenance, overscan_smoothing=1)
    found = factories.provenance("extraction", made)
    solved = factories.provenance("astrocal", found)
    ra, dec = (float(value) for value in from_tangent_plane(*miss, 120.0, -30.0))
    rows = []
    for section in SOLVED:
        place = focal_plane("ls4")[section]
        moved = replace(place, xi=place.xi + SHIFT[0] / 3600, eta=place.eta + SHIFT[1] / 3600)
        header = rough_wcs(moved, ra, dec, SHAPE)
        image = ScienceImage(
            exposure=exposure, section=section, provenance=made, instrument=instrument, filter="i", mjd=exposure.mjd,
            mjd_end=exposure.mjd, exposure_time=60, width=SHAPE[1], height=SHAPE[0], pixel_scale=1.0177, wcs="",
        ).set_footprint(WCS(header).calc_footprint(axes=(SHAPE[1], SHAPE[0])))  # fmt: skip
        image.save()
        sources = SourceList.objects.create(image=image, n_sources=9, provenance=found)
        cards = header.tostring(sep="\n", padding=False)
        rows.append(
            WorldCoordinates.objects.create(
                sources=sources, header=cards, n_matches=9, rms_ra=0.1, rms_dec=0.1, order=1, provenance=solved
            )
        )
    return rows


@pytest.fixture
def solved() -> list[list[WorldCoordinates]]:
    return [solved_exposure(f"e{k}", miss) for k, miss in enumerate([(0, 0), (30, -20), (-30, 20)])]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("fit_focal_plane", *arguments, "--instrument", "ls4", stdout=out)
    return out.getvalue()


def test_the_fit_says_by_how_much_ccds_moved_and_where_the_telescope_looked(solved):
    said = run()
    assert "Places of 5 CCDs from 3 exposures" in said
    rows = {line.split()[1]: line.split() for line in said.splitlines() if line.startswith("│ ") and "_" in line}
    assert set(rows) == set(SOLVED)
    for cells in rows.values():
        assert float(cells[-2]) == pytest.approx(np.hypot(*SHIFT), abs=0.1)
    looked = {line.split()[1]: line.split()[3:6:2] for line in said.splitlines() if line.startswith("│ e")}
    assert looked["e1"] == ["30.0", "-20.0"] and looked["e2"] == ["-30.0", "20.0"]
    assert "without a solution:" in said and "NW_B" in said
    assert not own_path("ls4", "focal_plane").exists()


def test_what_is_written_is_used_from_then_on_and_other_ccds_keep_their_place(solved):
    before = focal_plane("ls4")
    assert "5 places written" in run("--write")
    after = focal_plane("ls4")
    assert after["NW_B"] == before["NW_B"]
    distance = 3600 * (after["NE_A"].xi - before["NE_A"].xi), 3600 * (after["NE_A"].eta - before["NE_A"].eta)
    assert distance == (pytest.approx(SHIFT[0], abs=0.1), pytest.approx(SHIFT[1], abs=0.1))
    assert after["NE_A"].rotation == pytest.approx(before["NE_A"].rotation, abs=1e-3)
    text = own_path("ls4", "focal_plane").read_text()
    assert text.count("fitted to 3 exposures under the tag current") == len(SOLVED)
    # A second fit of fewer CCDs leaves the rows of the others as they are.
    set_badness(solved[1][0], Badness.BIG_RESIDUALS)
    assert "4 places written" in run("e1", "--write")
    text = own_path("ls4", "focal_plane").read_text()
    assert (text.count("fitted to 3 exposures"), text.count("fitted to 1 exposures")) == (1, 4)


def test_exposures_are_chosen_by_name_and_bad_solutions_left_out(solved, tmp_path):
    set_badness(solved[0][0], Badness.BIG_RESIDUALS)
    assert "Places of 4 CCDs from 1 exposures" in run("e0")
    assert "5 places written to" in run("e1", "e2", "--write", str(tmp_path / "mine.ecsv"))
    assert (tmp_path / "mine.ecsv").is_file() and not own_path("ls4", "focal_plane").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing"], "no exposure has the name"), (["other"], "not exposures of ls4"),
        (["--provenance-tag", "nowhere"], "nowhere"), (["--instrument", "lsf"], "did you mean 'ls4'"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_one_clear_line(arguments, reason, solved):
    solved_exposure("other", (0, 0), instrument="demo")
    with pytest.raises(CommandError, match=reason):
        if "--instrument" in arguments:
            call_command("fit_focal_plane", *arguments)
        else:
            run(*arguments)


def test_an_archive_without_solutions_says_what_to_do():
    factories.exposure()
    with pytest.raises(CommandError, match="through-step astrocal"):
        run()


def distorted(rows: list[WorldCoordinates], section: str, polynomial: dict) -> None:
    """Give a solution of a section many stars and a distortion."""
    row = next(one for one in rows if one.sources.image.section == section)
    header = with_distortion(row.wcs, polynomial, SHAPE)
    row.header, row.order, row.n_matches = header.tostring(sep="\n", padding=False), 3, 400
    row.save()


def test_the_distortion_on_which_solutions_agree_is_learnt_and_raw_headers_know_of_it(solved):
    truth = {
        (2, 0): (3e-7, 0.0),
        (1, 1): (0.0, -2e-7),
        (0, 2): (1e-7, 1e-7),
        (3, 0): (2e-10, 0.0),
        (0, 3): (0.0, 2e-10),
    }
    wrong = {(2, 0): (-9e-7, 5e-7)}
    extra = [solved_exposure(f"x{k}", (5.0 * k, 0.0)) for k in range(2)]
    for k, rows in enumerate([*solved, *extra]):
        distorted(rows, "NE_A", wrong if k == 1 else truth)
    said = run("--write-distortion")
    cells = next(line for line in said.splitlines() if "NE_A" in line and line.count("│") == 6).split()
    assert cells[3] == "5" and cells[5] == "1"  # one of five is left out
    assert "distortion of 1 CCDs written" in said
    learnt = distortion_in_use("ls4", "NE_A")
    assert np.abs(displacements(learnt, SHAPE) - displacements(truth, SHAPE)).max() < 0.01
    header = rough_wcs(focal_plane("ls4")["NE_A"], 10.0, -20.0, SHAPE)
    known = header_with_distortion(header, "ls4", "NE_A", SHAPE)
    assert known["CTYPE1"] == "RA---TAN-SIP"
    assert WCS(known).all_pix2world([[1023.5, 2047.5]], 0) == pytest.approx(
        WCS(header).all_pix2world([[1023.5, 2047.5]], 0)
    )
    assert header_with_distortion(header, "ls4", "NE_B", SHAPE) is header
    assert "learnt from 5 exposures under the tag current" in own_path("ls4", "distortion").read_text()


def test_solutions_of_few_stars_or_without_distortion_teach_none(solved):
    with pytest.raises(CommandError, match="no solution of many stars"):
        run("--write-distortion")
    assert not own_path("ls4", "distortion").exists()


TYPES = {"section": "string", "i": "int64", "j": "int64", "a": "float64", "b": "float64", "scatter": "float64"}


def table_of_distortion(columns: str, *rows: str) -> None:
    """A table of the archive, as people write them."""
    path = own_path("ls4", "distortion")
    path.parent.mkdir(parents=True)
    told = "\n".join(f"# - {{name: {name}, datatype: {TYPES[name]}}}" for name in columns.split(","))
    lines = "\n".join((columns, *rows))
    path.write_text(f"# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n{told}\n{lines}\n")


@pytest.mark.parametrize("row", ["NE_A,1,0,0.1,0.1", "NE_A,2,0,nan,0.1", "NE_A,9,0,0.1,0.1", "NE_A,,0,0.1,0.1"])
def test_a_table_of_distortion_that_cannot_be_used_is_refused_with_its_row(row, solved):
    table_of_distortion("section,i,j,a,b", row)
    with pytest.raises(BadInput, match="row 1"):
        distortion_in_use("ls4", "NE_A")
    for rows in solved:
        distorted(rows, "NE_B", {(2, 0): (3e-7, 0.0)})
    before = own_path("ls4", "distortion").read_text()
    with pytest.raises(CommandError, match="row 1"):
        run("--write-distortion")
    assert own_path("ls4", "distortion").read_text() == before


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("j,i,b,a,section", ("0,2,-0.2,0.3,NW_H", "1,1,0.1,0.4,NW_H")),
        ("scatter,section,i,j,a,b", (",NW_H,2,0,0.3,-0.2", "0.1,NW_H,1,1,0.4,0.1")),
    ],
)
def test_rows_of_other_ccds_stay_whatever_the_order_of_the_columns(columns, rows, solved):
    table_of_distortion(columns, *rows)
    before = distortion_in_use("ls4", "NW_H")
    assert before[2, 0] == pytest.approx((3e-7, -2e-7))
    for of_exposure in solved:
        distorted(of_exposure, "NE_A", {(2, 0): (3e-7, 0.0)})
    run("--write-distortion")
    assert distortion_in_use("ls4", "NE_A")
    after = distortion_in_use("ls4", "NW_H")
    assert after.keys() == before.keys()
    for key, pair in before.items():
        assert after[key] == pytest.approx(pair)


def test_where_no_distortion_is_learnt_no_places_are_written_either(solved):
    with pytest.raises(CommandError, match="no solution of many stars"):
        run("--write", "--write-distortion")
    assert not own_path("ls4", "focal_plane").exists()
