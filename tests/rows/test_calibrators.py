"""Which frame calibrates a CCD: of its set and filter, valid at its date, good, and the latest made."""

from __future__ import annotations

import pytest

from processing.calibrator_choice import calibrator
from processing.errors import MissingCalibrator
from products.models import Badness, CalibratorFile, Image
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
