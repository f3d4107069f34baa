"""Which frame calibrates a CCD: of its set and filter, valid at its date, good, not superseded, and the latest made."""

from __future__ import annotations

import pytest

from processing.calibrator_choice import calibrator, contents, supersede
from processing.errors import MissingCalibrator
from products.models import Badness, CalibratorFile, DataFile, Image
from products.services.badness import set_badness
from tests import factories

pytestmark = pytest.mark.django_db


def frame(kind: str = "bias", band: str = "", **fields) -> CalibratorFile:
    made_with = factories.provenance(f"make_{kind}", frames=CalibratorFile.objects.count())
    image = Image.objects.create(
        provenance=made_with, kind=kind, instrument="demo", section="N1", filter=band, mjd=0, mjd_end=0,
        exposure_time=0, width=8, height=8, ra=0, dec=0,
    )  # fmt: skip
    defaults = {"kind": kind, "instrument": "demo", "section": "N1", "filter": band, "image": image}
    return CalibratorFile.objects.create(**{**defaults, **fields})


@pytest.fixture
def exposure():
    return factories.exposure()


def test_the_latest_made_is_chosen_among_those_that_are_valid_at_the_date(exposure):
    frame()
    wanted = frame(valid_from=exposure.mjd - 1, valid_to=exposure.mjd)
    frame(valid_to=exposure.mjd - 0.1)
    frame(valid_from=exposure.mjd + 0.1)
    assert calibrator("bias", exposure, "N1", "general") == wanted


def test_frames_of_other_ccds_filters_and_sets_are_passed_over(exposure):
    wanted = frame("flat", "r")
    frame("flat", "g")
    frame("flat", "r", section="N2")
    frame("flat", "r", calibrator_set="nightly")
    assert calibrator("flat", exposure, "N1", "general") == wanted


@pytest.mark.parametrize("which", ["own", "of its raw frames"])
def test_a_bad_frame_is_passed_over(exposure, which):
    wanted, bad = frame(), frame()
    raw = factories.exposure("bias-1", kind="bias")
    bad.image.raw_exposures.add(raw)
    set_badness(bad.image if which == "own" else raw, Badness.BANDING)
    assert calibrator("bias", exposure, "N1", "general") == wanted


def test_where_there_is_none_the_error_says_how_to_make_one(exposure):
    frame(valid_to=exposure.mjd - 1)
    with pytest.raises(MissingCalibrator, match="make_bias"):
        calibrator("bias", exposure, "N1", "general")


def table(**fields) -> CalibratorFile:
    made_with = factories.provenance("make_linearity", tables=DataFile.objects.count())
    file = DataFile.objects.create(name="linearity", provenance=made_with)
    defaults = {"kind": "linearity", "instrument": "demo", "section": "N1", "data_file": file}
    return CalibratorFile.objects.create(**{**defaults, **fields})


def nightly(exposure, nights_before: float, **fields) -> CalibratorFile:
    return frame(calibrator_set="nightly", valid_from=exposure.mjd - nights_before, **fields)


def test_of_nightly_ones_the_nearest_earlier_night_counts_whenever_it_was_made(exposure):
    nightly(exposure, 3.1)
    wanted = nightly(exposure, 1.1)
    nightly(exposure, -0.9)  # of the next night
    nightly(exposure, 7.1)
    assert calibrator("bias", exposure, "N1", "nightly") == wanted


def test_of_two_of_one_night_the_latest_made_is_chosen(exposure):
    nightly(exposure, 0.4)
    wanted = nightly(exposure, 0.4)
    assert calibrator("bias", exposure, "N1", "nightly") == wanted


def test_a_nightly_one_is_not_chosen_after_its_end(exposure):
    nightly(exposure, 9.0, valid_to=exposure.mjd - 8)
    with pytest.raises(MissingCalibrator, match="--calibrator-set nightly"):
        calibrator("bias", exposure, "N1", "nightly")


