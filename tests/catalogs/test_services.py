"""Archives of stars over HTTP: TAP, cone search and files; an answer is whole or it is none."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import requests

from processing import catalog_cells
from processing.catalogs import services
from processing.catalogs.base import heartbeat
from processing.catalogs.gaia import Gaia
from processing.errors import BadInput, CatalogAway, CatalogCut, is_passing
from products.errors import DiskFull
from products.sky import cell_circle, cells, separation
from tests.catalogs import catalog_server
from tests.catalogs.catalog_server import FIELD, CatalogServer, gaia_sky, serving, votable

QUICK = {"attempts": 3, "timeout": 30.0, "pause": 0.01, "is_queued": False}


@pytest.fixture(scope="module")
def sky():
    return gaia_sky()


@pytest.fixture
def archive(sky, monkeypatch):
    monkeypatch.setattr(services, "POLL", 0.01)
    services._known_columns.clear()
    with serving(CatalogServer(sky.copy())) as found:
        yield found


def gaia(archive: CatalogServer, **parameters) -> Gaia:
    path = {"tap": "/tap", "cone": "/cone", "healpix": "/files"}[parameters.get("service", "tap")]
    return Gaia(**{"url": archive.address + path, **QUICK, **parameters})


def near(sky, ra: float, dec: float, radius: float, faintest: float = 99.0):
    rows = sky[separation(ra, dec, sky["ra"], sky["dec"]) <= radius]
    return rows[rows["phot_g_mean_mag"] < faintest]


@pytest.mark.parametrize("queued", [False, True])
def test_tap_gives_all_stars_of_a_cone_with_the_columns_that_astrometry_and_photometry_need(archive, sky, queued):
    stars = gaia(archive, is_queued=queued).fetch(*FIELD, 0.4, 20.0)
    wanted = near(sky, *FIELD, 0.4, 20.0)
    stars, wanted = np.sort(stars, order="source_id"), wanted[np.argsort(wanted["source_id"])]
    assert stars["source_id"].tolist() == wanted["source_id"].tolist() and len(stars) > 50
    for name in (
        "ra",
        "dec",
        "ra_error",
        "dec_error",
        "pmra",
        "pmdec",
        "pmra_error",
        "pmdec_error",
        "parallax",
        "ruwe",
    ):
        np.testing.assert_allclose(stars[name], wanted[name], rtol=1e-6)
    for ours, theirs in (("G", "g"), ("BP", "bp"), ("RP", "rp")):
        np.testing.assert_allclose(stars[f"mag_{ours}"], wanted[f"phot_{theirs}_mean_mag"], rtol=1e-6)
        np.testing.assert_allclose(
            stars[f"err_{ours}"], 1.085736 / wanted[f"phot_{theirs}_mean_flux_over_error"], rtol=1e-5
        )
    assert stars["is_variable"].tolist() == (wanted["phot_variable_flag"] == "VARIABLE").tolist()
    assert stars["is_duplicate"].tolist() == wanted["duplicated_source"].tolist()
    assert np.isfinite(stars["mag_r"]).all()
    assert archive.deleted == (["j1", "j2"] if queued else [])  # the archive need not keep what was fetched


def test_a_copy_of_gaia_with_fewer_columns_is_asked_for_those_that_it_has(archive):
    archive.stars.remove_columns(["ruwe", "phot_variable_flag", "phot_g_mean_flux_over_error"])
    stars = gaia(archive).fetch(*FIELD, 0.4, 20.0)
    assert "ruwe" not in stars.dtype.names and "is_variable" not in stars.dtype.names
    assert np.isnan(stars["err_G"]).all() and np.isfinite(stars["err_BP"]).all()
    gaia(archive).fetch(*FIELD, 0.3, 20.0)
    assert sum("TAP_SCHEMA" in one for one in archive.asked) == 1


@pytest.mark.parametrize("service", ["tap", "cone"])
@pytest.mark.parametrize(
    "trouble", [[500], [503, 429], ["break off"], ["break off unsaid"], ["silence"], ["page", "page"]]
)
def test_an_answer_that_is_lost_is_asked_for_again(archive, sky, service, trouble):
    gaia(archive).fetch(*FIELD, 0.01, 20.0)  # it knows the columns now
    archive.asked.clear()
    archive.trouble += trouble
    timeout = 2.0 if trouble == ["silence"] else 30.0
    stars = gaia(archive, service=service, timeout=timeout).fetch(*FIELD, 0.4, 99.0)
    assert sorted(stars["source_id"]) == sorted(near(sky, *FIELD, 0.4)["source_id"])
    assert len(archive.cones) == 1 + len(trouble)


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("trouble", [500, "break off", "silence"])
def test_an_archive_that_stays_away_is_an_error_that_may_pass(archive, queued, trouble):
    archive.always = trouble
    with pytest.raises(CatalogAway, match=r"does not answer \(3 attempts\).*import a catalogue") as caught:
        gaia(archive, is_queued=queued, timeout=0.5).fetch(*FIELD, 0.4, 20.0)
    assert sum("TAP_SCHEMA" in one for one in archive.asked) == 3  # with which every attempt begins
    assert is_passing(type(caught.value).__name__)


def test_a_byte_now_and_then_or_a_job_without_end_is_no_answer(archive, monkeypatch):
    gaia(archive).fetch(*FIELD, 0.01, 20.0)  # it knows the columns now
    archive.always = "drip"
    monkeypatch.setattr(services, "_LONGEST", 0.1)
    with pytest.raises(CatalogAway, match=r"its answer is not whole after 0\.5 s"):
        gaia(archive, timeout=5, attempts=1).fetch(*FIELD, 0.4, 20.0)
    archive.always, archive.patience_of_jobs = "", 10**9
    with pytest.raises(CatalogAway, match=r"its job is executing after 0\.5 s"):
        gaia(archive, is_queued=True, timeout=5, attempts=1).fetch(*FIELD, 0.4, 20.0)


def test_a_job_that_fails_tells_why(archive):
    service = gaia(archive, is_queued=True)
    service.fetch(*FIELD, 0.01, 20.0)
    archive.fails_jobs = True
    with pytest.raises(CatalogAway, match=r"refuses to answer.*no such table"):
        service.fetch(*FIELD, 0.4, 20.0)


def test_nobody_at_the_address_is_an_archive_that_is_away():
    with pytest.raises(CatalogAway, match="import a catalogue"):
        Gaia(url="http://127.0.0.1:9/tap", **QUICK).fetch(*FIELD, 0.3, 20.0)


@pytest.mark.parametrize("trouble", ["refuse", "refuse with 200", 404])
def test_an_archive_that_refuses_is_not_asked_again_and_its_words_are_told(archive, trouble):
    gaia(archive).fetch(*FIELD, 0.01, 20.0)
    archive.asked.clear()
    archive.always = trouble
    with pytest.raises(CatalogAway, match="no such table" if trouble != 404 else "is the address right"):
        gaia(archive).fetch(*FIELD, 0.4, 20.0)
    assert len(archive.asked) == 1


def test_a_service_that_does_not_tell_its_columns_is_asked_for_all(archive):
    archive.trouble += ["refuse"]
    assert len(gaia(archive).fetch(*FIELD, 0.4, 20.0)) > 50


@pytest.mark.parametrize(("service", "tells"), [("tap", True), ("cone", True), ("tap", False)])
def test_an_answer_that_was_cut_off_is_never_taken_for_all(archive, service, tells):
    archive.row_limit, archive.tells_overflow = 60 if tells else 1000, tells
    with pytest.raises(CatalogCut, match="at 60 stars" if tells else "at 1000 stars"):
        gaia(archive, service=service).fetch(*FIELD, 1.4, 21.0)


def test_the_own_limit_is_noticed_where_the_archive_says_nothing(archive):
    archive.tells_overflow = False
    with pytest.raises(CatalogCut, match="at 70 stars"):
        gaia(archive, max_stars=70).fetch(*FIELD, 1.4, 21.0)


def test_a_cell_of_which_an_answer_is_cut_off_is_asked_for_in_parts_until_it_is_whole(archive, sky):
    cell = int(cells(*FIELD, 6)[0])
    whole = catalog_cells.stars_of_cell(gaia(archive), 6, cell, 20.0)
    archive.row_limit = 80
    archive.asked.clear()
    parts = catalog_cells.stars_of_cell(gaia(archive), 6, cell, 20.0)
    assert len(archive.cones) > 4
    assert sorted(parts["source_id"]) == sorted(whole["source_id"])
    inside = cells(sky["ra"], sky["dec"], 6) == cell
    assert len(whole) == (inside & (sky["phot_g_mean_mag"] < 20.0)).sum() > 200
    archive.row_limit = 0
    with pytest.raises(CatalogCut, match="max_stars"):
        catalog_cells.stars_of_cell(gaia(archive), 6, cell, 20.0)


def test_a_catalogue_that_asks_says_that_it_lives_before_each_attempt(archive):
    beats = []
    token = heartbeat.set(lambda: beats.append(len(archive.asked)))
    try:
        archive.trouble += ["", 500, 500]
        gaia(archive).fetch(*FIELD, 0.4, 20.0)
    finally:
        heartbeat.reset(token)
    assert {0, 1, 2, 3} <= set(beats)


def test_an_empty_piece_of_sky_has_no_stars_and_is_no_error(archive):
    for service in ("tap", "cone"):
        assert len(gaia(archive, service=service).fetch(10.0, -60.0, 0.3, 20.0)) == 0


def test_files_of_healpix_cells_are_read_from_a_folder_or_from_a_web_server(archive, sky, tmp_path):
    archive.folder = hats(tmp_path, sky)
    circle = cell_circle(6, int(cells(*FIELD, 6)[0]))
    here = np.sort(gaia(archive, service="healpix", url=str(tmp_path)).fetch(*circle, 20.0), order="source_id")
    there = np.sort(gaia(archive, service="healpix").fetch(*circle, 20.0), order="source_id")
    assert here["source_id"].tolist() == sorted(near(sky, *circle)["source_id"])
    assert here.tobytes() == there.tobytes()
    assert len(list(tmp_path.rglob("Npix=*.parquet"))) > sum("Npix" in one for one in archive.asked) > 0
    archive.trouble += [500, "break off"]
    assert len(gaia(archive, service="healpix").fetch(*circle, 20.0)) == len(here)


def hats(folder, sky):
    """A catalogue as HATS has it, of cells of order 5."""
    import pyarrow
    from pyarrow import parquet

    numbers = cells(sky["ra"], sky["dec"], 5)
    (folder / "properties").write_text("obs_collection=test\n")
    lines = ["Norder,Npix"]
    for cell in np.unique(numbers).tolist():
        path = folder / f"dataset/Norder=5/Dir={cell // 10_000 * 10_000}/Npix={cell}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = sky[numbers == cell]
        parquet.write_table(pyarrow.table({name: np.asarray(rows[name]) for name in rows.colnames}), path)
        lines.append(f"5,{cell}")
    (folder / "partition_info.csv").write_text("\n".join(lines))
    return folder


def test_a_folder_without_files_of_that_sky_or_of_cells_says_so(tmp_path, sky):
    with pytest.raises(BadInput, match="no such folder"):
        Gaia(service="healpix", url=str(tmp_path / "nowhere")).fetch(*FIELD, 0.3, 20.0)
    (tmp_path / "a").mkdir()
    hats(tmp_path / "a", sky)
    with pytest.raises(BadInput, match=r"no file for the sky around ra 10\.0000, dec -60"):
        Gaia(service="healpix", url=str(tmp_path / "a")).fetch(10.0, -60.0, 0.3, 20.0)
    (tmp_path / "b").mkdir()
    sky.write(tmp_path / "b/stars.csv")
    with pytest.raises(BadInput, match=r"named by its HEALPix cell.*import it"):
        Gaia(service="healpix", url=str(tmp_path / "b")).fetch(*FIELD, 0.3, 20.0)


def test_a_server_of_files_that_is_away_at_first_is_not_taken_for_one_of_an_older_form(archive, sky, tmp_path):
    archive.folder = hats(tmp_path, sky)
    archive.trouble += ["", 503, 503, 503]  # its table of contents comes, and what tells the form does not
    with pytest.raises(CatalogAway, match="503"):
        gaia(archive, service="healpix").fetch(*FIELD, 0.3, 20.0)
    assert len(gaia(archive, service="healpix").fetch(*FIELD, 0.3, 20.0)) == len(near(sky, *FIELD, 0.3))


def test_a_full_disk_is_said_to_be_one_and_the_server_is_not_asked_again(archive, sky, tmp_path, monkeypatch):
    archive.folder = hats(tmp_path, sky)
    gaia(archive, service="healpix").fetch(*FIELD, 0.3, 20.0)
    asked = len(archive.asked)

    def full(self, size):
        yield b"some"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(requests.Response, "iter_content", full)
    with pytest.raises(DiskFull, match="no room on the disk"):
        gaia(archive, service="healpix").fetch(*FIELD, 0.3, 20.0)
    assert len(archive.asked) == asked + 1


def test_an_attempt_and_the_pause_after_it_are_two_signs_of_life(monkeypatch):
    told = []
    monkeypatch.setattr(services.time, "sleep", lambda seconds: told.append(f"pause {seconds:g}"))
    token = heartbeat.set(lambda: told.append("lives"))

    def ask():
        told.append("asked")
        raise services.Lost("nothing came")

    try:
        with pytest.raises(CatalogAway, match="2 attempts"):
            services.Patience(attempts=2, pause=40.0)(ask, "it")
    finally:
        heartbeat.reset(token)
    assert told == ["lives", "asked", "lives", "pause 40", "lives", "asked"]


@pytest.mark.parametrize("service", ["tap", "cone"])
@pytest.mark.parametrize("shift", [15.0, np.inf])
def test_stars_of_another_place_than_was_asked_for_are_no_empty_piece_of_sky(sky, service, shift):
    class Elsewhere(CatalogServer):
        def cut(self, rows, limit):
            rows["ra"] = rows["ra"] + shift
            return super().cut(rows, limit)

    services._known_columns.clear()
    with (
        serving(Elsewhere(sky.copy())) as archive,
        pytest.raises(BadInput, match=r"none is within 0\.300 degrees of ra"),
    ):
        gaia(archive, service=service).fetch(*FIELD, 0.3, 20.0)


@pytest.mark.parametrize("service", ["tap", "cone"])
def test_a_word_without_a_value_in_an_answer_is_no_fault(archive, sky, service, monkeypatch):
    monkeypatch.setattr(catalog_server, "votable", lambda *given: votable(*given).replace(b'value="OK"', b""))
    if service == "cone":
        assert len(gaia(archive, service=service).fetch(*FIELD, 0.3, 20.0)) == len(near(sky, *FIELD, 0.3))
        return
    with pytest.raises(CatalogAway, match="no VOTable, or not whole"):
        gaia(archive, service=service).fetch(*FIELD, 0.3, 20.0)
