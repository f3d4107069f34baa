"""What the archive knows of CCDs: in processing, in the admin, on the page of an image."""

from __future__ import annotations

import numpy as np
import pytest
from django.db.models import ProtectedError

from processing.datastore import DataStore
from processing.errors import BadInput
from processing.exposures import ingest, sections_of
from processing.instruments.base import Instrument, RawSection
from processing.pipelines import Preprocessing
from processing.providers import provide
from processing.sensor_sections import read_raw, section_state, section_states
from products.models import Exposure, ScienceImage, SensorSection
from tests import factories
from tests.instruments.ls4_files import SKY_NAME, ls4_file
from tests.instruments.test_section_tables import own_table
from tests.rows.admin_pages import address, page_of, said, staff

pytestmark = pytest.mark.django_db
CCDS = ("NE_A", "NE_B", "SE_D", "SE_E")


@pytest.fixture
def exposure(tmp_path) -> Exposure:
    return ingest(ls4_file(tmp_path / SKY_NAME, CCDS, dual=True), Instrument.member("ls4")())


def known(section: str = "NE_A", **changes) -> SensorSection:
    return SensorSection.objects.create(instrument="ls4", section=section, **changes)


def test_of_several_rows_the_latest_made_that_holds_at_the_date_counts():
    early = known(valid_to=61000, is_usable=False, comment="dead")
    late = known(valid_from=61001, amplifiers={"L": {"gain": 1.7}}, comment="replaced")
    later = known(valid_from=61001, amplifiers={"": {"read_noise": 9}}, comment="measured again")
    SensorSection.objects.create(instrument="decam", section="NE_A", is_usable=False)
    assert section_state("ls4", "NE_A", 61000).row == early
    found = section_state("ls4", "NE_A", 61500)
    assert (found.row, found.state.comment, found.state.amplifier("L")) == (later, "measured again", {"read_noise": 9})
    assert section_state("ls4", "NE_A", 61000.5).row is None
    assert late.images.count() == 0


def test_a_row_of_the_archive_goes_before_the_table():
    assert not section_state("ls4", "SE_D", 61000).state.is_usable
    known("SE_D", valid_from=60000, comment="works again")
    assert section_state("ls4", "SE_D", 61000).state.is_usable
    assert not section_state("ls4", "SE_D", 59000).state.is_usable
    assert section_state("ls4", "SE_D", 61000).state.filter == "g", "what it does not say, the table still says"


def test_what_the_archive_says_of_all_amplifiers_goes_before_what_a_table_says_of_one():
    own_table("NE_A,L,,,,,1.8,")
    assert section_state("ls4", "NE_A", 61000).state.amplifier("L") == {"gain": 1.8}
    known(amplifiers={"": {"gain": 1.5}})
    assert section_state("ls4", "NE_A", 61000).state.amplifier("L") == {"gain": 1.5}


def test_all_ccds_of_an_exposure_take_one_query(django_assert_num_queries):
    known("NE_B", is_usable=False)
    with django_assert_num_queries(1):
        found = section_states("ls4", CCDS, 61139.0)
    assert [name for name in CCDS if not found[name].state.is_usable] == ["NE_B", "SE_D"]


def test_ccds_that_are_not_usable_are_left_out_unless_they_are_named(exposure):
    assert sections_of(exposure) == ["NE_A", "NE_B", "SE_E"]
    assert sections_of(exposure, ["SE_D", "NE_A"]) == ["NE_A", "SE_D"]
    known("NE_A", is_usable=False, valid_from=exposure.mjd + 1)
    assert "NE_A" in sections_of(exposure), "it died later"
    for name in CCDS:
        known(name, is_usable=False)
    with pytest.raises(BadInput, match=r"none of its CCDs.*name those"):
        sections_of(exposure)
    with pytest.raises(BadInput, match="NE_A, NE_B, SE_D, SE_E"):
        sections_of(exposure, ["NE_C"])


