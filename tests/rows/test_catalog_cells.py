"""Cells of a catalogue that is fetched: once for all who need them, from what is kept where nobody answers."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pytest
from astropy.table import Table
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from processing.catalog_cells import fetched
from processing.catalog_choice import CatalogAwayWarning, Field
from processing.catalogs.columns import stars_of as stars_of_table
from processing.catalogs.local import Local
from processing.errors import CatalogAway, EmptyCatalog
from processing.reporting import Reporter
from processing.star_catalogs import keep_excerpt
from products import sky
from products.models import CatalogCell, CatalogExcerpt
from tests.rows.cell_fields import CELL, CROSSING, ONE_CELL, answering, around, gaia, square, stars_around
from tests.rows.people import bearer

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def stars():
    return stars_around()


@pytest.fixture
def archive(stars):
    with answering(stars) as found:
        yield found


def test_a_field_gets_the_stars_of_every_cell_that_it_touches_each_once_and_in_order(archive, stars):
    found = around(square(*CROSSING), gaia(archive))
    assert sorted(row.cell for row in found.excerpts) == sorted(
        set(sky.cells(*(CROSSING + np.array([[-0.1, 0.1, 0.0, 0.0], [0, 0, 0.1, -0.1]]).T).T, 6).tolist())
    )
    assert len(found.excerpts) == 4 == len(archive.cones)
    wanted = stars[(sky.separation(*CROSSING, stars["ra"], stars["dec"]) <= 0.32) & (stars["phot_g_mean_mag"] < 20)]
    assert sorted(found.table["source_id"]) == sorted(wanted["source_id"])
    assert (np.diff(found.table["dec"]) >= 0).all()
    for row in found.excerpts:
        assert (row.origin, row.epoch, row.limit, row.order, row.is_whole) == ("gaia_dr3", 2016.0, 20.0, 6, True)
        assert row.covers(row.table["ra"], row.table["dec"]).all()
        assert row.n_stars == len(row.table) and row.filters[:3] == ["G", "BP", "RP"]


def test_a_margin_brings_the_cell_beside_and_no_sliver_of_one_is_missed():
    edge = sky.cell_corners(6, CELL)
    beside = 0.5 * (edge[0] + edge[1])  # on an edge of the cell
    middle = np.array(sky.cell_circle(6, CELL)[:2])
    inwards = (middle - beside) / np.hypot(*(middle - beside))
    for depth, margin, cells in (
        (0.1 * np.sqrt(2) + 0.02, 0.0, 1),
        (0.1 * np.sqrt(2) + 0.02, 0.05, 2),
        (0.139, 0.0, 2),
    ):
        field = Field(square(*(beside + depth * inwards)), margin)
        assert len(set(sky.cells(*field.wide_points(), 6))) == cells, (depth, margin)


def test_what_was_fetched_serves_again_to_the_bit_in_whatever_order_it_came(archive, stars):
    first = around(ONE_CELL, gaia(archive))
    again = around(ONE_CELL, gaia(archive))
    assert len(archive.cones) == 1 and first.table.tobytes() == again.table.tobytes()
    CatalogExcerpt.objects.all().delete()
    CatalogCell.objects.all().delete()
    archive.stars = stars[::-1]
    anew = around(ONE_CELL, gaia(archive))
    archive.stars = stars
    assert len(archive.cones) == 2 and first.table.tobytes() == anew.table.tobytes()


def test_a_deeper_excerpt_serves_a_brighter_limit_with_the_same_stars(archive):
    bright = around(ONE_CELL, gaia(archive), 17.0)
    around(ONE_CELL, gaia(archive), 20.0)
    CatalogExcerpt.objects.filter(limit=17.0).delete()
    from_deep = around(ONE_CELL, gaia(archive), 17.0)
    assert len(archive.cones) == 2
    assert bright.table.tobytes() == from_deep.table.tobytes()


def test_an_archive_that_is_away_leaves_the_cache_and_the_report_says_so(archive):
    around(ONE_CELL, gaia(archive), 17.0)
    around(ONE_CELL, gaia(archive), 15.0)
    archive.always = 503
    with Reporter(None, "N1").step("astrocal") as entry:
        found = around(ONE_CELL, gaia(archive), 20.0)
    assert found.excerpts[0].limit == 17.0, "the deepest that there is"
    (said,) = entry["warnings"]
    assert said.startswith("CatalogAwayWarning: the star catalogue at http://127.0.0.1")
    assert (
        "does not answer (2 attempts)" in said and f"for cell 6/{CELL} stars down to 17 mag that were kept on" in said
    )
    assert CatalogCell.objects.get(limit=20.0).failures == 1
    archive.always = ""
    assert around(ONE_CELL, gaia(archive), 20.0).excerpts[0].limit == 20.0
    assert CatalogCell.objects.get(limit=20.0).last_error == ""


def test_without_anything_kept_an_archive_that_is_away_is_an_error(archive):
    archive.always = 500
    with pytest.raises(CatalogAway, match="import a catalogue or try again"):
        around(square(*CROSSING), gaia(archive))
    assert len(archive.asked) == 2, "the other cells are not asked for as well"
    assert not CatalogExcerpt.objects.exists()
    assert not CatalogCell.objects.filter(lease_token__isnull=False).exists()


def test_a_cell_of_which_nothing_is_kept_leaves_a_gap_as_long_as_enough_is_covered(archive):
    shifted = square(CROSSING[0], sky.cell_circle(6, CELL)[1] - 0.5)  # most of it in one cell
    fetched(gaia(archive), CELL, 20.0)
    archive.always = 500
    with pytest.warns(CatalogAwayWarning, match="no stars of cell 6/"):
        found = around(shifted, gaia(archive), min_cover=0.5)
    assert [row.cell for row in found.excerpts] == [CELL]
    with pytest.raises(CatalogAway):
        around(shifted, gaia(archive), min_cover=0.97)


def test_an_imported_table_fills_in_for_an_archive_that_is_away(archive, stars):
    whole = around(square(*CROSSING), gaia(archive))
    CatalogExcerpt.objects.filter(cell=CELL).delete()
    inside = sky.cells(stars["ra"], stars["dec"], 6) == CELL
    keep_excerpt(stars_of_table(Table(stars[inside]), "stars"), "gaia_dr3", 2016.0)
    archive.always = 500
    with pytest.warns(CatalogAwayWarning, match=f"for cell 6/{CELL} stars of an imported table"):
        found = around(square(*CROSSING), gaia(archive), min_cover=0.6)
    assert found.table.tobytes() == whole.table.tobytes()


def test_a_cell_without_stars_is_kept_as_such_and_not_asked_for_again(archive):
    far = square(10.0, -60.0)
    for _ in range(2):
        with pytest.raises(EmptyCatalog):
            around(far, gaia(archive))
    cells = CatalogExcerpt.objects.filter(n_stars=0).count()
    assert cells == len(archive.cones) >= 1


def test_fetched_cells_are_a_local_catalogue_too(archive):
    fetched_ones = around(square(*CROSSING), gaia(archive))
    found = around(square(*CROSSING), Local())
    assert found.table.tobytes() == fetched_ones.table.tobytes() and found.origin == "gaia_dr3"
    with pytest.raises(EmptyCatalog, match="import_catalog"):
        around(square(200.0, 40.0), Local())


def test_which_cells_a_solution_used_is_one_query(archive):
    from tests import factories

    ccd = factories.full_ccd()
    found = around(square(*CROSSING), gaia(archive))
    solution = ccd.zero_point.world_coordinates
    solution.catalog_excerpts.set(found.excerpts)
    with CaptureQueriesContext(connection) as queries:
        cells = {row.place for row in solution.catalog_excerpts.all()}
    assert len(queries) == 1 and len(cells) == 4
    row = found.excerpts[0]
    assert list(row.world_coordinates.all()) == [solution]
    from products.models import Badness
    from products.services.badness import set_badness

    set_badness(row, Badness.NO_CATALOG)
    solution.refresh_from_db()
    assert solution.badness == Badness.NO_CATALOG, "what is wrong with a cell is told to what was compared with it"


def test_the_api_tells_which_cells_a_solution_used_and_which_solutions_a_cell(archive, site, client):
    headers = bearer(User.objects.create_user("broker"), "read")

    def get(address: str, status: int = 200):
        answer = client.get(f"/api/v1/{address}", **headers)
        assert answer.status_code == status, answer.content[:300]
        return answer

    found = around(square(*CROSSING), gaia(archive))
    zero_point = site.ccd.zero_point
    solution = zero_point.world_coordinates
    solution.catalog_excerpts.set(found.excerpts)
    zero_point.catalog_excerpts.set(found.excerpts[:1])
    rows = get(f"catalog-excerpts/?world_coordinates={solution.pk}").json()["results"]
    assert {(row["order"], row["cell"]) for row in rows} == {(row.order, row.cell) for row in found.excerpts}
    assert (rows[0]["epoch"], rows[0]["limit"], rows[0]["is_whole"]) == (2016.0, 20.0, True)
    (row,) = get(f"catalog-excerpts/?zero_point={zero_point.pk}").json()["results"]
    first = found.excerpts[0]
    assert (row["id"], row["n_stars"]) == (str(first.pk), first.n_stars)
    for kind, user in (("world-coordinates", solution), ("zero-points", zero_point)):
        (used,) = get(f"{kind}/?catalog_excerpt={first.pk}").json()["results"]
        assert used["id"] == str(user.pk)
    ra, dec = first.table["ra"][0], first.table["dec"][0]
    (row,) = get(f"catalog-excerpts/?position={ra}+{dec}&origin=gaia_dr3").json()["results"]
    assert row["id"] == str(first.pk)
    content = b"".join(get(f"catalog-excerpts/{first.pk}/file/").streaming_content)
    assert hashlib.sha256(content).hexdigest() == first.sha256
    for address in (
        f"catalog-excerpts/{first.pk}/",
        f"catalog-excerpts/{first.pk}/file/?calibrated=true",
        "catalog-excerpts/",
    ):
        get(address)
    get("catalog-excerpts/?world_coordinates=7", 400)
    get("catalog-excerpts/?position=nowhere", 400)


def test_the_page_of_an_excerpt_shows_its_cell_epoch_limit_and_stars(archive, client):
    (row,) = around(ONE_CELL, gaia(archive)).excerpts
    text = client.get(f"/provenance/product/catalog_excerpt/{row.pk}/").content.decode()
    for name, value in (
        ("HEALPix cell", f"6/{CELL}"),
        ("epoch", "J2016"),
        ("limiting magnitude", "20"),
        ("stars", row.n_stars),
    ):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text, name


def test_nothing_is_said_where_nothing_is_missing(archive):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        around(ONE_CELL, gaia(archive))
