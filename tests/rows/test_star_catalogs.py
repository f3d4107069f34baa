"""Which catalogue stars an image is calibrated with: those that are held, or fetched where they are too few or too faint."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from processing import star_catalogs
from processing.algorithms.sky import from_tangent_plane
from processing.catalogs.base import star_table
from processing.catalogs.gaia import Gaia
from processing.datastore import DataStore
from processing.providers import star_catalog
from processing.star_catalogs import import_tables, keep_excerpt
from processing.steps.astrocal import AstroCal
from products.models import CatalogExcerpt, ScienceImage
from tests import factories

pytestmark = pytest.mark.django_db


def stars_on(image: ScienceImage, faintest: float = 20.0) -> np.ndarray:
    """A grid of stars that reaches beyond the image."""
    ra, dec = np.meshgrid(image.ra + np.linspace(-0.1, 0.1, 5), image.dec + np.linspace(-0.1, 0.1, 5))
    mag = np.linspace(12, faintest, ra.size)
    return star_table({"ra": ra.ravel(), "dec": dec.ravel(), "mag_r": mag, "err_r": np.full(mag.size, 0.01)})


@pytest.fixture
def image():
    return factories.science_image()


@pytest.fixture
def asked(image, monkeypatch):
    """The magnitudes down to which the archive of Gaia was asked for stars."""
    asked = []

    def fetch(self, ra, dec, radius, faintest):
        asked.append(faintest)
        return stars_on(image, faintest)

    monkeypatch.setattr(Gaia, "fetch", fetch)
    return asked


def faintest_of(image: ScienceImage, **parameters) -> float:
    found = star_catalog(DataStore(image, section=image.section), AstroCal(**parameters))
    return float(np.nanmax(found.table["mag_r"]))


def test_fetched_stars_are_kept_and_serve_again_as_far_down_as_they_were_asked_for(image, asked):
    for limit in (18.0, 18.0, 17.0, 20.0, 18.0):
        faintest_of(image, catalog="gaia_dr3", faintest=limit)
    assert asked == [18.0, 20.0]
    assert faintest_of(image, catalog="gaia_dr3", faintest=20.0) == pytest.approx(20.0)


def test_an_imported_catalogue_of_that_name_spares_the_fetching(image, asked):
    keep_excerpt(stars_on(image, 16.0), "gaia_dr3", 2016.0)
    assert faintest_of(image, catalog="gaia_dr3") == pytest.approx(16.0)
    assert not asked


def test_positions_of_two_epochs_are_not_mixed(image):
    first, second = stars_on(image, 16.0), stars_on(image, 20.0)
    second["ra"] += 0.001
    keep_excerpt(first, "survey", 2000.0)
    keep_excerpt(second, "survey", 2016.0)
    found = star_catalog(DataStore(image, section=image.section), AstroCal())
    assert len(found.table) == len(first)


def test_tables_of_one_catalogue_that_were_imported_one_after_the_other_add_up(image, tmp_path, monkeypatch):
    """Also in a cell that two of them share."""
    monkeypatch.setattr(star_catalogs, "ONE_PIECE", 3)
    stars = stars_on(image)
    for number, part in enumerate((stars[:13], stars[12:])):  # one star is in both
        Table(part).write(tmp_path / f"{number}.fits")
        import_tables([tmp_path / f"{number}.fits"], "survey", 2016.0)
    assert CatalogExcerpt.objects.count() == 2 and len(set(CatalogExcerpt.objects.values_list("cell"))) == 1
    found = star_catalog(DataStore(image, section=image.section), AstroCal())
    assert len(found.table) == len(stars) and len(found.excerpts) == 2


@pytest.mark.parametrize("dec", [-4.75, 60.0, 89.9, -90.0])
def test_a_table_of_a_field_covers_all_of_its_stars_and_the_pole_too(dec):
    rng = np.random.default_rng(3)
    xi, eta = rng.uniform(-3600, 3600, (2, 400))
    ra, dec = from_tangent_plane(xi, eta, 359.9, dec)
    row = keep_excerpt(star_table({"ra": ra, "dec": dec, "mag_r": rng.uniform(14, 20, 400)}), "survey", 2016.0)
    assert row.covers(ra, dec).all() and row.radius < 2.02
    assert not row.covers(*from_tangent_plane(np.array([5200.0, 0.0]), np.array([0.0, -5200.0]), row.ra, row.dec)).any()