def test_gain_noise_and_saturation_of_the_archive_replace_those_of_the_header(exposure):
    plain = read_raw(exposure, "NE_A")
    assert plain.sensor_section is None
    row = known(amplifiers={"L": {"gain": 1.5, "saturation": 4e4}, "": {"read_noise": 5.5}})
    raw = provide((RawSection,), DataStore(exposure, section="NE_A"), Preprocessing())
    right, left = raw.amplifiers
    assert (left.name, left.gain, left.read_noise, left.saturation) == ("L", 1.5, 5.5, 4e4)
    assert (right.gain, right.read_noise, right.saturation) == (plain.amplifiers[0].gain, 5.5, 6e4)
    assert raw.sensor_section == row
    assert read_raw(exposure, "NE_B").sensor_section is None


def test_an_image_says_what_was_known_of_its_ccd(exposure):
    row = known(amplifiers={"L": {"gain": 1.5}}, comment="amplifier replaced")
    step = Preprocessing(corrections=["overscan"], find_trails=False, find_cosmic_rays=False)
    data = DataStore(exposure, section="NE_A")
    image = step.run(**{name: provide(classes, data, step) for name, classes in step.inputs().items()})
    assert image.sensor_section == row
    # The left half lies at high x; each has its own gain.
    above = np.median(image.data, axis=0)
    assert above[15] == pytest.approx((2000 + 5 - 300) * 1.5, rel=1e-5)
    assert above[5] == pytest.approx((1000 + 5 - 300) * 2.2, rel=1e-5)


def test_the_page_of_an_image_tells_it(text):
    image = factories.science_image()
    assert "CCD at that date" not in text(f"/exposures/{image.exposure.name}/{image.section}/")
    row = known(amplifiers={"L": {"read_noise": 5.5}}, comment="amplifier replaced", is_usable=False)
    ScienceImage.objects.filter(pk=image.pk).update(sensor_section=row)
    page = text(f"/exposures/{image.exposure.name}/{image.section}/")
    assert "amplifier replaced" in page and "read noise 5.5" in page and "not usable" in page


def test_what_an_image_refers_to_stays():
    row, image = known(), factories.science_image()
    ScienceImage.objects.filter(pk=image.pk).update(sensor_section=row)
    with pytest.raises(ProtectedError):
        row.delete()


# The admin ------------------------------------------------------------------------------------------------------
TOLD = {
    "instrument": "ls4",
    "section": "NE_A",
    "valid_from": "61000",
    "valid_to": "",
    "comment": "dead",
    "amplifiers": "{}",
}


def test_people_with_the_permission_add_a_row_and_change_its_end_and_comment():
    client = staff("view_sensorsection", "add_sensorsection", "change_sensorsection")
    answer = client.post(address(SensorSection, "add"), TOLD, follow=True)
    row = SensorSection.objects.get()
    assert (row.section, row.is_usable, row.valid_from, row.valid_to) == ("NE_A", False, 61000, None)
    assert "No exposure of an instrument" in said(answer)
    client.post(
        page_of(row), {"valid_to": "61010", "comment": "dead for a while", "is_usable": "on", "section": "NE_B"}
    )
    row.refresh_from_db()
    assert (row.valid_to, row.comment) == (61010, "dead for a while")
    assert (row.section, row.is_usable) == ("NE_A", False), "images may have been made with it"


def test_nobody_else_adds_one():
    client = staff("view_sensorsection", "change_sensorsection")
    assert client.get(address(SensorSection, "add")).status_code == 403
    assert client.post(address(SensorSection, "add"), TOLD).status_code == 403
    assert not SensorSection.objects.exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amplifiers": "[1]"}, "must look like"), ({"amplifiers": '{"A": 3}'}, "it may say gain, read_noise, saturation"),
        ({"amplifiers": '{"A": {"gian": 3}}'}, "it may say gain"), ({"amplifiers": '{"A": {"gain": -3}}'}, "must be above 0"),
        ({"amplifiers": '{"A": {"gain": true}}'}, "must be above 0"), ({"amplifiers": '{"A": {"gain": NaN}}'}, "must be above 0"),
        ({"amplifiers": "no json"}, "valid JSON"), ({"valid_to": "60000"}, "before the beginning"), ({"valid_from": "soon"}, "number"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_refused(changes, reason):
    client = staff("view_sensorsection", "add_sensorsection")
    page = client.post(address(SensorSection, "add"), TOLD | changes)
    assert page.status_code == 200
    assert reason in page.content.decode()
    assert not SensorSection.objects.exists()
