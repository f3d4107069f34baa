"""Pages of references and calibrators."""

from __future__ import annotations

import re

import numpy as np
import pytest

from products.models import Badness, CalibratorFile, DataFile
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


def table_of(kind: str, rows: np.ndarray, **fields) -> CalibratorFile:
    made_with = factories.provenance(f"make_{kind}", tag="")
    file = DataFile(name=f"{kind} demo N1", table=rows, provenance=made_with)
    factories.saved(file)
    defaults = {"kind": kind, "instrument": "demo", "section": "N1", "data_file": file}
    return CalibratorFile.objects.create(**{**defaults, **fields})


def linearity() -> np.ndarray:
    table = np.zeros(10, [("amplifier", "U8"), ("adu", "f4"), ("linear_adu", "f4")])
    table["amplifier"] = ["A"] * 5 + ["B"] * 5
    table["adu"] = np.tile(np.linspace(0, 40_000, 5), 2)
    table["linear_adu"] = table["adu"] * (1 + 5e-7 * table["adu"])
    return table


def test_a_calibrator_says_how_good_it_is_and_what_was_left_out_and_why(site, client):
    calibrator = site.ccd.image.calibrators.get()
    calibrator.quality = {
        "frames": 7,
        "noise_ratio": 1.0312,
        "level": -1.25,
        "nested things": [1, 2],
        "odd thing": "x" * 200,
    }
    calibrator.rejected = {site.name: "level 12 is far <b>away</b>", "gone-1": "it cannot be read"}
    calibrator.save()
    page = client.get(f"/calibrators/{calibrator.pk}/").content.decode()
    assert "scatter of the frames over their noise</dt><dd>1.031" in page and "<dd>−1.25 <span" in page
    assert "far &lt;b&gt;away" in page and "gone-1" in page and f"/exposures/{site.name}/" in page
    assert "nested things" not in page
    listed = client.get("/calibrators/").content.decode()
    assert '<td class="n">2<td' in listed


def test_a_linearity_table_shows_its_curve_and_the_flats_around_it(site, client):
    points = [{"amplifier": "A", "time": 3.0, "adu": 20_000.0, "off": 2e-4}]
    row = table_of("linearity", linearity(), quality={"frames": 12, "residual": 3e-4, "points": points})
    page = client.get(f"/calibrators/{row.pk}/").content.decode()
    assert page.count('fill="none" stroke="var(--') == 2 and "amplifier A, 3 s: 20000 ADU, +0.020 % off" in page
    assert "residual (rms)</dt><dd>0.030" in page


def test_a_crosstalk_table_shows_its_coefficients_with_errors_the_largest_first(site, client):
    columns = [("amplifier", "U8"), ("source_section", "U20"), ("source_amplifier", "U8")]
    columns += [("coefficient", "f8"), ("error", "f8")]
    row = table_of("crosstalk", np.array([("A", "", "B", 2e-4, 1e-5), ("B", "N2", "A", -7e-4, 2e-5)], columns))
    page = client.get(f"/calibrators/{row.pk}/").content.decode()
    shown = page.split("<h2>Crosstalk")[1].split("</table>")[0]
    assert re.findall(r'<td class="n">(−?[\d.]+)', shown) == ["−7.00", "0.20", "2.00", "0.10"]
    assert ">N2<" in shown and ">N1<" in shown


def test_an_empty_or_lost_table_has_its_page_still(site, client):
    empty = table_of("linearity", linearity()[:0])
    assert client.get(f"/calibrators/{empty.pk}/").status_code == 200
    lost = table_of("crosstalk", np.zeros(0, [("amplifier", "U8"), ("coefficient", "f8"), ("error", "f8")]))
    lost.data_file.path().unlink()
    page = client.get(f"/calibrators/{lost.pk}/")
    assert page.status_code == 200 and "cannot be shown" in page.content.decode()


def test_what_takes_whose_place_is_said_on_both_pages_and_can_be_searched(site, client):
    old = site.ccd.image.calibrators.get()
    new = factories.calibrator(superseded_by=None)
    old.superseded_by = new
    old.save()
    page = client.get(f"/calibrators/{old.pk}/").content.decode()
    assert "no longer chosen" in page and f"/calibrators/{new.pk}/" in page
    assert f"/calibrators/{old.pk}/" in client.get(f"/calibrators/{new.pk}/").content.decode()
    assert rows(client, "/calibrators/?superseded=yes") == 1 == rows(client, "/calibrators/?superseded=no")
    assert ">superseded<" in client.get("/calibrators/?superseded=yes").content.decode()


def test_flats_are_found_by_their_light(site, client):
    factories.calibrator(kind="flat", flat_type="twilight")
    assert rows(client, "/calibrators/?flat_type=twilight") == 1


def test_of_nightly_ones_those_of_later_nights_take_the_place_of_none(site):
    first = factories.calibrator(calibrator_set="nightly", valid_from=61300.5)
    factories.calibrator(calibrator_set="nightly", valid_from=61301.5)
    again = factories.calibrator(calibrator_set="nightly", valid_from=61300.5)
    assert list(successors(first)) == [again]


def test_a_calibrator_shows_the_frames_that_were_made_with_it_too(site, client):
    bias, flat = site.ccd.image.calibrators.get(), factories.calibrator(kind="flat", filter="g")
    flat.image.calibrators.add(bias)
    page = client.get(f"/calibrators/{bias.pk}/").content.decode()
    assert f'<a href="/images/{flat.image.pk}/">' in page and site.name in page


def test_the_picture_of_a_mask_is_of_its_flags(site, client):
    mask = factories.calibrator(kind="bad_pixels")
    page = client.get(f"/calibrators/{mask.pk}/").content.decode()
    assert f"/images/{mask.image.pk}/mask-bad.png" in page and "scatter of the pixels" not in page
