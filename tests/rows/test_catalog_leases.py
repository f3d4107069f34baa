"""Who fetches a cell of a catalogue: one of many that need it; one that is gone blocks nobody."""

from __future__ import annotations

import datetime
import os
import uuid

import numpy as np
import pytest
from django.db.models.functions import Now

from processing import catalog_cells
from processing.catalog_cells import Lease, fetched, lives, process
from processing.catalogs.gaia import Gaia
from processing.star_catalogs import keep_excerpt
from products.models import CatalogCell, CatalogExcerpt
from tests.catalogs.catalog_server import CatalogServer
from tests.rows.cell_fields import CELL, ONE_CELL, answering, gaia, stars_around
from tests.rows.sharing import run_beside

pytestmark = pytest.mark.django_db


@pytest.fixture
def archive():
    with answering(stars_around()) as found:
        yield found


def lease_of_another(cell: int, seconds: float, node: str, holder: str) -> CatalogCell:
    """A cell that somebody else fetches."""
    return CatalogCell.objects.create(
        origin="gaia_dr3", order=6, cell=cell, limit=20.0, lease_token=uuid.uuid4(),
        lease_expires=Now() + datetime.timedelta(seconds=seconds), node=node, process=holder,
    )  # fmt: skip


def test_a_lease_of_another_machine_is_waited_for_until_it_runs_out(archive, monkeypatch):
    waited = []
    entry = lease_of_another(CELL, 100, "elsewhere", "1 1")

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 5:
            CatalogCell.objects.filter(pk=entry.pk).update(lease_expires=Now() - datetime.timedelta(seconds=1))

    monkeypatch.setattr(catalog_cells.time, "sleep", sleep)
    assert fetched(gaia(archive), CELL, 20.0).n_stars > 0
    assert len(waited) == 5 and waited == sorted(waited)


def test_what_another_brings_meanwhile_is_taken(archive, monkeypatch):
    lease_of_another(CELL, 100, "elsewhere", "1 1")
    row = keep_excerpt(
        np.zeros(0, [("ra", "f8"), ("dec", "f8")]), "gaia_dr3", 2016.0, faintest=20.5, place=(6, CELL), is_whole=True
    )
    CatalogExcerpt.objects.filter(pk=row.pk).update(limit=10.0)
    monkeypatch.setattr(
        catalog_cells.time, "sleep", lambda s: CatalogExcerpt.objects.filter(pk=row.pk).update(limit=20.5)
    )
    assert fetched(gaia(archive), CELL, 20.0) == row and archive.asked == []


def test_a_holder_that_is_gone_from_this_machine_blocks_nobody(archive):
    gone = lease_of_another(CELL, 1000, catalog_cells._node(), "4194300 1")
    assert fetched(gaia(archive), CELL, 20.0).n_stars > 0
    gone.refresh_from_db()
    assert gone.lease_token is None and gone.process == process(os.getpid())
    assert lives(process(os.getpid())) and not lives(f"{os.getpid()} 1") and not lives("4194300 1")


def test_a_lease_is_had_by_one_and_renewed_by_its_holder_only(monkeypatch):
    entry = CatalogCell.objects.create(origin="gaia_dr3", order=6, cell=CELL, limit=20.0)
    mine = Lease.of(entry)
    assert mine and Lease.of(CatalogCell.objects.get()) is None
    monkeypatch.setattr(catalog_cells, "RENEWAL", -1.0)
    CatalogCell.objects.update(lease_expires=Now() - datetime.timedelta(seconds=1))
    mine.renew()
    assert Lease.of(CatalogCell.objects.get()) is None, "it lives"
    CatalogCell.objects.update(lease_expires=Now() - datetime.timedelta(seconds=1))
    other = Lease.of(CatalogCell.objects.get())
    mine.renew()
    mine.end(last_error="late")
    row = CatalogCell.objects.get()
    assert row.lease_token == other.token and row.last_error == ""


def test_an_interrupt_gives_the_lease_back_and_counts_no_failure(archive, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Gaia, "fetch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetched(gaia(archive), CELL, 20.0)
    row = CatalogCell.objects.get()
    assert (row.lease_token, row.failures) == (None, 0)


# Several processes -------------------------------------------------------------------------------------------

together = pytest.mark.django_db(transaction=True)


def beside(archive: CatalogServer, tmp_path, **asked):
    asked = {"url": f"{archive.address}/tap", "corners": ONE_CELL.tolist(), "faintest": 20.0, "processes": 6, **asked}
    return run_beside("tests.rows.fetchers", asked, tmp_path)


@together
def test_six_processes_that_need_a_cell_at_once_fetch_it_once(archive, tmp_path):
    archive.slow = 0.5
    found = beside(archive, tmp_path)
    assert len(archive.cones) == 1
    assert len({one["digest"] for one in found["done"]}) == 1 and found["done"][0]["stars"] > 10
    assert (found["excerpts"], found["cells"], found["failures"], found["leases"]) == (1, 1, 0, 0)


@together
def test_a_killed_process_that_was_fetching_blocks_nobody(archive, tmp_path):
    archive.slow = 0.5
    found = beside(archive, tmp_path, kill=True, processes=3)
    assert len({one["digest"] for one in found["done"]}) == 1 and found["excerpts"] == 1
    assert found["leases"] == 0 and found["seconds"] < catalog_cells.LEASE / 2


@together
def test_of_many_that_wait_for_an_archive_that_is_away_one_asks_and_all_are_told(archive, tmp_path):
    archive.slow, archive.always = 0.7, 500
    found = beside(archive, tmp_path)
    assert {one["failed"] for one in found["done"]} == {"CatalogAway"}
    assert all("does not answer" in one["told"] for one in found["done"])
    # 2 attempts of whoever holds the lease; one that begins later than the first failed may ask again
    assert len(archive.asked) == 2 * found["failures"] < 2 * 6
    assert (found["excerpts"], found["leases"]) == (0, 0)
