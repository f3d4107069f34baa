"""Streams: what each takes and which cut keeps the others back; the ledger accounts for every measurement."""

from __future__ import annotations

import pytest

from processing.parameters import ConfigurationError
from processing.steps.alerting import Alerting
from products.alerts.deciding import CUTS, Judged, StreamCuts, refusal
from products.models import Alert, AlertBatch, Badness, DeepScoreSet, Measurement
from products.selectors import alerts as selector
from products.selectors.tags import of_name
from products.services.badness import set_badness
from products.services.keeping import keep
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def ccd():
    return factories.full_ccd()


def judged(score: float = 0.9, threshold: float = 0.5, earlier: int = 0, **fields) -> Judged:
    values = {"snr": 12.0, "flux": 100.0, "filter": "r", "magnitude": 19.5} | fields
    return Judged(Measurement(**values), score, threshold, earlier)


@pytest.mark.parametrize(
    ("cuts", "taken", "refused", "cut"),
    [
        ({}, judged(score=0.5), judged(score=0.499), "score"),
        ({"min_score": 0.8}, judged(score=0.8), judged(score=0.79), "score"),
        ({"min_score": 0.0}, judged(score=0.0), judged(score=float("nan")), "score"),
        ({"min_snr": 12.0}, judged(), judged(snr=11.9), "snr"),
        ({}, judged(), judged(is_bad=True, failed_cuts=["elongation"]), "failed_cuts"),
        ({"also_bad": True}, judged(is_bad=True), judged(is_bad=True, score=0.1), "score"),
        ({"sign": "positive"}, judged(), judged(flux=-1.0), "sign"),
        ({"sign": "negative"}, judged(flux=-1.0), judged(), "sign"),
        ({"filters": ["r", "i"]}, judged(), judged(filter="g"), "filter"),
        ({"faintest": 19.5}, judged(), judged(magnitude=19.51), "brightness"),
        ({"brightest": 19.5}, judged(), judged(magnitude=19.49), "brightness"),
        ({"faintest": 25.0}, judged(), judged(magnitude=None), "brightness"),
        ({"max_detections": 1}, judged(), judged(earlier=1), "detections"),
        ({"min_detections": 3}, judged(earlier=2), judged(earlier=1), "detections"),
    ],
)
def test_each_cut_takes_what_it_should_and_says_what_it_keeps_back(cuts, taken, refused, cut):
    stream = StreamCuts.of({"name": "x", **cuts})
    assert refusal(stream, taken) is None
    why = refusal(stream, refused)
    assert why.cut == cut and CUTS[cut] in str(why) and why.detail


def test_the_first_cut_counts_and_numbers_are_in_the_reason():
    stream = StreamCuts.of({"name": "x", "min_snr": 50.0, "sign": "negative"})
    assert str(refusal(stream, judged(score=0.2))) == "score too low: 0.200 < 0.500"
    assert str(refusal(stream, judged())) == "S/N too low: 12.0 < 50.0"


def test_cuts_are_those_of_the_parameters_also_as_an_older_provenance_keeps_them():
    parameters = Alerting().parameters.streams[0]
    fields = set(StreamCuts.__dataclass_fields__)
    assert fields == set(type(parameters).model_fields) - {"sender"}
    older = {"name": "all", "min_score": None, "min_snr": 3.0, "also_bad": False}
    assert StreamCuts.of(older) == StreamCuts("all", min_snr=3.0)


@pytest.mark.parametrize(
    "streams",
    [
        [{"name": "a"}, {"name": "a"}], [{"name": "a b"}], [{"name": ""}], [{"name": "<b>"}], [{"sign": "up"}],
        [{"min_detections": 0}], [{"min_snr": -1}], [{"faintest": "bright"}], [{"name": "x" * 61}],
    ],
)  # fmt: skip
def test_streams_that_make_no_sense_are_refused_with_the_configuration(streams):
    with pytest.raises(ConfigurationError, match="alerting"):
        Alerting(streams=streams)


def decide(ccd: factories.CCD, **parameters) -> AlertBatch:
    """Another receipt of the scores of a CCD, kept under a provenance of its own."""
    score_set = DeepScoreSet.objects.get(measurement_set=ccd.measurement_set)
    step = Alerting(**parameters)
    batch = step.run(score_set=score_set, measurement_set=score_set.measurement_set)
    provenance = factories.provenance("alerting", score_set.provenance, tag="current", **step.parameters.critical())
    assert keep([batch], provenance)
    return AlertBatch.objects.get(pk=batch.pk)


