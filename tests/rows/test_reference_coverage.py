"""What covers a position: by the command, on the pages, and where a reference is chosen, superseded or shared."""

from __future__ import annotations

import json
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from processing.datastore import DataStore
from processing.errors import BadInput, NoReference
from processing.providers import FurtherReferences
from processing.references import register, supersede_with
from processing.steps.referencing import Referencing
from products.models import Badness, DifferenceImage, Reference, RefSet, Report, ZeroPoint
from products.models.images import CoaddImage
from products.reference_coverage import covers
from tests import factories
from tests.skies_tiny import SHAPE, Sky

pytestmark = pytest.mark.django_db
RA, DEC = 35.5, -4.75
HALF = SHAPE[1] * factories.SCALE / 3600 / 2  # of the width of an image, degrees


def calibrated(name: str, ra: float = RA) -> ZeroPoint:
    exposure = factories.exposure(name, ra=ra)
    return factories.calibrated(factories.science_image(exposure, centre=(ra, DEC)), Sky(1))


def deep(name: str, ra: float = RA) -> Reference:
    """A reference of the set `default`, centred there."""
    row = factories.reference(calibrated(name, ra), Sky(1))
    RefSet.objects.get_or_create(name="default", defaults={"provenance": row.provenance})
    return row


def with_coverage(row: Reference, coverage: np.ndarray, weight: np.ndarray) -> Reference:
    """The same with a file that says how many images went into each pixel."""
    image = CoaddImage.objects.get(pk=row.image.pk)
    image.data, image.flags = image.data, image.flags
    image.weight, image.coverage = weight, coverage
    image.write_file()
    image.quality = {
        "median_images": 4.0,
        "fully_covered": 0.5,
        "artefact_pixels": {},
        "left_out": {"odd N1": "clouds"},
    }
    image.save()
    return Reference.objects.get(pk=row.pk)


@pytest.fixture
def uneven() -> Reference:
    """Four images on the left, two on the right, nothing in the last columns."""
    coverage, weight = np.full(SHAPE, 4, np.uint16), np.full(SHAPE, 1 / 20.0**2, np.float32)
    coverage[:, 64:], weight[:, 64:] = 2, 1 / (2 * 20.0**2)
    coverage[:, 118:], weight[:, 118:] = 0, 0
    return with_coverage(deep("uneven"), coverage, weight)


def at(x: float) -> tuple[float, float]:
    """The position of column x in the middle row."""
    ra, dec = factories.tangent_plane(RA, DEC).all_pix2world(x, (SHAPE[0] - 1) / 2, 0)
    return float(ra), float(dec)


def test_images_and_depth_are_those_of_the_place(uneven):
    (left,), (right,), (gap,) = (covers([uneven], *at(x)) for x in (20, 80, 125))
    assert (left.n_images, right.n_images, gap.n_images) == (4, 2, 0)
    assert left.limit == pytest.approx(22.4, abs=0.01) and right.limit == pytest.approx(22.4 - 0.376, abs=0.01)
    assert left.is_usable and not gap.is_usable and gap.has_gap


def test_the_command_answers_what_covers_a_position(uneven, tmp_path):
    said = StringIO()
    call_command("reference_coverage", f"{RA + HALF / 2} {DEC}", filter="r", json=tmp_path / "c.json", stdout=said)
    assert "set default  4 images  limit 22.40 mag  good" in said.getvalue()
    [found] = json.loads((tmp_path / "c.json").read_text())
    assert found["images"] == 4 and found["usable"] and found["id"] == str(uneven.pk)
    said = StringIO()
    call_command("reference_coverage", "120 30", filter="r", stdout=said)
    assert "no reference covers 120.00000 +30.00000 in r; make one" in said.getvalue()
    with pytest.raises(CommandError, match="is no position"):
        call_command("reference_coverage", "nowhere")


def test_a_reference_whose_file_is_lost_or_old_says_what_it_can(uneven):
    old = deep("old")
    [found] = covers([old], *at(20))
    assert found.n_images is None and found.is_usable
    old.image.path().unlink()
    [lost] = covers([old], *at(20))
    assert lost.limit is None and not lost.is_usable


def test_a_solution_that_points_elsewhere_has_no_pixel_there(uneven, tmp_path):
    world = uneven.zero_point.world_coordinates
    world.header = factories.tangent_plane(RA + 180, -DEC).to_header().tostring(sep="\n")
    world.save()
    [found] = covers([Reference.objects.get(pk=uneven.pk)], *at(20))
    assert found.x is None and not found.is_usable and not found.has_gap
    call_command("reference_coverage", f"{RA} {DEC}", filter="r", json=tmp_path / "c.json", stdout=StringIO())
    assert json.loads((tmp_path / "c.json").read_text())[0]["x"] is None


