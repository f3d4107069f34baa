"""Which images go into references, and what is said of each that does not."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.sky import from_tangent_plane
from processing.errors import BadInput
from processing.reference_choice import Area, Choice
from products.models import Background, Badness, ScienceImage, ZeroPoint
from products.services.badness import set_badness
from tests import factories
from tests.skies_tiny import Sky

pytestmark = pytest.mark.django_db


def calibrated(name: str, *, section: str = "N1", **fields) -> ZeroPoint:
    """A calibrated image of an exposure with these columns."""
    centre = (fields.get("ra", 35.5), fields.get("dec", -4.75))
    exposure = factories.exposure(name, **fields)
    return factories.calibrated(factories.science_image(exposure, section, centre=centre), Sky(1))


def reasons(**asked) -> dict[str, str]:
    """Name of the exposure → why it is left out."""
    chosen = Choice(**{"instruments": ("demo",), "filter": "r", **asked}).choose()
    return {row.image.exposure.name: row.reason for row in chosen.judged}


def test_each_image_that_is_left_out_has_its_reason():
    calibrated("fits")
    calibrated("late", mjd=61400.0)
    calibrated("low", airmass=2.3)
    calibrated("theirs", project="other")
    bad = calibrated("bad")
    set_badness(bad, Badness.BIG_RESIDUALS)
    shallow, bright = calibrated("shallow"), calibrated("bright")
    ZeroPoint.objects.filter(pk=shallow.pk).update(limiting_magnitude=20.5)
    Background.objects.filter(sources=bright.world_coordinates.sources).update(value=9000.0)
    factories.science_image(factories.exposure("raw"))
    assert reasons(
        mjd_range=(0.0, 61380.0), max_airmass=2.0, projects=("demo",), min_depth=22.0, max_background=1000.0
    ) == {
        "fits": "",
        "late": "outside the dates",
        "low": "at an airmass above 2",
        "theirs": "of project other",
        "bad": "bad (big residuals)",
        "shallow": "shallower than 22 mag",
        "bright": "its sky is brighter than 1000 electrons",
        "raw": "not calibrated under the tag 'current': process it with --through-step photocal",
    }
    assert reasons(max_seeing=1.0)["fits"] == "less sharp than 1 arcsec"
    assert reasons(sections=("N2",))["fits"] == "of CCD N1"
    assert reasons(target="Virgo")["fits"] == "of target XMM-LSS" and not reasons(target="xmm-lss")["fits"]


def test_where_processing_stopped_is_said_of_what_is_not_calibrated():
    image = factories.science_image(factories.exposure("stopped"))
    factories.report(image.exposure, "N1", failed="astrocal")
    assert (
        reasons()["stopped"]
        == "not calibrated under the tag 'current': it stopped in astrocal (4 stars found, 10 needed)"
    )


def test_an_area_takes_what_shows_any_of_it():
    here, beside = calibrated("here"), calibrated("beside", ra=35.508)
    calibrated("elsewhere", ra=36.5)
    disc = Area("the disc", disc=(35.5, -4.75, 0.001))
    assert reasons(area=disc) == {"here": "", "beside": "", "elsewhere": "it shows nothing of the disc"}
    point = Area("the point", disc=(35.5 - 0.009, -4.75, 0.0))
    assert reasons(area=point)["here"] == "" and reasons(area=point)["beside"] == "it shows nothing of the point"
    footprint = Area.of([beside.image], "beside:N1")
    assert reasons(area=footprint)["here"] == "" and reasons(area=footprint)["elsewhere"]
    assert ScienceImage.objects.get(pk=here.image.pk).corners


def test_of_too_many_the_sharpest_are_used_and_of_too_few_none():
    for name in ("a", "b", "c"):
        calibrated(name, mjd=61360.0 + ord(name))
    found = reasons(max_number=2)
    assert found == {"a": "", "b": "", "c": "the 2 sharpest of its CCD and field are used"}
    assert set(reasons(min_number=4).values()) == {"only 3 of its CCD and field fit, 4 needed"}
    with pytest.raises(BadInput, match="3 calibrated images fit, 4 needed"):
        Choice(("demo",), "r", min_number=4).groups()


def test_images_of_other_filters_and_instruments_are_counted_not_judged():
    calibrated("here")
    factories.calibrated(factories.science_image(factories.exposure("green", filter="g")), Sky(1))
    chosen = Choice(("demo",), "r").choose()
    assert [row.image.exposure.name for row in chosen.judged] == ["here"] and chosen.other_filters == {"g": 1}
    assert Choice(("decam",), "r").choose().judged == []
    with pytest.raises(BadInput, match=r"tag 'current' has images of demo in g, demo in r"):
        Choice(("decam", "ls4"), "r").groups()


def test_two_instruments_have_references_apart():
    calibrated("one")
    theirs = factories.exposure("two", instrument="ptf", tag="theirs")
    made = factories.provenance("preprocessing", tag="theirs", of="ptf")
    factories.calibrated(factories.science_image(theirs, provenance=made), Sky(1), tag="theirs")
    groups = Choice(("demo", "ptf"), "r", more_tags=("theirs",)).groups()
    assert sorted(groups) == ["demo N1", "ptf N1"]


def test_what_is_left_out_near_an_image_is_told_from_what_is_far():
    here = calibrated("here")
    calibrated("late", mjd=61400.0)
    calibrated("late and far", mjd=61400.0, ra=40.0)
    chosen = Choice(("demo",), "r", mjd_range=(0.0, 61380.0)).choose()
    assert [row.image.exposure.name for row in chosen.left_out(near=here.image)] == ["late"]
    assert len(chosen.left_out()) == 2 and chosen.reasons() == {"outside the dates": 2}


@pytest.mark.parametrize(
    ("disc", "place", "is_shown"),
    [
        ((35.5, -4.75, 0.5), (35.5, -4.34), True),  # between rings of half the radius and all of it
        ((35.5, -4.75, 0.5), (35.5, -4.20), False),
        ((0.0, 89.8, 0.5), (180.0, 89.9), True),  # beyond the pole
        ((0.0, 89.8, 0.5), (180.0, 89.6), False),
        ((359.9, 10.0, 0.3), (0.15, 10.0), True),
    ],
)
def test_a_disc_is_shown_by_whatever_lies_in_it_at_the_pole_too(disc, place, is_shown):
    xi, eta = np.array([-1, 1, 1, -1]) * 180.0, np.array([-1, -1, 1, 1]) * 60.0  # 0.1 by 0.033 degrees
    image = ScienceImage().set_footprint(np.stack(from_tangent_plane(xi, eta, *place), axis=1))
    assert Area("the disc", disc=disc).touches(image) is is_shown
