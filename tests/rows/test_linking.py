"""Tracklets as rows: what is linked, once, under which tag, by the command, the task and several at once."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django_q.models import OrmQ

from processing import linking, tasks
from processing.errors import BadInput
from processing.linking import link_night
from processing.steps.linking import Linking
from products.errors import TagConflict, UnknownTag
from products.models import DeepScore, Measurement, Tracklet, TrackletSet
from products.selectors import moving
from products.selectors.tags import of_name
from products.services.tagging import clone, untag
from tests import factories

pytestmark = pytest.mark.django_db
NIGHT = 61366  # 2026-11-22, noon UT
RATE = 40.0  # arcsec/h, to the north-east
TIMES = NIGHT + 0.7 + np.arange(5) * 0.5 / 24


@pytest.fixture
def ccd():
    found = factories.full_ccd()
    Measurement.objects.update(mjd=NIGHT - 30.0)
    return found


def detections(ccd, hours, *, start=(35.5, -4.75), rate=RATE, **values) -> list[Measurement]:
    """Kept measurements of something that moves, each of an object of its own, beside those of the CCD."""
    rows = []
    number = Measurement.objects.count()
    for index, mjd in enumerate(hours):
        shift = rate * 24 * (mjd - hours[0]) / 3600 / np.sqrt(2)
        ra, dec = (start[0] + shift / np.cos(np.radians(start[1]))) % 360, start[1] + shift
        row = Measurement(
            measurement_set=ccd.measurement_set, index_in_sources=number + index, mjd=mjd, filter="r", x=1, y=1,
            object=factories.sky_object(ra, dec, mjd, name=f"m{number + index}"),
            **{"flux": 900.0, "flux_error": 30.0, "snr": 30.0, "magnitude": 20.0, "is_bad": False, **values},
        )  # fmt: skip
        row.set_position(ra, dec).save(force_insert=True)
        rows.append(row)
    return rows


def linked(night: int = NIGHT, tag: str = "current", **parameters) -> TrackletSet:
    return link_night(night, tag, {"linking": parameters})


def members(made: TrackletSet) -> list[set]:
    return [set(row.measurements.values_list("pk", flat=True)) for row in made.tracklets.all()]


def test_what_moves_in_a_night_is_a_tracklet_with_its_measurements(ccd):
    rows = detections(ccd, TIMES)
    made = linked()
    assert members(made) == [{row.pk for row in rows}] and made.n_detections == 5
    one = made.tracklets.get()
    assert one.rate == pytest.approx(RATE, abs=0.05) and one.position_angle == pytest.approx(45, abs=0.2)
    assert (one.mjd_first, one.mjd_last) == (rows[0].mjd, rows[-1].mjd) and one.magnitude == 20.0
    assert set(made.chance) == {"3", "4", "5", "6"} and made.measuring == ccd.measurement_set.provenance
    assert made.provenance.process == "linking" and made.provenance.tags.get().tag == "current"
    assert list(made.provenance.upstreams.values_list("process", flat=True)) == ["measuring"]


def test_what_is_linked_again_is_found_and_more_detections_take_its_place(ccd):
    detections(ccd, TIMES[:4])
    first = linked()
    assert linked().pk == first.pk and TrackletSet.objects.count() == 1
    (one,) = first.tracklets.values_list("pk", flat=True)
    detections(ccd, TIMES, start=(35.6, -4.7))
    second = linked()
    assert TrackletSet.objects.get().pk == second.pk != first.pk
    assert second.n_tracklets == 2 and one in second.tracklets.values_list("pk", flat=True)  # it keeps its address


def test_nights_are_linked_apart(ccd):
    detections(ccd, TIMES)
    detections(ccd, TIMES + 1)
    assert linked().n_tracklets == linked(NIGHT + 1).n_tracklets == 1
    assert linked(NIGHT + 2).n_tracklets == 0 and TrackletSet.objects.count() == 3
    detections(ccd, [NIGHT + 0.49, NIGHT + 1.5])  # of the days before and after
    assert linked().n_detections == 5


@pytest.mark.parametrize(
    "values", [{"is_bad": True}, {"flux": -900.0}, {"badness_own": 1 << 43}, {"badness_upstream": 8}]
)
def test_what_was_cut_has_faded_or_is_marked_is_not_linked(ccd, values):
    detections(ccd, TIMES, **values)
    assert linked().n_detections == 0


def test_objects_that_were_seen_in_another_night_do_not_move(ccd):
    rows = detections(ccd, TIMES)
    other = factories.full_ccd(2, of=ccd.exposure, section="N2").measurement_set
    assert other.provenance == ccd.measurement_set.provenance
    for row, is_bad in zip(rows, (False, False, False, True)):  # one that was cut says nothing
        Measurement(
            measurement_set=other, index_in_sources=100 + rows.index(row), object=row.object, mjd=row.mjd - 3, filter="r",
            x=1, y=1, flux=500.0, flux_error=30.0, snr=16.0, is_bad=is_bad,
        ).set_position(row.ra, row.dec).save()  # fmt: skip
    Measurement.objects.filter(measurement_set=other, index_in_sources__lt=100).update(mjd=NIGHT - 30.0)
    assert linked().n_detections == 2


def test_a_score_can_be_asked_for(ccd):
    rows = detections(ccd, TIMES)
    score_set = ccd.measurement_set.score_sets.get()
    for row, score in zip(rows, (0.9, 0.9, 0.9, 0.9, 0.1)):
        DeepScore.objects.create(score_set=score_set, scorer=score_set.provenance_id, measurement=row, score=score)
    assert linked(min_score=0.5, tag="current").tracklets.get().n_detections == 4


def test_other_parameters_are_another_provenance_and_need_another_tag(ccd):
    detections(ccd, TIMES)
    first = linked()
    with pytest.raises(TagConflict, match="linking"):
        linked(links={"max_rate": 60.0})
    clone("current", "fast")
    untag("fast", [first.provenance])
    second = linked(tag="fast", links={"max_rate": 30.0})
    assert second.n_tracklets == 0 and first.provenance != second.provenance
    assert TrackletSet.objects.count() == 2
    assert [row.n_detections for row in moving.tracklets(of_name("current"))] == [5]
    assert not moving.tracklets(of_name("fast")).exists()


def test_a_tag_without_measurements_is_an_error_that_says_so(ccd):
    with pytest.raises(UnknownTag):
        linked(tag="nothing")
    factories.provenance("extraction", tag="bare")
    with pytest.raises(BadInput, match="process exposures first"):
        linked(tag="bare")


def test_the_known_body_of_most_detections_names_the_tracklet(ccd):
    rows = detections(ccd, TIMES)
    ccd.measurements = rows
    for index in range(3):
        factories.known_object(ccd, index)
    made = linked()
    assert made.tracklets.get().known_as == "(1) Ceres"
    assert {row.process for row in made.provenance.upstreams.all()} == {"measuring", "knownobjects"}


def test_who_links_at_the_same_time_takes_what_was_kept_or_tries_again(ccd, monkeypatch):
    """Another process keeps its set between the reading of the detections and the keeping of ours."""
    detections(ccd, TIMES)
    run, others = Linking.run, []

    def slow(step, night):
        found = run(step, night=night)
        if not others:
            others.append(None)
            others.append(link_night(NIGHT, "current", {}))
            detections(ccd, TIMES, start=(35.7, -4.6))
        return found

    monkeypatch.setattr(Linking, "run", slow)
    made = linked()
    assert TrackletSet.objects.get() == made and made.pk != others[1].pk
    assert made.n_tracklets == 2 and Tracklet.objects.count() == 2


def test_nobody_tries_for_ever(ccd, monkeypatch):
    detections(ccd, TIMES)
    monkeypatch.setattr(linking, "replace_tracklets", lambda *given: False)
    with pytest.raises(BadInput, match="at the same time"):
        linked()


def test_the_command_shows_a_table_and_the_task_does_the_same(ccd, tmp_path):
    detections(ccd, TIMES)
    out = io.StringIO()
    call_command("link_moving", "--night=2026-11-22", "--tag=current", f"--json={tmp_path / 'found.json'}", stdout=out)
    said = out.getvalue()
    assert "5 detections, 1 tracklets; by chance one expects" in said
    assert "40.0" in said and "45°" in said and "…" not in said.splitlines()[-2]
    (one,) = json.loads((tmp_path / "found.json").read_text())["tracklets"]
    assert one["n_detections"] == 5 and one["id"] == str(Tracklet.objects.get().pk)
    assert tasks.link_moving(NIGHT, "current") == 1 and TrackletSet.objects.count() == 1
    tasks.enqueue_linking(NIGHT, "current")
    task = OrmQ.objects.get().task
    assert task["func"] == "processing.tasks.link_moving" and task["args"][:2] == (NIGHT, "current")


@pytest.mark.parametrize(
    "options, told", [({"night": "22.11."}, "is not a date"), ({"night": "2026-11-22", "tag": "no"}, "no tag")]
)
def test_the_command_says_what_is_wrong(ccd, options, told):
    with pytest.raises(CommandError, match=told):
        call_command("link_moving", *(f"--{name}={value}" for name, value in options.items()))


def test_of_a_night_without_detections_it_is_asked_whether_it_is_the_right_one(ccd):
    out = io.StringIO()
    call_command("link_moving", "--night=2026-11-28", "--tag=current", stdout=out)
    assert "0 detections, 0 tracklets\n" in out.getvalue() and "chance" not in out.getvalue()
    assert "under the tag 'current' can be linked in the night from noon UT of 2026-11-28 on" in out.getvalue()


def test_the_number_of_queries_does_not_grow_with_the_detections(ccd, django_assert_max_num_queries):
    detections(ccd, TIMES)
    linked()
    for number in range(6):
        detections(ccd, TIMES, start=(35.3 + number / 20, -4.9))
    with django_assert_max_num_queries(30):
        assert linked().n_tracklets == 7
