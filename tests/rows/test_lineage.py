"""The graph of one product: what it was made of, what was made of it, and whose badness goes where."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from products.models import Badness, Exposure, Image, Measurement, SourceList
from products.selectors import lineage
from products.selectors.tags import product_models
from products.services.badness import set_badness
from tests import factories

pytestmark = pytest.mark.django_db


def kinds(found: lineage.Lineage, sign: int) -> set[str]:
    return {row.kind for row in found.relatives if row.generation * sign > 0}


def test_a_difference_image_comes_from_raw_exposures_and_leads_to_alerts(site):
    found = lineage.lineage(site.ccd.difference)
    assert found.centre.kind == "difference image" and found.is_whole
    above = {
        "zero point", "reference", "world coordinates", "source list", "science image", "exposure", "coadd image",
        "master bias", "raw bias",
    }  # fmt: skip
    assert kinds(found, -1) == above
    below = {
        "detections",
        "cutouts",
        "measurement set",
        "deep score set",
        "known object set",
        "alert batch",
        "fake analysis",
    }
    assert kinds(found, 1) == below


def test_the_page_lists_what_it_is_made_of_apart_from_what_was_made_of_it(site, client):
    page = client.get(f"/provenance/product/image/{site.ccd.difference.pk}/").content.decode()
    above, below = (page.split(f'aria-label="{title}"')[1].split("</table>")[0] for title in ("Made of", "Made of it"))
    for kind in ("zero point", "reference", "exposure", "coadd image", "raw bias"):
        assert f"<td>{kind}<" in above and f"<td>{kind}<" not in below, kind
    for kind in ("detections", "cutouts", "measurement set", "alert batch"):
        assert f"<td>{kind}<" in below and f"<td>{kind}<" not in above, kind


def test_arrows_run_from_what_is_made_of_to_what_is_made(site):
    found = lineage.lineage(site.ccd.difference)
    generation = {(row.model, row.pk): row.generation for row in [found.centre, *found.relatives]}
    assert found.arrows and all(generation[up] < generation[down] for up, down in found.arrows)


def test_a_raw_exposure_leads_to_everything_of_its_ccds(site):
    found = lineage.lineage(site.ccd.exposure)
    images = [row for row in found.relatives if row.kind == "science image"]
    assert {row.place for row in images} == {"N1 r", "N2 r"}
    assert {row.name for row in images} == {f"{site.name} N1 r", f"{site.name} N2 r"}
    assert not [row for row in found.relatives if row.generation < 0]


def test_what_inherits_badness_and_from_whom_is_shown(site, client):
    raw = Exposure.objects.get(kind="bias")
    set_badness(raw, Badness.BANDING, description="read-out noise")
    found = lineage.lineage(site.ccd.difference)
    assert [row.name for row in found.sources_of_badness] == [raw.name]
    assert lineage.lineage(raw).heirs
    page = client.get(f"/provenance/product/image/{site.ccd.difference.pk}/").content.decode()
    assert "Inherited: banding" in page and raw.name in page
    page = client.get(f"/provenance/product/exposure/{raw.pk}/").content.decode()
    assert "Marked itself: banding" in page and "read-out noise" in page and "inherit this" in page


def test_a_bad_provenance_is_named_on_the_page_of_everything_that_carries_it(site, client):
    provenance = site.ccd.image.provenance
    provenance.is_bad, provenance.bad_comment = True, "wrong gain"
    provenance.save()
    page = client.get(f"/provenance/product/image/{site.ccd.difference.pk}/").content.decode()
    assert "wrong gain" in page


@pytest.mark.parametrize("model", [*product_models(), Measurement], ids=lambda model: model.__name__)
def test_every_kind_of_product_has_a_page(model, site, client):
    row = model._base_manager.first()
    if row is None:
        made = {"DataFile": data_file, "CatalogExcerpt": excerpt, "ForcedFlux": lambda: factories.forced(site.ccd)}
        row = made[model.__name__]()
    answer = client.get(f"/provenance/product/{lineage.slug_of(model)}/{row.pk}/")
    assert answer.status_code == 200 and "What it came from" in answer.content.decode()


def data_file():
    from products.models import DataFile

    return DataFile.objects.create(name="linearity.csv", provenance=factories.provenance("import", tag=""))


def excerpt():
    from products.models import CatalogExcerpt

    row = CatalogExcerpt(
        origin="gaia_dr3", epoch=2016.0, n_stars=3, contents_sha256="0", ra=1, dec=1,
        provenance=factories.provenance("catalog import", tag=""),
    )  # fmt: skip
    row.save()
    return row


def test_a_product_that_there_is_not_is_404(site, client):
    assert client.get(f"/provenance/product/moon/{site.ccd.image.pk}/").status_code == 404
    assert client.get(f"/provenance/product/psf/{site.ccd.image.pk}/").status_code == 404


def test_many_products_of_a_kind_are_one_box(site, client):
    for number in range(5):
        of = factories.exposure(f"demo_2026112{number}_050000", mjd=61367.2 + number)
        image = factories.science_image(of)
        image.calibrators.add(site.ccd.image.calibrators.get())
    bias = site.ccd.image.calibrators.get().image
    page = client.get(f"/provenance/product/image/{bias.pk}/").content.decode()
    assert "6 × science image" in page


def test_a_product_with_more_relatives_than_can_be_shown_says_so(site, client, monkeypatch):
    monkeypatch.setattr(lineage, "MOST", 5)
    assert not lineage.lineage(site.ccd.exposure).is_whole
    assert "there are more" in client.get(f"/provenance/product/exposure/{site.ccd.exposure.pk}/").content.decode()


def test_queries_go_by_generation_not_by_product(site):
    bias = site.ccd.image.calibrators.get().image

    def number() -> int:
        with CaptureQueriesContext(connection) as queries:
            lineage.lineage(Image.objects.get(pk=bias.pk))
        return len(queries)

    before = number()
    for index in range(4):
        of = factories.exposure(f"more_{index}", mjd=61380.0 + index)
        factories.full_ccd(9 + index, of=of).image.calibrators.add(site.ccd.image.calibrators.get())
    assert number() == before


def test_names_of_kinds_tell_apart_what_shares_a_table():
    assert lineage.kind_of(Image, "flat") == "master flat"
    assert lineage.kind_of(SourceList, "detections") == "detections"
    assert lineage.kind_of(Exposure, "bias") == "raw bias"
