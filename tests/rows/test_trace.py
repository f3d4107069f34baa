"""The trace of a position: who covers it, what was seen, what stopped it."""

from __future__ import annotations

import numpy as np
import pytest
from django.test import Client

from products import sky
from products.models import (
    Alert,
    Badness,
    DifferenceImage,
    KnownObject,
    KnownObjectSet,
    Measurement,
    Report,
    ScienceImage,
    Tracklet,
)
from products.selectors.tags import of_name
from products.selectors.trace_steps import peak, pixel, steps
from products.selectors.tracing import Place, nearest_to, trace_at, verdict
from products.services.badness import set_badness
from tests import factories
from tests.rows.archive import Archive

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client):
    """The text of a page that must answer 200."""

    def text(address: str) -> str:
        answer = client.get(address)
        assert answer.status_code == 200, address
        return answer.content.decode()

    return text


def at(row: Measurement, radius: float = 2.0, **time: float) -> Place:
    """The place of a measurement."""
    return Place(row.ra, row.dec, radius, **time)


def test_an_alert_is_traced_to_every_image_that_covers_it(site: Archive, page) -> None:
    row = site.ccd.measurements[0]
    found = trace_at(at(row), of_name("current"))
    assert [(one.exposure.name, one.outcome[0]) for one in found.coverings] == [
        (site.again.exposure.name, "alert"), (site.name, "alert"),
    ]  # fmt: skip
    assert verdict(found)[0].startswith("Detected 2 times at") and "kept 2 of 2, 2 alerts" in verdict(found)[0]
    text = page(f"/trace/?position={row.ra}+{row.dec}&radius=2")
    assert (
        "verdict card fine" in text and str(Alert.objects.get(score__measurement=site.again.measurements[0]).pk) in text
    )
    assert f"image={site.name}" in text.replace("%2F", "/"), "the other image is one click away"
    for step in ("preprocessing", "photocal", "subtraction", "scoring"):
        key = site.again.report.provenances[step]
        assert f"/provenance/{key}/" in text, step


def test_an_alert_that_is_withheld_is_said_to_be_and_is_not_called_told(site: Archive, page) -> None:
    alert = Alert.objects.get(score__measurement=site.again.measurements[0])
    Alert.objects.filter(pk=alert.pk).update(state="pending")
    set_badness(site.again.image, Badness.SHAKING)
    text = page(f"/trace/?position={site.object}")
    assert f'<a href="/alerts/{alert.pk}/">all: withheld, shaking</a>' in text
    assert "verdict card fine" not in text


def test_the_page_says_what_it_is_for_before_a_place_is_given(page) -> None:
    assert "Give a position, or the name of an object" in page("/trace/")


def test_a_cut_is_said_with_value_and_threshold(site: Archive, page) -> None:
    row = site.ccd.measurements[4]
    found = trace_at(at(row), of_name("current"))
    assert verdict(found)[0].endswith("cut: negative flux 0.46 > 0.40")
    happened = {step.step: step for step in steps(found.chosen(f"{site.name}/N1"), at(row), of_name("current"))}
    assert happened["measuring"].state == "stop" and happened["measuring"].cuts == [["negative_flux", 0.46, 0.4, False]]
    assert happened["detection"].state == "done" and happened["scoring"].state == happened["alerting"].state == "after"
    assert "Cut in measuring" in happened["alerting"].text
    assert "0.460 &gt; 0.400" in page(f"/trace/?position={row.object.name}")


def test_nothing_above_the_threshold_is_said_with_the_peak_and_the_limits(site: Archive) -> None:
    image = site.ccd.difference
    wcs = image.zero_point.world_coordinates.wcs
    rows = Measurement.objects.filter(measurement_set=site.ccd.measurement_set)
    x, y = _empty([(row.x, row.y) for row in rows], image.width, image.height)
    ra, dec = (float(value) for value in wcs.all_pix2world(x, y, 0))
    place = Place(ra, dec, 1.0)
    found = trace_at(place, of_name("current"))
    assert not found.detected and verdict(found)[0] == "Nothing was detected there: g > 22.40, r > 22.40"
    one = found.chosen("")
    stopped = next(step for step in steps(one, place, of_name("current")) if step.state == "stop")
    assert stopped.step == "detection" and stopped.cuts[0][2] == 5.0
    expected = np.abs(one.difference.as_kind().score[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3]).max()
    assert abs(stopped.cuts[0][1]) == pytest.approx(expected, rel=1e-5) and expected < 5
    assert np.hypot(*np.subtract(pixel(one, place), (x, y))) < 0.05


def _empty(taken: list[tuple[float, float]], width: int, height: int) -> tuple[int, int]:
    """The pixel farthest from everything."""
    y, x = np.mgrid[10 : height - 10, 10 : width - 10]
    away = np.min([np.hypot(x - a, y - b) for a, b in taken], axis=0)
    best = np.unravel_index(away.argmax(), away.shape)
    return int(x[best]), int(y[best])