def test_flats_of_the_light_that_is_asked_for_are_chosen_and_of_any_otherwise(exposure):
    dome = frame("flat", "r", flat_type="dome")
    sky = frame("flat", "r", flat_type="sky")
    assert calibrator("flat", exposure, "N1", "general", "dome") == dome
    assert calibrator("flat", exposure, "N1", "general") == sky
    with pytest.raises(MissingCalibrator, match="of the light 'twilight'"):
        calibrator("flat", exposure, "N1", "general", "twilight")


def test_a_bad_table_is_passed_over_and_so_is_one_of_a_bad_provenance(exposure):
    wanted, bad, worse = table(), table(), table()
    set_badness(bad.data_file, Badness.BANDING)
    worse.data_file.provenance.is_bad = True
    worse.data_file.provenance.save()
    assert calibrator("linearity", exposure, "N1", "general") == wanted


def test_the_error_names_the_command_of_each_kind(exposure):
    for kind, command in (("bad_pixels", "make_badpixelmask"), ("crosstalk", "measure_crosstalk")):
        with pytest.raises(MissingCalibrator, match=f"manage.py {command} FILE"):
            calibrator(kind, exposure, "N1", "general")
    with pytest.raises(MissingCalibrator, match="import one"):
        calibrator("flat", exposure, "N1", "supplied")


def test_what_is_superseded_is_not_chosen_and_what_used_it_keeps_it(exposure):
    old, new = frame(), frame()
    image = factories.science_image(exposure)
    image.calibrators.add(old)
    assert supersede(new) == 1
    old.refresh_from_db()
    assert old.superseded_by == new and list(image.calibrators.all()) == [old]
    assert calibrator("bias", exposure, "N1", "general") == new
    set_badness(new.image, Badness.BANDING)
    with pytest.raises(MissingCalibrator):  # the old one was given up, and its choice is for people
        calibrator("bias", exposure, "N1", "general")


@pytest.mark.parametrize(
    "other",
    [
        {"section": "N2"},
        {"calibrator_set": "nightly"},
        {"instrument": "generic"},
        {"valid_from": 61000.0},
        {"valid_from": 61200.0, "valid_to": 61500.0},
    ],
)
def test_only_older_ones_of_the_same_ccd_set_and_within_the_dates_are_superseded(other):
    within = frame(valid_from=61200.0, valid_to=61300.0)
    outside = frame(**{"valid_from": 61200.0, "valid_to": 61300.0, **other})
    new = frame(valid_from=61100.0, valid_to=61400.0)
    later = frame(valid_from=61200.0, valid_to=61300.0)
    assert supersede(new) == 1
    assert set(CalibratorFile.objects.exclude(superseded_by=None)) == {within}
    assert outside.superseded_by is None and later.superseded_by is None


def test_a_bad_table_makes_the_images_bad_that_it_was_applied_to(exposure):
    row = table()
    image = factories.science_image(exposure)
    image.calibrators.add(row)
    set_badness(row.data_file, Badness.BANDING)
    image.refresh_from_db()
    assert Badness.BANDING in image.badness
    set_badness(row.data_file, Badness(0))
    image.refresh_from_db()
    assert not image.badness


@pytest.mark.parametrize("through", ["raw_exposures", "calibrators"])
def test_what_is_wrong_with_the_frames_of_a_table_reaches_the_images(exposure, through):
    row, image, bad = table(), factories.science_image(exposure), frame()
    raw = factories.exposure("ramp-1", kind="flat")
    row.data_file.raw_exposures.add(raw)
    row.data_file.calibrators.add(bad)
    image.calibrators.add(row)
    set_badness(raw if through == "raw_exposures" else bad.image, Badness.BANDING)
    image.refresh_from_db()
    row.data_file.refresh_from_db()
    assert Badness.BANDING in row.data_file.badness
    assert Badness.BANDING in image.badness


def test_the_contents_are_the_plane_or_the_table_that_the_kind_has():
    mask = frame("bad_pixels")
    mask.image.flags, mask.image.data = "flags", "data"
    assert contents(mask) == "flags"
    flat = frame("flat", "r")
    flat.image.data = "data"
    assert contents(flat) == "data"
    row = table()
    row.data_file.table = "rows"
    assert contents(row) == "rows"