STREAMS = [
    {"name": "real", "min_score": 0.8}, {"name": "junk", "also_bad": True, "min_score": 0.0}, {"name": "none", "min_snr": 1e9},
    {"name": "new", "max_detections": 1}, {"name": "known", "min_detections": 2},
]  # fmt: skip


def test_every_measurement_is_an_alert_or_counted_under_the_cut_that_kept_it_back(ccd):
    batch = decide(ccd, streams=STREAMS)
    assert batch.n_scored == 6 and batch.n_alerts == batch.alerts.count()
    for stream in STREAMS:
        alerts = batch.alerts.filter(stream=stream["name"]).count()
        assert alerts + sum(batch.refused[stream["name"]].values()) == 6
    assert batch.alerts.filter(stream="junk").count() == 6
    assert batch.refused["none"] == {"failed_cuts": 2, "snr": 4}
    assert batch.refused["known"] == {"failed_cuts": 2, "detections": 4}
    assert batch.alerts.filter(stream="new").count() == 4


def test_new_and_known_objects_go_into_streams_of_their_own(ccd):
    objects = [row.object for row in ccd.measurements]
    later = factories.full_ccd(seed=1, of=factories.exposure("later", mjd=ccd.exposure.mjd + 2), objects=objects)
    batch = decide(later, streams=STREAMS)
    assert batch.alerts.filter(stream="known").count() == 4
    assert not batch.alerts.filter(stream="new").exists()


def test_what_a_receipt_of_other_cuts_told_is_not_told_again(ccd):
    first = decide(ccd, streams=[{"name": "s", "min_score": 0.9}])
    second = decide(ccd, streams=[{"name": "s", "min_score": 0.8}])
    assert (first.n_alerts, second.n_alerts) == (2, 1)
    assert second.refused["s"] == {"failed_cuts": 2, "score": 1, "told_before": 2}
    assert Alert.objects.filter(stream="s").count() == 3


# The ledger ---------------------------------------------------------------------------------------------------


def test_the_numbers_of_every_stream_add_up_whatever_becomes_of_its_alerts(ccd):
    decide(ccd, streams=STREAMS)
    junk = list(Alert.objects.filter(stream="junk").order_by("score__measurement__index_in_sources"))
    Alert.objects.filter(pk=junk[0].pk).update(state="sent")
    Alert.objects.filter(pk=junk[1].pk).update(state="dead")
    set_badness(ccd.measurements[2], Badness.SATELLITE)
    found = {stream.name: stream for stream in selector.balance(of_name("current"))}
    assert found["junk"].states == {"sent": 1, "dead": 1, "withheld": 1, "pending": 3}
    assert set(found) == {"all", *(stream["name"] for stream in STREAMS)}
    for stream in found.values():
        assert stream.measured == 6 == stream.eligible + stream.refused.total() and stream.missing == 0
    Alert.objects.filter(stream="junk", state="pending").first().delete()
    assert {s.name: s.missing for s in selector.balance(of_name("current"))}["junk"] == 1


def test_the_numbers_are_those_of_the_night_or_the_exposure_that_is_asked_for(ccd):
    factories.full_ccd(of=factories.exposure("next", mjd=ccd.exposure.mjd + 1))
    tag = of_name("current")
    assert [stream.measured for stream in selector.balance(tag)] == [12]
    assert [stream.measured for stream in selector.balance(tag, night=61366)] == [6]
    assert [stream.measured for stream in selector.balance(tag, exposure="next")] == [6]
    assert selector.balance(tag, night=61000) == [] == selector.balance(of_name("nobody"), exposure="nothing")


def test_the_reason_that_is_shown_is_that_of_the_function_that_decided(ccd):
    decide(ccd, streams=STREAMS)
    for row in ccd.measurements:
        for one in selector.decisions(row, of_name("current")):
            assert (one.alert is None) == (one.refusal is not None)
            assert one.alert is None or one.alert.stream == one.stream
    why = {one.stream: str(one.refusal) for one in selector.decisions(ccd.measurements[4], of_name("current"))}
    assert why["real"] == "failed a cut of the measuring: negative_flux" and why["junk"] == "None"


def test_a_measurement_without_score_has_no_decision(ccd):
    Alert.objects.all().delete()
    AlertBatch.objects.all().delete()
    assert selector.decisions(ccd.measurements[0], of_name("current")) == []