def test_the_pages_show_it(uneven, client):
    page = client.get(f"/references/?position={at(20)[0]}+{DEC}&every_tag=true").content.decode()
    assert "mag, there" in page and ">22.40<" in page
    gap = client.get(f"/references/?position={at(125)[0]}+{DEC}&every_tag=true").content.decode()
    assert "no usable pixel there" in gap
    why = [{"exposure": "uneven", "section": "N1", "reason": "less sharp than 2 arcsec"}]
    Report.objects.create(image=uneven.image, steps=[{"name": "choosing", "seconds": 0.1, "left_out": why}])
    page = client.get(f"/references/{uneven.pk}/").content.decode()
    assert "less sharp than 2 arcsec" in page and "clouds" in page and "50 %" in page.replace("\N{NO-BREAK SPACE}", " ")
    picture = client.get(f"/images/{uneven.image.pk}/coverage.png")
    assert picture.status_code == 200 and picture["Content-Type"] == "image/png"
    science = calibrated("science").image
    assert client.get(f"/images/{science.pk}/coverage.png").status_code == 404


def chosen_for(zero_point: ZeroPoint, **parameters) -> tuple[Reference, tuple[Reference, ...]]:
    data = DataStore(zero_point.image.exposure, zero_point.image, zero_point, section="N1")
    return Referencing(**parameters).find(data), data[FurtherReferences].references


def test_references_that_cover_parts_share_an_image():
    new = calibrated("new")
    left, right = deep("left", RA + 0.7 * HALF), deep("right", RA - 0.6 * HALF)
    first, others = chosen_for(new)
    assert first == right and others == (left,)
    with pytest.raises(NoReference, match=r"the best of 'default' covers [67]\d% of the image, 85% needed"):
        chosen_for(new, max_references=1)
    deep("far", RA + 1.6 * HALF)
    Reference.objects.filter(pk=left.pk).update(badness_own=int(Badness.BAD_REFERENCE))
    with pytest.raises(NoReference, match=r"2 of 'default' together cover [89]\d% of the image, 100% needed"):
        chosen_for(new, min_overlap=1.0)


def test_one_that_covers_all_needs_no_other():
    new = calibrated("new")
    deep("beside", RA + 0.5 * HALF)
    whole = deep("whole")
    assert chosen_for(new) == (whole, ())


def test_what_would_serve_otherwise_is_said():
    new, row = calibrated("new"), deep("theirs")
    Reference.objects.filter(pk=row.pk).update(instrument="ptf")
    with pytest.raises(NoReference, match=r"there are some of ptf: --set referencing.same_instrument=false"):
        chosen_for(new)
    assert chosen_for(new, same_instrument=False)[0] == row
    Reference.objects.filter(pk=row.pk).update(filter="g")
    with pytest.raises(NoReference, match=r"there are some in g; make one"):
        chosen_for(new)


def test_a_superseded_reference_is_passed_over_and_what_used_it_stays_as_it_is():
    ccd = factories.full_ccd()
    old = ccd.difference.reference
    RefSet.objects.create(name="default", provenance=old.provenance)
    beside, new = deep("beside", RA + 1.2 * HALF), deep("newer", ccd.image.ra)
    Reference.objects.filter(pk__in=[beside.pk, new.pk]).update(provenance=old.provenance)
    same_place = np.array(old.corners)
    new = Reference.objects.get(pk=new.pk).set_footprint(same_place)
    new.save()
    assert supersede_with(new, "default") == [old]
    old.refresh_from_db()
    assert old.badness == Badness.SUPERSEDED_REFERENCE and str(new.pk) in old.description
    difference = DifferenceImage.objects.get(pk=ccd.difference.pk)
    assert difference.badness == 0 and difference.reference == old
    assert not any(row.badness for row in ccd.measurement_set.measurements.all())
    assert supersede_with(new, "default") == []


def test_an_image_serves_for_another_name_of_its_filter_in_one_set():
    zero_point = calibrated("foreign")
    row = register(zero_point, "deep", band="R")
    assert row.filter == "R" and row.image.filter == "r" and register(zero_point, "deep", band="R") == row
    with pytest.raises(BadInput, match="it serves for filter R in the set 'deep'; choose another set for r"):
        register(zero_point, "deep")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"position": "1 2", "covering": "x"}, "give one of them"),
        ({"position": "somewhere"}, "is no position"),
        ({"position": "1 2", "radius": 400.0}, "0 to 30 degrees"),
        ({"covering": "nothing"}, "no exposure has the name or id nothing"),
        ({"max_number": 0}, "at least one image"),
        ({"mjd_min": 5.0, "mjd_max": 4.0}, "is after"),
        ({"position": "1 2"}, "it shows nothing of the disc of 0 deg at 1.0000"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(options, why):
    calibrated("here")
    with pytest.raises(CommandError, match=why):
        call_command("make_reference", instrument="demo", filter="r", **options)


def test_every_image_is_explained_and_nothing_is_made(tmp_path):
    calibrated("here")
    calibrated("elsewhere", 40.0)
    said = StringIO()
    call_command(
        "make_reference", instrument="demo", filter="r", covering="here:N1", explain=True, json=tmp_path / "why.json",
        stdout=said,
    )  # fmt: skip
    lines = said.getvalue().splitlines()
    assert "used for N1" in lines[0] and "left out: it shows nothing of here:N1" in lines[1]
    assert lines[2] == "1 of 2 images would be used, for 1 references" and not Reference.objects.exists()
    assert [row["left_out_because"] for row in json.loads((tmp_path / "why.json").read_text())["images"]] == [
        None, "it shows nothing of here:N1",
    ]  # fmt: skip