def test_a_ccd_that_stopped_says_in_which_step_and_why(page) -> None:
    image = factories.science_image()
    factories.report(image.exposure, "N1", failed="photocal")
    found = trace_at(Place(image.ra, image.dec, 2.0), of_name("current"))
    assert found.coverings[0].outcome == ("stopped", "stopped in photocal")
    text = page(f"/trace/?position={image.ra}+{image.dec}")
    assert "no image of it was subtracted" in text and "4 stars found, 10 needed" in text


def test_what_moves_is_named_with_a_link_to_its_orbit_and_to_its_tracklet(site: Archive, page) -> None:
    row, other = site.again.measurements[0], site.again.measurements[1]
    Tracklet.objects.all().delete()
    KnownObject.objects.all().delete()
    match, tracklet = factories.known_object(site.again, name="(4) Vesta"), factories.tracklet([row])
    text = page(f"/trace/?position={row.ra}+{row.dec}")
    name = f'<a href="/provenance/product/known_object_set/{match.known_object_set_id}/">(4) Vesta</a>'
    assert f"Known moving object {name}, 0.3 ± 0.4″ from where its orbit predicts it, V 19.2, 31.5″/h" in text
    assert f'<a href="/moving/{tracklet.pk}/">tracklet of 1 detections, 31.4″/h</a>' in text
    assert text.count("(4) Vesta</span>") == 1, "in the table, beside the image that saw it"
    away = page(f"/trace/?position={other.ra}+{other.dec}")
    assert "Vesta" not in away and "It moves" not in away
    assert "Vesta" not in page(f"/trace/?position={row.ra}+{row.dec}&tag=trial")


def test_whether_anybody_looked_for_known_bodies_is_said(site: Archive) -> None:
    def said() -> str:
        one = trace_at(at(row), of_name("current")).chosen(f"{site.again.exposure.name}/N1")
        return next(step.text for step in steps(one, at(row), of_name("current")) if step.step == "knownobjects")

    Report.objects.filter(pk=site.again.report.pk).update(plan=["measuring", "scoring", "knownobjects"])
    KnownObjectSet.objects.all().delete()
    row = site.again.measurements[1]
    assert said() == ""
    match = factories.known_object(site.again)
    assert said() == "3 known moving objects predicted in the image, none of them here"
    KnownObjectSet.objects.filter(pk=match.known_object_set_id).update(source="none")
    assert said() == "nobody looked for known moving objects"


def test_time_narrows_the_trace(site: Archive, page) -> None:
    row = site.ccd.measurements[0]
    found = trace_at(at(row, start=61367.5), of_name("current"))
    assert [one.exposure.name for one in found.coverings] == [site.again.exposure.name]
    text = page(f"/trace/?position={row.ra}+{row.dec}&night=2026-11-22")
    assert site.name in text and site.again.exposure.name not in text
    assert "a date (2026-11-23) or an MJD" in page(f"/trace/?position={row.ra}+{row.dec}&night=soon")


def test_where_nothing_looked_the_nearest_image_is_named(site: Archive, page) -> None:
    image = ScienceImage.objects.filter(section="N1").first()
    top = max(dec for _, dec in image.corners)
    text = page(f"/trace/?position={image.ra}+{top + 0.8}")
    assert "No exposure covers this position; the nearest ends 0.8° to the south" in text
    found = nearest_to(Place(image.ra, top + 0.8, 2.0), of_name("current"))
    assert found.degrees == pytest.approx(0.8, abs=0.002) and found.direction == "south"
    east = nearest_to(Place(image.ra - 60, image.dec, 2.0), of_name("current"))
    assert east.direction in ("east", "south-east", "north-east") and 58 < east.degrees < 61
    assert "There is no image" in page("/trace/?position=10+10&night=1999-01-01")


def test_the_nearest_edge_is_found_across_the_meridian_and_at_the_pole() -> None:
    for ra, dec in ((0.0, 0.0), (123.0, 89.0)):
        ScienceImage.objects.all().delete()
        corners = np.array([(ra - 0.1, dec - 0.1), (ra + 0.1, dec - 0.1), (ra + 0.1, dec + 0.1), (ra - 0.1, dec + 0.1)])
        corners[:, 0] %= 360
        of = factories.exposure(f"demo_{ra}", ra=ra, dec=dec)
        ScienceImage.objects.filter(pk=factories.science_image(of, centre=(ra, dec)).pk).delete()
        image = ScienceImage(exposure=of, section="N1", provenance=of.provenance, **factories.grid(of))
        image.set_footprint(corners).save()
        found = nearest_to(Place(ra, dec - 0.5, 2.0), of_name("nothing"))
        assert found.direction == "north" and found.degrees == pytest.approx(0.4, abs=0.003)
        assert sky.separation(ra, dec - 0.5, ra, dec - 0.1) == pytest.approx(0.4)


def test_a_score_image_that_is_gone_leaves_the_rest(site: Archive, page) -> None:
    DifferenceImage.objects.update(filepath="difference/gone.fits")
    one = trace_at(at(site.ccd.measurements[0]), of_name("current")).coverings[0]
    assert peak(one.difference, (5.0, 5.0), 3) is None
    x, y = one.image.ra + 0.001, one.image.dec
    assert "images cover the position" in page(f"/trace/?position={x}+{y}")
    Report.objects.all().delete()
    assert "images cover the position" in page(f"/trace/?position={x}+{y}"), "without a report it says what rows say"
