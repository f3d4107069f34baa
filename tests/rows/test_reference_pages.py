"""Pages of references and calibrators."""

from __future__ import annotations

import re

import pytest

from products.models import Badness
from products.selectors.references import successors
from products.services.badness import set_badness
from tests import factories

pytestmark = pytest.mark.django_db


def rows(client, address: str) -> int:
    """Rows of the first table of a page."""
    page = client.get(address)
    assert page.status_code == 200
    return page.content.decode().split("<tbody>")[1].split("</tbody>")[0].count("<tr data-href")


def test_references_are_found_by_what_they_serve_for(site, client):
    reference = site.ccd.difference.reference
    assert rows(client, "/references/") == 3
    assert rows(client, "/references/?filter=g") == 1
    assert rows(client, "/references/?section=N2") == 1
    assert rows(client, f"/references/?position={reference.ra}+{reference.dec}&filter=r") == 1
    assert "No reference matches" in client.get("/references/?filter=z").content.decode()
    wrong = client.get("/references/?position=nowhere").content.decode()
    assert 'aria-invalid="true"' in wrong and rows(client, "/references/?position=nowhere") == 3


def test_references_are_sorted_on_the_server_with_the_unknown_last(site, client):
    page = client.get("/references/?sort=filter").content.decode()
    bands = re.findall(r'title="filter (\w)"', page.split("<tbody>")[1].split("</tbody>")[0])
    assert bands == sorted(bands)
    assert client.get("/references/?sort=nothing").status_code == 200


def test_a_reference_shows_what_is_in_it_and_what_was_made_with_it(site, client):
    reference = site.ccd.difference.reference
    reference.image.components.add(site.again.zero_point)
    page = client.get(f"/references/{reference.pk}/").content.decode()
    assert site.again.exposure.name in page.split("<h2>Images in it")[1].split("<h2>Differences")[0]
    made = page.split("<h2>Differences made with it")[1]
    assert site.name in made and site.again.exposure.name not in made, "that one has a reference of its own"
    assert ">deep</a>" in page and f"/images/{reference.image.pk}/data.png" in page
    set_badness(reference, Badness.SUPERSEDED_REFERENCE, description="a deeper one exists")
    page = client.get(f"/references/{reference.pk}/").content.decode()
    assert "superseded reference" in page and "a deeper one exists" in page


def test_a_calibrator_shows_when_it_holds_what_it_is_and_what_used_it(site, client):
    calibrator = site.ccd.image.calibrators.get()
    page = client.get(f"/calibrators/{calibrator.pk}/").content.decode()
    assert site.name in page and "demo_bias_0" in page and "open" in page
    assert re.search(r"<dt>median</dt><dd>(299|300)", page) and re.search(
        r"scatter of the pixels</dt><dd>(1\.9|2)", page
    )


def test_a_calibrator_made_later_supersedes_where_both_hold(site, client):
    first = site.ccd.image.calibrators.get()
    apart = factories.calibrator(valid_from=61000.0, valid_to=61010.0)
    later = factories.calibrator(valid_from=61500.0)
    bad = factories.calibrator()
    set_badness(bad.image, Badness.BANDING)
    assert set(successors(first)) == {apart, later}
    assert list(successors(apart)) == []
    page = client.get(f"/calibrators/{first.pk}/").content.decode()
    assert "Superseded" in page and f"/calibrators/{later.pk}/" in page
    assert "banding" in client.get(f"/calibrators/{bad.pk}/").content.decode()


def test_calibrators_are_found_by_kind_set_and_date(site, client):
    factories.calibrator(valid_from=61500.0, calibrator_set="nightly")
    assert rows(client, "/calibrators/") == 2
    assert rows(client, "/calibrators/?calibrator_set=nightly") == 1
    assert rows(client, "/calibrators/?valid_at=61400") == 1
    assert rows(client, "/calibrators/?valid_at=nonsense") == 2
    assert "No calibrator matches" in client.get("/calibrators/?kind=fringe").content.decode()


def test_a_frame_whose_file_is_lost_has_its_page_still(site, client):
    calibrator = site.ccd.image.calibrators.get()
    calibrator.image.path().unlink()
    page = client.get(f"/calibrators/{calibrator.pk}/")
    assert page.status_code == 200 and "neither in the data folder" in page.content.decode()
